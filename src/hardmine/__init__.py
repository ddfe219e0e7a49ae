"""Hard example mining and sample weighting for object detection, under one equation.

    L = (1/Z) · Σ w_i · ℓ(z_i, t_i)        assign → t,  sampling → w,  losses → ℓ,  normalize → Z

What is public stands in `__init__.pyi`; each name is imported when it is first used, so that the command line answers
`--help` without waiting for torch.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

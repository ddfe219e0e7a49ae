"""Figures of what a method does, drawn by running its own code, and of how runs went.

`figure` holds numbers, `painting` and `saving` put them on paper. `scores`, `ranking`, `prime` and `libra` evaluate a
recipe's parts on samples made by hand; `training.evidence` looks through a finished run at real ones, for `ghm` and
`gradients`. `drawing` says which recipe has which figure. `curves` shows how runs went.

What is public stands in `__init__.pyi`; each name is imported when it is first used: a figure itself needs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Mining offline: on features or predictions that are there, whoever's model made them, with the model fixed.

What is public stands in `__init__.pyi`; each name is imported when it is first used: most of mining needs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

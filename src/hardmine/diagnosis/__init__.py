"""Where a detector's gradient comes from, and what holds it back.

What is public stands in `__init__.pyi`; each name is imported when it is first used: to watch a training, nothing of
what trains and mines here is needed.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

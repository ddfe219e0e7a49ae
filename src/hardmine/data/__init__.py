"""Detection data sets in, whatever their format; what is wrong with them; and the built-in scenes.

dataset = open_dataset("path/to/anything", "train")     COCO, Pascal VOC or YOLO, recognised from the path
report = check("path/to/anything")                      is it usable, what was found, what is wrong, record by record
scenes = open_scenes("train", label_errors=0.1)         generated, with the truth kept beside them

What is public stands in `__init__.pyi`; each name is imported when it is first used: labels alone need no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

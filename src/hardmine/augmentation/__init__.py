"""Training images made of what mining found hard, and images of rare classes drawn more often.

    PasteHard    hard objects, or hard backgrounds without a label, copied onto other images
    CropHard     the surroundings of a hard place as a training image of its own
    HardMosaic   the surroundings of four hard places as one image
    repeat_factors   how often each image is drawn, by how rare its classes are

Each of the first three is a transform of torchvision's v2 form, (image, target) -> (image, target), that cuts from the
images of `HardCrops`; `augmentation` is all of them with probabilities. All draw from torch's global generator.

What is public stands in `__init__.pyi`; each name is imported when it is first used: configurations need no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Proposals without a network: selective search, by OpenCV's `ximgproc` (the extra `proposals`).

Uijlings, van de Sande, Gevers, Smeulders, Selective Search for Object Recognition, IJCV 2013: the proposals of R-CNN
and Fast R-CNN, and so of OHEM's own experiments. EdgeBoxes, the other usual one, cannot be offered: OpenCV has the
code, but not the model of edges that it needs, nor does any package.
"""

from typing import Any

import numpy as np

from hardmine.errors import ConfigError

__all__ = ["find_ximgproc", "selective_search"]

LONGER_SIDE = 500
"""Larger images are searched at this size, as in Fast R-CNN; their boxes are of the size that they have."""


def selective_search(pixels: np.ndarray) -> np.ndarray:
    """Boxes (P, 4) float32, xyxy in pixels, of an image (H, W, 3) uint8, in the "fast" mode.

    The same boxes in the same order each time. They have no score; their order is that of a lot, so that the first ones
    are as good as any.
    Raises: ConfigError: OpenCV's `ximgproc` is not installed.
    """
    cv2 = find_ximgproc()
    height, width = pixels.shape[:2]
    scale = min(1.0, LONGER_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = np.ascontiguousarray(pixels[..., ::-1])
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(image)
    search.switchToSelectiveSearchFast()
    corner, sides = np.split(_in_one_order(search.process()), 2, axis=1)
    stretch = np.array([width / size[0], height / size[1]])
    return np.concatenate([corner * stretch, (corner + sides) * stretch], axis=1).astype(np.float32)


def _in_one_order(boxes: np.ndarray) -> np.ndarray:
    """OpenCV ranks them by C's `rand`, so their order says nothing and differs: here they are dealt out by one lot."""
    return np.random.default_rng(0).permutation(np.unique(boxes.reshape(-1, 4), axis=0))


def find_ximgproc() -> Any:
    """The package cv2. Raises: ConfigError: it is not installed, or without `ximgproc`."""
    try:
        import cv2
    except ImportError as error:
        raise ConfigError(f"selective search needs OpenCV ({error}): {REMEDY}") from error
    if not hasattr(cv2, "ximgproc"):
        raise ConfigError(f"selective search needs cv2.ximgproc, which OpenCV {cv2.__version__} here lacks: {REMEDY}")
    return cv2


REMEDY = (
    "pip install 'hardmine[proposals]'; where another opencv-python is installed, uninstall that first, since all of "
    "them are one package cv2, and opencv-contrib-python has what is in it"
)

"""Test images drawn anew: what the bootstrap evaluates measures on (Efron, Annals of Statistics 1979).

Images are drawn with replacement, as many as there are. Where images belong together (frames of one video, tiles of
one picture, images of one patient) they are not independent, and whole groups are drawn instead.
"""

import numpy as np

from hardmine.errors import ConfigError

__all__ = ["resamples"]


def resamples(
    num_images: int, *, groups: np.ndarray | None = None, num_resamples: int = 1000, seed: int = 0
) -> np.ndarray:
    """How often each image is drawn: (1 + R, I) integers, the first row the images as they are, once each.

    Args: groups: the group of each image (I,), of any type that can be sorted; then whole groups are drawn.
    Raises: ConfigError: no image, or not one group for each image.
    """
    if num_images < 1:
        raise ConfigError(f"num_images must be at least 1, got {num_images}; there is nothing to draw from")
    unit = np.arange(num_images) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if unit.shape != (num_images,):
        raise ConfigError(f"groups must name a group for each of {num_images} images, got shape {unit.shape}")
    num_units = int(unit.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(num_units, np.full(num_units, 1 / num_units), size=num_resamples)
    return np.concatenate([np.ones((1, num_images), dtype=drawn.dtype), drawn[:, unit]])

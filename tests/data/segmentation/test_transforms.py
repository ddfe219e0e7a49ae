"""An image and its mask change together, nothing is resized, and what is filled up is ignored."""

import pytest
import torch

from hardmine.data.segmentation.transforms import MaskTransform, as_input, collate_masks
from hardmine.errors import ConfigError


def numbered(height, width):
    """An image whose every pixel has its place for a colour, and labels that repeat it."""
    places = torch.arange(height * width).view(height, width) % 251
    return places.to(torch.uint8).expand(3, -1, -1).clone(), places.long()


@pytest.mark.parametrize(("height", "width"), [(10, 12), (4, 20), (5, 5), (8, 8)])
def test_labels_stay_with_their_pixels(height, width):
    transform = MaskTransform(8, 0.5, 0.5)
    for _ in range(20):
        image, labels = transform(*numbered(height, width))
        assert image.shape == (3, 8, 8)
        assert labels.shape == (8, 8)
        is_filled = labels == 255
        assert int((~is_filled).sum()) == min(height, 8) * min(width, 8)
        assert torch.equal(image[0][~is_filled].long(), labels[~is_filled])
        assert image[:, is_filled].unique(dim=1).flatten().tolist() in ([124, 116, 104], [])


def test_every_place_is_cut_and_flips_are_made():
    seen = {tuple(MaskTransform(2, 0.0)(*numbered(3, 3))[1].flatten().tolist()) for _ in range(200)}
    assert seen == {(0, 1, 3, 4), (1, 2, 4, 5), (3, 4, 6, 7), (4, 5, 7, 8)}
    assert MaskTransform(2, 1.0, 0.0)(*numbered(2, 2))[1].tolist() == [[1, 0], [3, 2]]
    assert MaskTransform(2, 0.0, 1.0)(*numbered(2, 2))[1].tolist() == [[2, 3], [0, 1]]


def test_the_filling_is_the_mean_that_is_taken_off():
    image, labels = MaskTransform(8)(torch.full((3, 2, 2), 200, dtype=torch.uint8), torch.zeros(2, 2).long())
    images, masks = collate_masks([(image, labels)] * 3)
    assert images.shape == (3, 3, 8, 8)
    assert masks.shape == (3, 8, 8)
    assert images[0, :, 5, 5].abs().max() < 0.01
    assert torch.equal(images[0], as_input(image))


def test_inputs_have_imagenets_mean_and_spread():
    grey = as_input(torch.full((3, 1, 1), 255, dtype=torch.uint8)).flatten()
    assert grey.tolist() == pytest.approx([(1 - m) / s for m, s in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))])


@pytest.mark.parametrize(
    ("options", "message"), [({"flip_vertical": 1.5}, "flip_vertical is 1.5"), ({"side": 0}, "side is 0 pixels")]
)
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        MaskTransform(**{"side": 8} | options)

"""What segmenters of any framework share: masks are checked, what is ignored does not count, eval is the model."""

import pytest
import torch
from torch import Tensor, nn

from hardmine import recipes
from hardmine.core.pixels import IGNORED
from hardmine.core.samples import IGNORE
from hardmine.detectors.segmenter import Segmenter, resized_logits
from hardmine.errors import ConfigError, EvidenceError, ShapeError

CLASSES = 3


class OneLayer(Segmenter):
    def __init__(self, recipe=None, classes: int = CLASSES):
        super().__init__(nn.Conv2d(3, classes, 1), recipe or recipes.random(), classes, "one layer")
        self.seen: list[Tensor] = []

    def scores(self, images):
        return self.model(images)

    def losses(self, images, labels):
        self.seen.append(labels)
        return {"classification": self.head(self.scores(images), labels)}


@pytest.fixture
def images() -> Tensor:
    return torch.rand(2, 3, 5, 7)


@pytest.fixture
def masks() -> Tensor:
    masks = torch.randint(0, CLASSES, (2, 5, 7))
    masks[1, 2] = IGNORED
    return masks


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8], ids=str)
def test_what_is_ignored_in_a_mask_is_ignored_at_the_head(images, masks, dtype):
    segmenter = OneLayer()
    segmenter(images, masks.to(dtype))
    (labels,) = segmenter.seen
    assert labels.dtype == torch.int64
    assert torch.equal(labels == IGNORE, masks == IGNORED)
    assert torch.equal(labels[labels != IGNORE], masks[masks != IGNORED])


def test_in_eval_mode_it_is_the_model(images):
    segmenter = OneLayer().eval()
    assert torch.equal(segmenter(images), segmenter.model(images))


def test_its_last_head_is_the_one_that_predicts():
    segmenter = OneLayer()
    assert segmenter.final_head is segmenter.head
    assert (segmenter.head.traits.name, segmenter.head.traits.num_classes) == ("pixels", CLASSES)


@pytest.mark.parametrize(
    "wrong", [None, torch.zeros(2, 5, 6, dtype=torch.long), torch.zeros(2, 5, 7), torch.zeros(1, 5, 7).long()]
)
def test_masks_that_do_not_fit_the_images_are_refused(images, wrong):
    with pytest.raises(ShapeError, match=r"expected whole numbers of shape \(2, 5, 7\)"):
        OneLayer()(images, wrong)


@pytest.mark.parametrize("unknown", [-1, CLASSES, 254])
def test_a_class_that_the_model_does_not_have_is_named(images, masks, unknown):
    masks[0, 1, 1] = unknown
    with pytest.raises(ConfigError, match=rf"the class {unknown}; expected 0 to 2, or 255"):
        OneLayer()(images, masks)


def test_one_class_tells_nothing_apart():
    with pytest.raises(ConfigError, match="2 classes or more"):
        OneLayer(classes=1)


def test_a_recipe_for_boxes_is_refused():
    with pytest.raises(EvidenceError, match="'hnm' needs samples that are boxes"):
        OneLayer(recipes.hnm())


def test_logits_are_brought_to_the_size_of_an_image():
    flat = torch.ones(1, CLASSES, 2, 2) * torch.arange(CLASSES).view(1, -1, 1, 1)
    assert torch.equal(resized_logits(flat, (6, 4)), flat[..., :1, :1].expand(1, CLASSES, 6, 4))

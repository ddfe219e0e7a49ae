"""Fast R-CNN's own parts: proposals that come with the targets, resized with the images."""

import pytest
import torch
from torchvision.models.detection.image_list import ImageList

from hardmine.detectors import build
from hardmine.detectors.torchvision.fast_rcnn import FastRCNN, GivenProposals
from hardmine.errors import ShapeError


@pytest.fixture
def model() -> FastRCNN:
    return build("fastrcnn", 3, backbone="tiny", image_size=64)


def test_there_is_no_rpn_left(model):
    assert not [name for name, _ in model.named_parameters() if name.startswith("rpn")]
    assert model.rpn.most == 1000


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("size", [(32, 32), (128, 192), (96, 64)])
def test_proposals_are_resized_as_boxes_are(mode, size, model):
    getattr(model, mode)()
    boxes = torch.tensor([[2.0, 3, 20, 30], [0, 0, 10, 10]])
    target = {"boxes": boxes, "labels": torch.ones(2).long(), "proposals": boxes.flip(0)}
    images, (resized,) = model.transform([torch.rand(3, *size)], [target])
    assert torch.equal(resized["proposals"], resized["boxes"].flip(0))
    assert torch.equal(resized["proposals"], boxes.flip(0) * images.image_sizes[0][0] / size[0])
    assert torch.equal(target["proposals"], boxes.flip(0)), "the user's own stay as they are"


def test_images_alone_are_resized_too(model):
    images, targets = model.eval().transform([torch.rand(3, 32, 32)])
    assert images.image_sizes == [(64, 64)]
    assert targets is None


def test_proposals_are_inside_the_image_have_an_area_and_are_not_too_many():
    given = torch.tensor([[-5.0, -5, 10, 10], [90, 0, 99, 9], [3, 3, 3, 9], [1, 1, 5, 5], [2, 2, 6, 6]])
    images = ImageList(torch.zeros(1, 3, 80, 80), [(60, 80)])
    proposals, losses = GivenProposals(2)(images, None, [{"proposals": given}])
    assert proposals[0].tolist() == [[0, 0, 10, 10], [1, 1, 5, 5]]
    assert losses == {}


@pytest.mark.parametrize("targets", [None, [{"proposals": torch.ones(1, 4)}, {"boxes": torch.ones(1, 4)}]], ids=str)
def test_images_without_proposals_are_refused(targets):
    images = ImageList(torch.zeros(2, 3, 8, 8), [(8, 8)] * 2)
    with pytest.raises(ShapeError, match=r"got 2 images and \d targets with 'proposals' \(P, 4\)"):
        GivenProposals(5)(images, None, targets)

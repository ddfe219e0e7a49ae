"""Fast R-CNN under a recipe: OHEM's own setting. Its losses are torchvision's, its two passes those of one."""

import pytest
import torch
from torch import Tensor, nn

from hardmine import recipes, wrap
from hardmine.detectors import build
from hardmine.errors import ConfigError, ShapeError

MINED = {
    "ohem": lambda: recipes.ohem(8),
    "ohem without nms": lambda: recipes.ohem(8, nms_iou=None),
    "ohem_mmdet": lambda: recipes.ohem_mmdet(16),
}


@pytest.fixture
def model() -> nn.Module:
    built = build("fastrcnn", 3, backbone="tiny", image_size=96).train()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return built


@pytest.fixture
def batch(make_batch) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """With 40 proposals of the first image, none of the second, and of the third some on its objects."""
    images, targets = make_batch(1, (3, 0, 6))
    corner = torch.rand(40, 2) * 60
    anywhere = torch.cat([corner, corner + 8 + torch.rand(40, 2) * 25], dim=1)
    near = targets[2]["boxes"].repeat(4, 1) + torch.randn(24, 4)
    for target, proposals in zip(targets, (anywhere, anywhere[:0], torch.cat([near, anywhere])), strict=True):
        target["proposals"] = proposals
    return images, targets


@pytest.mark.parametrize("name", list(MINED))
def test_two_passes_have_the_losses_and_gradients_of_the_naive_plan(name, model, batch, loss_and_gradients):
    """Of the paper's two plans: all RoIs with gradient and zeroed losses, or the hard ones only."""
    plans = [
        loss_and_gradients(wrap(model, MINED[name](), two_pass=two_pass).train(), model, *batch)
        for two_pass in (True, False)
    ]
    (losses, gradients), (naive_losses, naive_gradients) = plans
    assert set(losses) == {"loss_classifier", "loss_box_reg"}
    assert all(loss > 0 for loss in losses.values())
    torch.testing.assert_close(losses, naive_losses, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradients, naive_gradients, rtol=1e-4, atol=1e-6)
    assert any(gradient.abs().sum() > 0 for gradient in gradients.values())


def test_with_a_sampler_that_takes_all_its_losses_are_torchvisions(model, batch, loss_and_gradients):
    sampler = model.roi_heads.fg_bg_sampler
    sampler.batch_size_per_image, sampler.positive_fraction = 10**6, 1.0
    ours, gradients = loss_and_gradients(wrap(model, recipes.random()).train(), model, *batch)
    theirs, their_gradients = loss_and_gradients(model, model, *batch)
    assert set(ours) == set(theirs)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradients, their_gradients, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_detections_are_the_models_own_and_need_proposals_only(model, batch):
    images, targets = batch
    model.roi_heads.score_thresh = 0.0
    detector = wrap(model, recipes.ohem()).eval()
    found = detector(images, [{"proposals": target["proposals"]} for target in targets])
    theirs = model(images, targets)
    assert [len(image["boxes"]) > 0 for image in found] == [True, False, True]
    for ours, own in zip(found, theirs, strict=True):
        assert all(torch.equal(ours[name], own[name]) for name in own)


def test_proposals_that_are_no_objects_do_not_lose_rows_to_a_crowd(model, batch):
    images, targets = batch
    detector = wrap(model, recipes.random()).train()
    seen: list[Tensor] = []
    detector.roi_head.assigner.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    targets[2]["iscrowd"] = torch.tensor([1, 0, 0, 0, 0, 0])
    detector(images, targets)
    assert seen[0].shape == (3, 64 + 5, 4)


def test_images_without_proposals_are_named(model, batch):
    images, targets = batch
    del targets[1]["proposals"]
    detector = wrap(model, recipes.random())
    for mode in (detector.train(), detector.eval()):
        with pytest.raises(ShapeError, match="image 1 of the batch: its target has no 'proposals'"):
            mode(images, targets)
    with pytest.raises(ShapeError, match="needs one target an image"):
        detector.eval()(images)
    with pytest.raises(ShapeError, match="needs proposals to detect among"):
        detector.detect(images)


def test_a_loss_of_ones_own_in_the_roi_head_is_refused(model):
    model.roi_heads.subsample = lambda labels: []
    with pytest.raises(ConfigError, match=r"subsample, set on model\.roi_heads"):
        wrap(model, recipes.random())

"""What a cascade learns: each stage as a RoI head of torchvision's would, on the boxes of the stage before."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torchvision.models.detection.roi_heads import RoIHeads

from hardmine import recipes, wrap
from hardmine.core.boxes import DeltaCoder
from hardmine.detectors import Detector
from tests.detectors.torchvision.conftest import Repeated

RPN = {"loss_objectness", "loss_rpn_box_reg"}
STAGES = [f"{name}_{stage}" for stage in range(3) for name in ("loss_classifier", "loss_box_reg")]


def stages_given(detector: Detector) -> list[tuple[Tensor, Tensor]]:
    """Boxes and padding that each stage assigns, in the steps to come."""
    seen: list[tuple[Tensor, Tensor]] = []
    for head in detector.roi_heads:
        head.assigner.register_forward_pre_hook(
            lambda _, args, kwargs: seen.append((args[0], kwargs["is_padding"])), with_kwargs=True
        )
    return seen


@pytest.mark.parametrize("num_objects", [(3, 0, 6), (0, 0)], ids=str)
def test_each_stage_has_the_losses_of_a_roi_head_of_torchvisions(num_objects, make_model, make_batch):
    """With a sampler that takes all, on the very boxes that the stage was given."""
    model, (images, targets) = make_model("cascadercnn"), make_batch(1, num_objects)
    sampler = model.roi_heads.fg_bg_sampler
    sampler.batch_size_per_image, sampler.positive_fraction = 10**6, 1.0
    detector = wrap(model, recipes.random()).train()
    seen = stages_given(detector)
    losses = detector(images, targets)
    assert set(losses) == RPN | set(STAGES)
    batch, resized = model.transform(images, targets)
    features = model.backbone(batch.tensors)
    for place, (stage, (boxes, padding)) in enumerate(zip(model.roi_heads.stages, seen, strict=True)):
        settings = stage.settings
        plain = RoIHeads(
            model.roi_heads.box_roi_pool, stage.box_head, Repeated(stage.box_predictor), settings.iou, settings.iou,
            10**6, 1.0, settings.code_weights, 0.0, 0.5, 100,
        ).train()  # fmt: skip
        columns = max(1, *num_objects)
        proposals = [
            of_image[~missing][: len(of_image)]
            for of_image, missing in zip(boxes[:, :-columns], padding[:, :-columns], strict=True)
        ]
        _, theirs = plain(features, proposals, batch.image_sizes, resized)
        for name in ("loss_classifier", "loss_box_reg"):
            ours = losses[f"{name}_{place}"] / settings.loss_weight
            torch.testing.assert_close(ours, theirs[name], rtol=1e-5, atol=1e-6)
    assert (losses["loss_box_reg_2"] > 0) == (sum(num_objects) > 0)


@pytest.mark.parametrize("recipe", [recipes.random(num=6), recipes.ohem(6)], ids=lambda recipe: recipe.name)
def test_a_stage_is_given_the_boxes_of_the_stage_before_and_the_objects(recipe, make_model, make_batch):
    model, (images, targets) = make_model("cascadercnn"), make_batch(1)
    detector = wrap(model, recipe).train()
    seen, outputs = stages_given(detector), []
    for stage in model.roi_heads.stages:
        stage.box_predictor.register_forward_hook(lambda _, args, out: outputs.append(out[1].detach()))
    detector(images, targets)
    first, second = seen[:2]
    sizes = torch.tensor(model.transform(images, targets)[0].image_sizes)
    columns = 6
    codes = outputs[0].view(3, -1, 4)
    if recipe.name == "random":  # which six were kept is not known here: each box is one of them, corrected
        assert second[0].shape[1] == 6 + columns
    else:
        expected = DeltaCoder((10.0, 10.0, 5.0, 5.0)).decode(codes, first[0][:, : codes.shape[1]])
        for b, (height, width) in enumerate(sizes.tolist()):
            clipped = torch.stack(
                [side.clamp(0, most) for side, most in zip(expected[b].unbind(1), [width, height] * 2, strict=True)], 1
            )
            real = ~second[1][b][:-columns]
            torch.testing.assert_close(second[0][b][:-columns][real], clipped[: len(real)][real])
            assert int(real.sum()) > 6
    objects = [target["boxes"] for target in model.transform(images, targets)[1]]
    for boxes, padding in seen:
        assert not boxes.requires_grad
        for b, of_image in enumerate(objects):
            assert torch.equal(boxes[b][-columns:][: len(of_image)], of_image)
            assert padding[b][-columns:].tolist() == [False] * len(of_image) + [True] * (columns - len(of_image))


def test_objects_themselves_are_not_passed_on_to_the_next_stage(make_model, make_batch):
    model, (images, targets) = make_model("cascadercnn"), make_batch(1, (3,))
    model.rpn._post_nms_top_n = {"training": 5, "testing": 5}
    detector = wrap(model, recipes.ohem(1000, nms_iou=None)).train()
    seen = stages_given(detector)
    detector(images, targets)
    assert [int((~padding).sum()) for _, padding in seen] == [5 + 3] * 3


def test_losses_of_a_stage_are_times_its_weight_and_reach_no_box_of_the_stage_before(make_model, make_batch):
    model, batch = make_model("cascadercnn"), make_batch(1)
    detector = wrap(model, recipes.ohem(8)).train()
    torch.manual_seed(1)
    losses = detector(*batch)
    (losses["loss_classifier_1"] + losses["loss_box_reg_1"]).backward()
    stages = model.roi_heads.stages
    assert [stage.box_predictor.bbox_pred.weight.grad is not None for stage in stages] == [False, True, False]
    stages[1].settings = replace(stages[1].settings, loss_weight=1.0)
    torch.manual_seed(1)
    doubled = detector(*batch)
    for name, loss in losses.items():
        torch.testing.assert_close(doubled[name], loss * (2 if name.endswith("_1") else 1))


def test_ohem_mines_in_every_stage(make_model, make_batch):
    model, sizes = make_model("cascadercnn"), []
    for stage in model.roi_heads.stages:
        stage.box_head.register_forward_hook(lambda _, args, out: sizes.append((len(out), out.requires_grad)))
    wrap(model, recipes.ohem(8)).train()(*make_batch(1))
    assert [with_gradient for _, with_gradient in sizes] == [False, True] * 3
    assert all(num == 3 * 8 for num, with_gradient in sizes if with_gradient)
    assert all(num > 3 * 8 for num, with_gradient in sizes if not with_gradient)


def test_every_stage_asks_for_its_own_overlap(make_model):
    detector = wrap(make_model("cascadercnn"), recipes.random())
    assert [(head.assigner.positive_iou, head.assigner.negative_iou) for head in detector.roi_heads] == [
        (0.5, 0.5), (0.6, 0.6), (0.7, 0.7)
    ]  # fmt: skip
    assert [head.coder.weights for head in detector.roi_heads] == [(s, s, s / 2, s / 2) for s in (10.0, 20.0, 30.0)]
    assert {head.traits.detector for head in detector.roi_heads} == {"cascadercnn"}

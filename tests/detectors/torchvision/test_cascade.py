"""What a cascade finds: boxes refined stage by stage, and the mean of all stages' scores for the last ones."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import RoIHeads

from hardmine.core.boxes import DeltaCoder
from hardmine.detectors.torchvision.cascade import STAGES, AgnosticPredictor, CascadeRCNN
from hardmine.errors import ConfigError
from tests.detectors.torchvision.conftest import Repeated


@pytest.fixture
def cascade(make_model) -> CascadeRCNN:
    model = make_model("cascadercnn").eval()
    model.roi_heads.score_thresh = 0.0
    return model


def given(model: CascadeRCNN) -> tuple[dict[str, Tensor], list[Tensor], list[tuple[int, int]]]:
    corner = torch.rand(2, 12, 2) * 60
    boxes = torch.cat([corner, corner + 10 + torch.rand(2, 12, 2) * 25], dim=-1)
    return model.backbone(torch.rand(2, 3, 96, 96)), list(boxes), [(96, 96), (90, 80)]


def test_the_stages_are_those_of_the_paper(cascade):
    assert [stage.settings for stage in cascade.roi_heads.stages] == list(STAGES)
    assert [stage.settings.iou for stage in cascade.roi_heads.stages] == [0.5, 0.6, 0.7]
    assert len({id(stage.box_head) for stage in cascade.roi_heads.stages}) == 3


@torch.no_grad()
def test_detections_are_those_of_a_slow_loop(cascade):
    features, proposals, sizes = given(cascade)
    roi = cascade.roi_heads
    found, losses = roi(features, proposals, sizes)
    assert losses == {}
    for b, (height, width) in enumerate(sizes):
        boxes = proposals[b]
        level = {name: values[b : b + 1] for name, values in features.items()}
        for place, stage in enumerate(roi.stages):
            pooled = roi.box_roi_pool(level, [boxes], [sizes[b]])
            if place == 2:
                heads = [one.box_predictor(one.box_head(pooled))[0].softmax(-1) for one in roi.stages]
            boxes = DeltaCoder(stage.settings.code_weights).decode(stage(pooled)[1], boxes)
            boxes = torch.stack(
                [side.clamp(0, most) for side, most in zip(boxes.unbind(1), [width, height] * 2, strict=True)], 1
            )
        scores = sum(heads) / 3
        for box, score, label in zip(found[b]["boxes"], found[b]["scores"], found[b]["labels"], strict=True):
            row = (boxes - box).abs().amax(dim=1).argmin()
            torch.testing.assert_close(boxes[row], box, rtol=0, atol=1e-3)
            torch.testing.assert_close(scores[row, label], score)
        assert len(found[b]["boxes"]) > 0


@torch.no_grad()
def test_one_stage_finds_what_torchvision_does(cascade):
    features, proposals, sizes = given(cascade)
    first = cascade.roi_heads.stages[0]
    cascade.roi_heads.stages = nn.ModuleList([first])
    cascade.roi_heads.box_coder.weights = first.settings.code_weights
    roi = cascade.roi_heads
    plain = RoIHeads(
        roi.box_roi_pool, first.box_head, Repeated(first.box_predictor), 0.5, 0.5, 8, 0.25,
        (10.0, 10.0, 5.0, 5.0), 0.0, 0.5, 100,
    ).eval()  # fmt: skip
    for ours, theirs in zip(roi(features, proposals, sizes)[0], plain(features, proposals, sizes)[0], strict=True):
        assert set(ours) == set(theirs)
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name])


def test_a_cascade_does_not_learn_without_a_recipe(cascade, make_batch):
    with pytest.raises(ConfigError, match=r"learns under a recipe: hardmine\.wrap"):
        cascade.train()(*make_batch(1))


def test_a_cascade_needs_a_stage(cascade):
    with pytest.raises(ConfigError, match="at least one stage, got none"):
        CascadeRCNN(cascade.backbone, [], box_roi_pool=cascade.roi_heads.box_roi_pool)


def test_a_predictor_has_one_box_for_all_classes():
    scores, codes = AgnosticPredictor(6, 4)(torch.rand(5, 6, 1, 1))
    assert (scores.shape, codes.shape) == ((5, 4), (5, 4))

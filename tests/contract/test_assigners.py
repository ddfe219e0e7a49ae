"""What every assigner must keep to."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from hardmine.core.samples import BACKGROUND, IGNORE, GroundTruth, Levels, Predictions


def test_shapes_dtypes_and_values(assigner, anchors, ground_truth, levels, predictions):
    assignment = assigner(anchors, ground_truth, levels=levels, predictions=predictions)
    matched, iou = assignment.matched_gt, assignment.iou
    assert matched.shape == iou.shape == anchors.shape[:2]
    assert (matched.dtype, iou.dtype) == (torch.int64, anchors.dtype)
    assert ((iou >= 0) & (iou <= 1 + 1e-6)).all()
    assert ((matched == BACKGROUND) | (matched == IGNORE) | (matched >= 0)).all()
    real = ground_truth.is_object.gather(1, matched.clamp_min(0))
    assert real[matched >= 0].all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_works_in_every_precision(assigner, anchors, ground_truth, levels, predictions, dtype):
    for said in (predictions, Predictions(predictions.boxes.to(dtype), predictions.scores.to(dtype))):
        assignment = assigner(anchors.to(dtype), ground_truth, levels=levels, predictions=said)
        assert assignment.iou.dtype == dtype
        assert torch.isfinite(assignment.iou).all()
        assert assignment.quality is None or assignment.quality.dtype == dtype


def test_quality_is_a_share_and_of_positives_only(assigner, anchors, ground_truth, levels, predictions):
    assignment = assigner(anchors, ground_truth, levels=levels, predictions=predictions)
    if assignment.quality is not None:
        assert ((assignment.quality > 0) == assignment.is_positive).all()
        assert (assignment.quality <= 1 + 1e-6).all()


@pytest.mark.parametrize("score", [0.0, 1e-30, 1.0])
def test_saturated_scores_are_survived(assigner, anchors, ground_truth, levels, predictions, score):
    certain = Predictions(predictions.boxes, torch.full_like(predictions.scores, score))
    assignment = assigner(anchors, ground_truth, levels=levels, predictions=certain)
    for values in (assignment.iou, assignment.quality):
        assert values is None or torch.isfinite(values).all()


@pytest.mark.parametrize("chunk", [1, 2, 7])
def test_parts_of_any_size_give_the_same(assigner, anchors, ground_truth, levels, predictions, chunk):
    expected = assigner(anchors, ground_truth, levels=levels, predictions=predictions)
    assigner.chunk = chunk
    assignment = assigner(anchors, ground_truth, levels=levels, predictions=predictions)
    assert torch.equal(assignment.matched_gt, expected.matched_gt)
    assert torch.equal(assignment.iou, expected.iou)


@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
def test_padded_samples_are_ignored_and_change_nothing(assigner, anchors, ground_truth, levels, predictions, poison):
    is_padding = torch.rand(anchors.shape[:2]) < 0.3
    poisoned = anchors.masked_fill(is_padding.unsqueeze(-1), poison)
    said = (each.masked_fill(is_padding.unsqueeze(-1), poison) for each in (predictions.boxes, predictions.scores))
    said = Predictions(*said)
    assignment = assigner(poisoned, ground_truth, is_padding=is_padding, levels=levels, predictions=said)
    assert (assignment.matched_gt[is_padding] == IGNORE).all()
    assert (assignment.iou[is_padding] == 0).all()
    clean = assigner(anchors, ground_truth, is_padding=is_padding, levels=levels, predictions=predictions)
    assert torch.equal(assignment.matched_gt, clean.matched_gt)
    assert torch.equal(assignment.iou, clean.iou)
    assert clean.quality is None or torch.equal(assignment.quality, clean.quality)


@pytest.mark.parametrize("poison", [torch.nan, torch.inf])
def test_padded_objects_change_nothing(assigner, anchors, ground_truth, levels, predictions, poison):
    longer = GroundTruth(
        F.pad(ground_truth.boxes, (0, 0, 0, 3)).masked_fill(
            ~F.pad(ground_truth.is_object, (0, 3)).unsqueeze(-1), poison
        ),
        F.pad(ground_truth.labels, (0, 3)),
        F.pad(ground_truth.is_object, (0, 3)),
        ground_truth.ignore_regions,
    )
    assignment = assigner(anchors, longer, levels=levels, predictions=predictions)
    expected = assigner(anchors, ground_truth, levels=levels, predictions=predictions)
    assert torch.equal(assignment.matched_gt, expected.matched_gt)
    assert torch.equal(assignment.iou, expected.iou)


def test_a_batch_equals_its_images_one_by_one(assigner, anchors, ground_truth, levels, predictions):
    together = assigner(anchors, ground_truth, levels=levels, predictions=predictions)
    for b in range(len(anchors)):
        fields = (getattr(ground_truth, name) for name in GroundTruth.__slots__)
        own = GroundTruth(*(field if field is None else field[b : b + 1] for field in fields))
        said = Predictions(predictions.boxes[b : b + 1], predictions.scores[b : b + 1])
        alone = assigner(anchors[b : b + 1], own, levels=levels, predictions=said)
        assert torch.equal(alone.matched_gt[0], together.matched_gt[b])
        assert torch.equal(alone.iou[0], together.iou[b])
        if together.quality is not None:  # powers are rounded otherwise at the end of a vector
            torch.testing.assert_close(alone.quality[0], together.quality[b])


def test_permuting_samples_of_a_level_permutes_the_assignment(assigner, anchors, ground_truth, levels, predictions):
    starts = [sum(levels.num_samples[:level]) for level in range(len(levels.num_samples))]
    order = torch.cat([start + torch.randperm(n) for start, n in zip(starts, levels.num_samples, strict=True)])
    moved = Predictions(predictions.boxes[:, order], predictions.scores[:, order])
    permuted = assigner(anchors[:, order], ground_truth, levels=levels, predictions=moved)
    expected = assigner(anchors, ground_truth, levels=levels, predictions=predictions)
    assert torch.equal(permuted.matched_gt, expected.matched_gt[:, order])


def test_no_objects_make_everything_background(assigner, anchors, ground_truth, levels, predictions):
    empty = replace(ground_truth, is_object=torch.zeros_like(ground_truth.is_object))
    empty = replace(empty, ignore_regions=empty.ignore_regions[:, :0])
    assert (assigner(anchors, empty, levels=levels, predictions=predictions).matched_gt == BACKGROUND).all()


def test_no_samples_give_an_empty_assignment(assigner):
    ground_truth = GroundTruth.from_lists([torch.ones(1, 4), torch.ones(0, 4)], [torch.zeros(1), torch.zeros(0)])
    levels, predictions = Levels((0,), (8.0,), (1,)), Predictions(torch.zeros(2, 0, 4), torch.zeros(2, 0, 3))
    assignment = assigner(torch.zeros(2, 0, 4), ground_truth, levels=levels, predictions=predictions)
    assert assignment.matched_gt.shape == assignment.iou.shape == (2, 0)


def test_in_ignore_regions_negatives_are_ignored_and_positives_stay(
    assigner, anchors, ground_truth, levels, predictions
):
    everywhere = torch.tensor([[-100.0, -100.0, 200.0, 200.0]]).expand(2, 1, 4)
    plain = replace(ground_truth, ignore_regions=ground_truth.ignore_regions[:, :0])
    expected = assigner(anchors, plain, levels=levels, predictions=predictions)
    covered = assigner(anchors, replace(plain, ignore_regions=everywhere), levels=levels, predictions=predictions)
    assert not covered.is_negative.any()
    assert torch.equal(covered.is_positive, expected.is_positive)


def test_is_captured_as_one_graph_once(assigner, anchors, levels, predictions, capture):
    boxes = torch.tensor([[4.0, 5, 30, 28], [30, 20, 60, 50]])
    region = torch.tensor([[0.0, 40, 20, 64]])
    ground_truth = GroundTruth.from_lists([boxes, boxes + 1], [torch.arange(2)] * 2, [region, region])
    compiled = capture(assigner)
    if not assigner.on_device:
        with pytest.raises(torch._dynamo.exc.Unsupported):
            compiled(anchors, ground_truth, levels=levels, predictions=predictions)
        return
    for boxes in (anchors, anchors + 1):
        captured = compiled(boxes.clone(), ground_truth, levels=levels, predictions=predictions)
        expected = assigner(boxes, ground_truth, levels=levels, predictions=predictions)
        assert torch.equal(captured.matched_gt, expected.matched_gt)
        torch.testing.assert_close(captured.iou, expected.iou)

"""Overlaps by hand, and both ways of writing a box down, there and back."""

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torchvision import ops
from torchvision.models.detection._utils import BoxCoder as TorchvisionCoder

from hardmine.core import boxes as overlaps
from hardmine.core.boxes import (
    DeltaCoder,
    DistanceCoder,
    area,
    complete_iou,
    distance_iou,
    generalized_iou,
    paired_iou,
    pairwise_intersection,
    pairwise_iou,
    pairwise_overlap_of_second,
    side_by_side,
    survives_nms,
)


def boxes(num: int, side: float = 30.0) -> torch.Tensor:
    corner = torch.rand(num, 2) * 40
    return torch.cat([corner, corner + 1 + torch.rand(num, 2) * side], dim=-1)


def test_area_of_an_inverted_box_is_zero():
    assert area(torch.tensor([[0.0, 0, 2, 3], [2, 3, 0, 0], [1, 1, 1, 5]])).tolist() == [6, 0, 0]


def test_overlaps_by_hand():
    first, second = torch.tensor([[0.0, 0, 4, 4], [10, 10, 12, 12]]), torch.tensor([[2.0, 2, 4, 6], [0, 0, 4, 4]])
    assert pairwise_intersection(first, second).tolist() == [[4, 16], [0, 0]]
    assert pairwise_iou(first, second).flatten().tolist() == pytest.approx([4 / 20, 1, 0, 0])
    assert pairwise_overlap_of_second(first, second).flatten().tolist() == pytest.approx([0.5, 1, 0, 0])


def test_nms_of_a_batch_is_torchvisions_of_each_image_and_label():
    box, score, label = boxes(60).view(2, 30, 4) + 1e4, torch.rand(2, 30), torch.randint(-1, 2, (2, 30))
    kept = survives_nms(box, score, label, 0.3)
    for b in range(2):
        expected = torch.zeros(30, dtype=torch.bool)
        expected[ops.batched_nms(box[b], score[b], label[b], 0.3)] = True
        assert torch.equal(kept[b], expected)
    assert 0 < kept.sum() < 60
    assert survives_nms(box[:, :0], score[:, :0], label[:, :0], 0.3).shape == (2, 0)


def test_empty_boxes_overlap_nothing():
    empty = torch.zeros(1, 4)
    assert pairwise_iou(empty, empty).tolist() == [[0]]
    assert pairwise_overlap_of_second(boxes(1), empty).tolist() == [[0]]


def test_iou_agrees_with_torchvision_image_by_image():
    first, second = torch.stack([boxes(5), boxes(5)]), torch.stack([boxes(7), boxes(7)])
    expected = torch.stack([ops.box_iou(a, b) for a, b in zip(first, second, strict=True)])
    torch.testing.assert_close(pairwise_iou(first, second), expected)


@pytest.mark.parametrize("overlap", [pairwise_iou, pairwise_overlap_of_second])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_large_boxes_do_not_overflow_in_half_precision(overlap, dtype):
    large, shifted = torch.tensor([[0.0, 0, 1024, 1024]]), torch.tensor([[0.0, 512, 1024, 1024]])
    half = overlap(large.to(dtype), shifted.to(dtype))
    assert half.dtype == dtype
    torch.testing.assert_close(half.float(), overlap(large, shifted))


def test_generalized_iou_agrees_with_torchvision():
    first, second = boxes(20), boxes(20)
    torch.testing.assert_close(1 - generalized_iou(first, second), ops.generalized_box_iou_loss(first, second))


PAIRED = {
    paired_iou: overlaps._iou,
    generalized_iou: overlaps._generalized_iou,
    distance_iou: overlaps._distance_iou,
    complete_iou: overlaps._complete_iou,
}


@pytest.mark.parametrize("overlap", PAIRED, ids=lambda function: function.__name__)
@pytest.mark.parametrize("step", [1e-9, 1.0], ids=["anywhere", "on a grid"])
def test_gradients_of_paired_overlaps_are_those_of_autograd(overlap, step):
    """On a grid corners meet, and boxes touch, have no extent or are inverted."""
    predicted, target = (torch.rand(2, 500, 4, dtype=torch.float64) * 4).div(step).floor().mul(step)
    weights = torch.rand(500, dtype=torch.float64)
    ours, plain = predicted.clone().requires_grad_(), predicted.clone().requires_grad_()
    (overlap(ours, target) * weights).sum().backward()
    (PAIRED[overlap](plain, target)[0] * weights).sum().backward()
    torch.testing.assert_close(ours.grad, plain.grad)


CODERS = [DeltaCoder(), DeltaCoder((10.0, 10.0, 5.0, 5.0)), DistanceCoder(), DistanceCoder(normalize=False)]


@pytest.mark.parametrize("coder", CODERS, ids=repr)
@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_decoding_undoes_encoding(coder, seed):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(2, 3, 5, 2, generator=generator, dtype=torch.float64) * 100
    both = torch.cat([corner, corner + 1 + torch.rand(2, 3, 5, 2, generator=generator, dtype=torch.float64) * 50], -1)
    target, anchors = both
    torch.testing.assert_close(coder.decode(coder.encode(target, anchors), anchors), target)


@pytest.mark.parametrize("coder", CODERS, ids=repr)
def test_the_anchor_itself_decodes_from_its_own_code(coder):
    anchors = boxes(4)
    codes = coder.encode(anchors, anchors)
    torch.testing.assert_close(coder.decode(codes, anchors), anchors)
    if isinstance(coder, DeltaCoder):
        torch.testing.assert_close(codes, torch.zeros(4, 4))


def test_delta_codes_by_hand():
    """A box as large as its anchor, half an anchor to the right; and one twice as wide."""
    anchors = torch.tensor([[0.0, 0, 10, 20], [0, 0, 10, 20]])
    target = torch.tensor([[5.0, 0, 15, 20], [-5, 0, 15, 20]])
    expected = torch.tensor([[0.5, 0, 0, 0], [0, 0, 0.6931472, 0]])
    torch.testing.assert_close(DeltaCoder().encode(target, anchors), expected)
    torch.testing.assert_close(
        DeltaCoder((10, 10, 5, 5)).encode(target, anchors), expected * torch.tensor([10, 10, 5, 5])
    )


def test_distances_by_hand():
    anchors, target = torch.tensor([[8.0, 8, 16, 16]]), torch.tensor([[4.0, 10, 20, 28]])
    assert DistanceCoder(normalize=False).encode(target, anchors).tolist() == [[8, 2, 8, 16]]
    assert DistanceCoder().encode(target, anchors).tolist() == [[1, 0.25, 1, 2]]


def test_delta_codes_agree_with_torchvision():
    weights = (10.0, 10.0, 5.0, 5.0)
    target, anchors, codes = boxes(6), boxes(6), torch.randn(6, 4)
    theirs = TorchvisionCoder(weights)
    torch.testing.assert_close(DeltaCoder(weights).encode(target, anchors), theirs.encode_single(target, anchors))
    torch.testing.assert_close(DeltaCoder(weights).decode(codes, anchors), theirs.decode_single(codes, anchors))


def test_a_wild_code_does_not_overflow():
    decoded = DeltaCoder().decode(torch.full((1, 4), 1e4), torch.tensor([[0.0, 0, 16, 16]]))
    assert torch.isfinite(decoded).all()
    assert (decoded[0, 2] - decoded[0, 0]).item() == pytest.approx(1000, rel=1e-3)


def test_boxes_side_by_side_are_the_same_boxes_coordinate_by_coordinate():
    boxes = torch.rand(2, 5, 4)
    moved = side_by_side(boxes)
    assert torch.equal(moved, boxes)
    assert all(coordinate.is_contiguous() for coordinate in moved[0].unbind(-1))

import pytest
import torch

from hardmine.diagnosis.bins import bins_of
from hardmine.diagnosis.look import IGNORED, POSITIVE
from hardmine.diagnosis.tally import MEASURES, NUM_RICHEST, PixelTally, Tally
from tests.diagnosis.looks import NUM_CLASSES, random_gradients, random_look, random_pixels, some_images

CPU = torch.device("cpu")


def tally_of(look, gradient, box, *parts: slice) -> Tally:
    tally = Tally(NUM_CLASSES, CPU)
    for part in parts:
        tally.add(some_images(look, part), gradient[part], box[part])
    return tally


def test_it_makes_no_difference_how_images_are_batched():
    """Nor do sums grow with the samples: their shapes are those of the beginning."""
    look = random_look()
    gradient, box = random_gradients(look)
    whole = tally_of(look, gradient, box, slice(None))
    parts = tally_of(look, gradient, box, slice(0, 1), slice(1, 2), slice(2, None))
    fresh = Tally(NUM_CLASSES, CPU)
    for name in ("squares", "objects", "moments", "ranks", "images", "richest", "empty", "candidates"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))
    for name, sums in whole.sums.items():
        torch.testing.assert_close(parts.sums[name], sums)
        assert sums.shape == fresh.sums[name].shape
    assert (whole.num_images, parts.num_images, parts.num_steps) == (4, 4, 3)


def test_every_sample_is_in_every_table_once_and_padding_in_a_kind_of_its_own():
    look = random_look()
    tally = tally_of(look, *random_gradients(look), slice(None))
    for name in bins_of(look, NUM_CLASSES):
        counts = tally.sums[name][..., MEASURES.index("count")].sum(1)
        assert counts.tolist() == [int((look.kind == kind).sum()) for kind in range(4)]


def test_the_richest_images_are_kept_whenever_they_come():
    look = random_look(num_images=NUM_RICHEST + 4)
    gradient, box = random_gradients(look)
    tally = tally_of(look, gradient, box, *(slice(k, k + 1) for k in range(NUM_RICHEST + 4)))
    of_images = gradient.double().sum(1)
    order = of_images.argsort(descending=True)[:NUM_RICHEST]
    assert tally.richest[:, 0].tolist() == order.tolist()
    assert tally.richest[:, 1].tolist() == (look.kind == POSITIVE).sum(1)[order].tolist()
    torch.testing.assert_close(tally.richest[:, 2 + MEASURES.index("gradient")], of_images[order])


def test_objects_are_counted_by_size_with_those_that_have_no_positive():
    look = random_look()
    tally = tally_of(look, *random_gradients(look), slice(None))
    num, without, positives = tally.objects.sum(0).tolist()
    assert num == int(look.is_object.sum())
    assert positives == int((look.kind == POSITIVE).sum())
    alone = [
        (b, g)
        for b, g in look.is_object.nonzero().tolist()
        if not ((look.matched[b] == g) & (look.kind[b] == POSITIVE)).any()
    ]
    assert without == len(alone) > 0


def test_moments_are_of_positives():
    look = random_look()
    tally = tally_of(look, *random_gradients(look), slice(None))
    is_positive = look.kind == POSITIVE
    score, iou = look.own_score[is_positive].double(), look.box_iou[is_positive].double()
    expected = [len(score), score.sum(), iou.sum(), score.square().sum(), iou.square().sum(), (score * iou).sum()]
    assert tally.moments.tolist() == pytest.approx([float(value) for value in expected])
    assert tally.ranks[:-1].sum() == len(score)


def test_candidates_and_labels_are_counted_beside():
    tally = Tally(NUM_CLASSES, CPU)
    tally.add_candidates(torch.tensor([[POSITIVE, IGNORED, IGNORED]]))
    tally.add_labels(torch.tensor([[2, 2, 0]]), torch.tensor([[True, True, False]]))
    assert tally.candidates.tolist() == [0, 1, 2, 0]
    assert tally.objects_of.tolist() == [0, 0, 2]


def test_images_without_a_positive_are_summed_up_beside():
    look = random_look()
    look.kind[1] = torch.where(look.kind[1] == POSITIVE, IGNORED, look.kind[1])
    gradient, box = random_gradients(look)
    tally = tally_of(look, gradient, box, slice(None))
    assert tally.empty.tolist() == pytest.approx([1, float(gradient[1].sum())])


def test_it_makes_no_difference_how_images_of_pixels_are_batched():
    look = random_pixels()
    gradient = torch.rand(look.kind.shape) * (look.kind == POSITIVE)
    whole, parts, fresh = (PixelTally(NUM_CLASSES, CPU) for _ in range(3))
    whole.add(look, gradient)
    for part in (slice(0, 1), slice(1, 2), slice(2, None)):
        parts.add(some_images(look, part), gradient[part])
    for name in ("squares", "images", "richest", "empty"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))
    for name, sums in whole.sums.items():
        torch.testing.assert_close(parts.sums[name], sums)
        assert sums.shape == fresh.sums[name].shape
        counts = sums[..., MEASURES.index("count")].sum(1)
        assert counts.tolist() == [int((look.kind == kind).sum()) for kind in range(4)]

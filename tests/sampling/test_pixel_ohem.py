"""Arguments, ties, the forms of others, and that nothing to keep is no NaN."""

import math

import pytest
import torch
from torch import Tensor

from hardmine import Assignment, PixelOHEM, Samples
from hardmine.core.samples import IGNORE
from hardmine.equation.normalize import PerSampled
from hardmine.errors import ConfigError

FORMS = {
    "ours": PixelOHEM,
    "mmseg": PixelOHEM.mmseg,
    "mmseg, no threshold": lambda: PixelOHEM.mmseg(threshold=None),
    "hrnet": PixelOHEM.hrnet,
    "bisenet": PixelOHEM.bisenet,
    "deeplab": PixelOHEM.deeplab,
}


@pytest.fixture(params=list(FORMS))
def form(request) -> PixelOHEM:
    return FORMS[request.param]()


@pytest.mark.parametrize(
    "options",
    [
        {"min_kept": -1},
        {"threshold": 0.0},
        {"threshold": 1.1},
        {"min_kept": 0, "threshold": None},
        {"min_fraction": 0.0},
        {"min_fraction": 1.1},
        {"threshold": None, "strict": True},
    ],
    ids=str,
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="PixelOHEM needs"):
        PixelOHEM(**options)


@pytest.mark.parametrize("option", ["per", "fraction_of"])
def test_unknown_choices_are_named(option):
    with pytest.raises(ConfigError, match=option):
        PixelOHEM(**{option: "pixel"})


def pixels(loss: Tensor, matched: Tensor | int = 0) -> Samples:
    matched_gt = torch.zeros_like(loss, dtype=torch.long) + matched
    return Samples(Assignment(matched_gt, torch.zeros(loss.shape)), classification_loss=loss)


@pytest.mark.parametrize(("loss", "matched"), [(1e-9, 0), (5.0, IGNORE)], ids=["all are sure", "all ignored"])
def test_nothing_to_keep_is_a_loss_of_zero_with_a_gradient_of_zero(form, loss, matched):
    """Others' code takes a mean of nothing, which is NaN, or gives a constant, which no process waits for."""
    samples = pixels(torch.full((2, 9), loss), matched)
    form.min_kept = 0
    form.min_fraction = None if form.threshold else form.min_fraction
    losses = samples["classification_loss"].clone().requires_grad_()
    weights = form(samples)
    if form.threshold is None and matched == 0:
        assert (weights.sum() > 0) == (form.min_fraction is not None)  # the hardest, however sure they are
        return
    assert (weights == 0).all()
    total = (weights * losses / PerSampled()(samples.assignment, weights)).sum()
    total.backward()
    assert total == 0
    assert (losses.grad == 0).all()


def test_five_easy_pixels_of_which_a_sixteenth_is_none():
    """super-gradients' OhemCELoss has k = 0 then, and NaN; here k is 1."""
    assert PixelOHEM.bisenet()(pixels(torch.full((1, 5), 1e-3))).tolist() == [[1, 0, 0, 0, 0]]


def test_a_batch_that_is_right_and_sure_keeps_the_least_number():
    """mmsegmentation's OhemCrossEntropy keeps none of equal probabilities, and has NaN."""
    saturated = pixels(torch.zeros(2, 9))
    assert PixelOHEM(4)(saturated).sum() == 8
    assert PixelOHEM.mmseg(4)(saturated).sum() == 0


@pytest.mark.parametrize("threshold", [0.7, None])
def test_equal_pixels_are_kept_up_to_the_least_number(threshold):
    """By comparing with the k-th smallest probability, none would be."""
    assert PixelOHEM(4, threshold)(pixels(torch.full((2, 9), 1e-3))).sum() == 8


def test_with_fewer_valid_pixels_than_the_least_number_all_are_kept(form):
    """A strict form loses the easiest."""
    loss, matched = torch.rand(2, 40) * 0.1, torch.full((2, 40), IGNORE)
    matched[0, :30] = 0
    kept = form(pixels(loss, matched)).sum()
    if form.min_fraction is None:
        assert kept == 30 - form.strict
    else:
        assert kept == (30 // 16 if form.fraction_of == "valid" else 16)


def test_the_images_of_a_batch_are_one_contest():
    loss = torch.tensor([[0.3, 0.2, 0.1], [0.01, 0.02, 0.03]])
    assert PixelOHEM(1)(pixels(loss)).tolist() == [[1, 1, 0], [0, 0, 0]]
    assert PixelOHEM(1, per="batch")(pixels(loss)).tolist() == [[1, 0, 0], [0, 0, 0]]


def test_on_the_threshold_is_sure_enough():
    loss = torch.tensor([[-math.log(0.7), -math.log(0.69), -math.log(0.71)]], dtype=torch.float64)
    for sampling in (PixelOHEM(0), PixelOHEM.mmseg(0), PixelOHEM.bisenet(min_fraction=1e-3)):
        assert sampling(pixels(loss)).tolist() == [[0, 1, 0]]
    assert PixelOHEM(0, 1.0)(pixels(torch.tensor([[0.0, 1e-6]]))).tolist() == [[0, 1]]


def random_pixels(seed: int) -> Samples:
    """Losses that are mostly small, with ties, and ignored pixels."""
    generator = torch.Generator().manual_seed(seed)
    loss = torch.rand(2, 60, generator=generator, dtype=torch.float64) ** (1, 6)[seed % 2] * 2
    loss = loss if seed < 4 else (loss * 4).round() / 4
    return pixels(loss, torch.where(torch.rand(2, 60, generator=generator) < 0.2, IGNORE, 0))


def lists_of(samples: Samples) -> tuple[list[float], list[int]]:
    """The losses of the batch, and which of its pixels are not ignored."""
    valid = samples.assignment.is_valid.flatten().tolist()
    return samples["classification_loss"].flatten().tolist(), [i for i, is_valid in enumerate(valid) if is_valid]


def kept_of(weights: Tensor) -> set[int]:
    return set(weights.flatten().nonzero().flatten().tolist())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("min_kept", [0, 7, 30, 1000])
@pytest.mark.parametrize("form_of", [PixelOHEM.mmseg, PixelOHEM.hrnet])
def test_a_strict_form_is_the_loop_of_its_code(seed, min_kept, form_of):
    """Sort the probabilities of the true classes; below the one at place k, or the last, or below the threshold."""
    samples = random_pixels(seed)
    loss, valid = lists_of(samples)
    rising = sorted(-loss[i] for i in valid)  # as their probabilities, but that none rounds to 1
    k = min_kept * (2 if form_of == PixelOHEM.mmseg else 1)
    line = max(rising[min(k, len(rising) - 1)], math.log(0.7))
    assert kept_of(form_of(min_kept)(samples)) == {i for i in valid if -loss[i] < line}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fraction", [1 / 16, 0.4, 1.0])
def test_bisenet_s_form_is_the_loop_of_its_code(seed, fraction):
    """Those above the threshold; or where they are fewer than a share of the valid ones, so many from the top."""
    samples = random_pixels(seed)
    loss, valid = lists_of(samples)
    least = int(len(valid) * fraction)
    hard = [i for i in valid if loss[i] > -math.log(0.7)]
    top = sorted(valid, key=lambda i: -loss[i])[:least]
    assert kept_of(PixelOHEM.bisenet(0.7, fraction)(samples)) == set(top if len(hard) < least else hard)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fraction", [0.2, 1.0])
def test_deeplab_s_mean_over_the_top_is_that_of_its_code(seed, fraction):
    """k counts ignored pixels, whose losses of 0 are among the k only where there are too few others."""
    samples = random_pixels(seed)
    loss, valid = lists_of(samples)
    k = int(fraction * len(loss))
    expected = sorted((loss[i] if i in valid else 0 for i in range(len(loss))), reverse=True)[:k]
    weights = PixelOHEM.deeplab(fraction)(samples)
    total = (weights * samples["classification_loss"]).sum() / min(k, len(valid))
    assert float(total) == pytest.approx(sum(expected) / min(k, len(valid)))


@pytest.mark.parametrize("seed", range(6))
def test_where_looking_is_not_free_the_same_are_kept(form, seed, monkeypatch):
    """The short cuts of a CPU are those of the mathematics."""
    samples = random_pixels(seed)
    form.min_kept = 9
    expected = form(samples)
    for module in ("hardmine.sampling.pixel_ohem", "hardmine.core.rank_in_groups"):
        monkeypatch.setattr(f"{module}.looking_is_free", lambda _: False)
    assert torch.equal(form(samples), expected)

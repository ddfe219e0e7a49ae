"""Fitting: what was hard is learnt, what was easy stays, and nobody is judged by who has learnt it."""

import pytest
import torch
import torch.nn.functional as F

from hardmine.errors import ConfigError, DataError
from hardmine.experts import Bank, Expert, HeldOutSamples, fit_bank, fit_expert


def nll(model: Expert | Bank, samples: HeldOutSamples) -> float:
    with torch.no_grad():
        return float(F.cross_entropy(model(samples.features, samples.logits), samples.labels))


def of_base(samples: HeldOutSamples) -> float:
    return float(F.cross_entropy(samples.logits, samples.labels))


@pytest.fixture(params=["expert", "bank"])
def fit(request):
    def of_expert(samples: HeldOutSamples, **options) -> Expert:
        return fit_expert(samples, **{"steps": 120} | options)

    return {"expert": of_expert, "bank": fit_bank}[request.param]


def test_where_the_base_is_wrong_in_a_corner_the_mixture_is_better_on_new_images(fit, make_samples):
    second, new = fit(make_samples(60)), make_samples(60, seed=1)
    corner = new.hardness > 0.5
    assert nll(second, new) < 0.8 * of_base(new)
    share = second.share(new.features, new.logits)
    assert share[corner].mean() > share[~corner].mean()


def test_where_labels_are_noise_the_gate_stays_nearly_shut(fit, make_samples):
    samples = make_samples(60)
    calibrated = torch.zeros_like(samples.logits)  # a coin that nobody can foresee, which the base knows
    calibrated[:, 2] = -20
    noise = HeldOutSamples(samples.features, calibrated, torch.randint(2, (len(samples),)), samples.image)
    assert nll(fit(noise), noise) > 0.9 * of_base(noise)


def test_it_is_the_seed_s_alone_and_leaves_the_global_state(fit, make_samples):
    samples = make_samples()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = fit(samples, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    second = fit(samples, seed=3)
    for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_it_is_in_evaluation_mode_and_what_it_was_given_has_no_gradient(fit, make_samples):
    samples = make_samples()
    second = fit(samples)
    assert not second.training
    assert not samples.logits.requires_grad
    assert samples.features.grad is None


def test_it_learns_where_gradients_are_off(fit, make_samples):
    samples = make_samples(6)
    with torch.no_grad():
        second = fit(samples)
    assert second.opening.weight.any()


def test_the_head_learns_from_hard_samples_alone(make_samples):
    samples = make_samples()
    easy = samples.hardness <= 0.3
    features = samples.features.clone()  # in another order, so that mean and deviation are as before
    features[easy] = features[easy].roll(1, dims=0)
    other = HeldOutSamples(features, samples.logits, samples.labels, samples.image)
    one, changed = fit_expert(samples, steps=30), fit_expert(other, steps=30)
    for name in ("first.weight", "last.weight"):
        torch.testing.assert_close(one.get_parameter(name), changed.get_parameter(name), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(one.opening.weight, changed.opening.weight, rtol=1e-2, atol=1e-3)  # the gate saw them


def test_the_gate_is_learnt_on_what_others_say(make_samples):
    """Labels that features tell only by heart: each hard sample is there twice in its image, with one made-up label."""
    samples = make_samples(40)
    labels = torch.randint(2, (len(samples) // 2,)).repeat_interleave(2)
    twins = HeldOutSamples(
        samples.features[::2].repeat_interleave(2, 0),
        torch.zeros_like(samples.logits) + torch.tensor([0.0, 0, -20]),
        labels,
        samples.image,
    )
    bank = fit_bank(twins, neighbours=1)
    assert bank.share(twins.features, twins.logits).mean() < 0.1  # the twin in its own image is not asked


def test_an_expert_that_learns_by_heart_is_not_believed():
    """A coin that nobody can foresee, with features by which each toss can be remembered."""
    features, labels = torch.randn(400, 200), torch.randint(2, (400,))
    tosses = HeldOutSamples(features, torch.zeros(400, 2), labels, torch.arange(20).repeat_interleave(20))
    expert = fit_expert(tosses, steps=100)
    assert expert.says(features, tosses.logits).argmax(-1).eq(labels).float().mean() > 0.95
    assert expert.share(features, tosses.logits).mean() < 0.5  # judged by itself, it would have two thirds


def test_of_more_hard_samples_than_places_the_hardest_stay(make_samples):
    samples = make_samples(40)
    bank = fit_bank(samples, size=10)
    hardest = samples.hardness.argsort(descending=True, stable=True)[:10]
    assert samples.hardness[hardest].min() > 0.3
    wanted = bank.directions(samples.features)[samples.hardness >= samples.hardness[hardest].min()]
    assert (bank.keys[:, None] - wanted).abs().amax(-1).amin(-1).max() < 1e-5


def test_all_are_hard_with_a_probability_above_1(make_samples):
    samples = make_samples()
    assert int(fit_bank(samples, probability=2.0).added) == len(samples)


def test_where_nothing_is_hard_it_says_so(fit, make_samples):
    samples = make_samples()
    easy = HeldOutSamples(samples.features, F.one_hot(samples.labels, 3) * 20.0, samples.labels, samples.image)
    with pytest.raises(DataError, match="nothing is hard; choose a higher probability"):
        fit(easy)


def test_one_image_is_not_enough(fit, make_samples):
    samples = make_samples()
    with pytest.raises(DataError, match="at least two are needed"):
        fit(samples.only(samples.image == 3))


@pytest.mark.parametrize("options", [{"probability": 0.0}, {"probability": float("nan")}])
def test_a_probability_that_is_none_is_refused(fit, options, make_samples):
    with pytest.raises(ConfigError, match="expected a probability above 0"):
        fit(make_samples(), **options)


@pytest.mark.parametrize("options", [{"steps": 0}, {"weight_decay": -1.0}])
def test_no_step_and_a_negative_weight_decay_are_refused(options, make_samples):
    with pytest.raises(ConfigError, match="at least one step"):
        fit_expert(make_samples(), **options)

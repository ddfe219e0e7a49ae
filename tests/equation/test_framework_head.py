"""Weights multiply into a framework's own losses; with weights of 1 its sums stand to the last bit."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hardmine import BACKGROUND, IGNORE, All, Focal, GroundTruth, Recipe, Sampling, Slot, SmoothL1, recipes
from hardmine.detectors.traits import set_traits, soft_traits
from hardmine.equation.framework_head import FrameworkHead, FrameworkOutput, check_agreement
from hardmine.equation.normalize import PerPositive
from hardmine.errors import ConfigError, EvidenceError, FrameworkError, ShapeError

B, N, C = 2, 40, 3
SOFT, SET = soft_traits("yolo", C), set_traits("detr", C)


class Ones(Sampling):
    """Leaves everything as it is without being `All`."""

    def weigh(self, samples):
        return torch.ones_like(samples.assignment.iou)


class Only(Sampling):
    """Keeps what belongs to an object."""

    def weigh(self, samples):
        return samples.assignment.is_positive.float()


@pytest.fixture
def objects() -> GroundTruth:
    boxes = [torch.tensor([[0.0, 0, 20, 20], [30, 30, 60, 60]]), torch.zeros(0, 4)]
    return GroundTruth.from_lists(boxes, [torch.tensor([0, 2]), torch.zeros(0, dtype=torch.int64)])


@pytest.fixture
def output() -> FrameworkOutput:
    matched = torch.full((B, N), BACKGROUND)
    matched[0, :3] = torch.tensor([0, 1, 1])
    corner = torch.rand(B, N, 2) * 50
    boxes = torch.cat([corner, corner + 5 + torch.rand(B, N, 2) * 20], dim=-1)
    logits = torch.randn(B, N, C, requires_grad=True)
    regression = torch.rand(B, N).masked_fill(matched < 0, 0)
    return FrameworkOutput(matched, logits, boxes, boxes, logits.exp(), regression, torch.tensor(2.5))


def weights_of(recipe: Recipe, output: FrameworkOutput, objects: GroundTruth, traits=SOFT):
    return FrameworkHead(traits, recipe)(output, objects)


def put(slot: str, **parts) -> Recipe:
    return Recipe("mine", lambda head: {slot: Slot(**parts)})


@pytest.mark.parametrize("slot", ["select", "classify", "regress"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_of_one_leave_the_frameworks_sum_to_the_last_bit(slot, dtype, output, objects):
    output = replace(output, classification=output.classification.to(dtype))
    weights = weights_of(put(slot, sampling=Ones()), output, objects)
    expected = output.classification.sum() / output.divisor
    assert torch.equal(weights.classification, expected)
    gradients = [
        torch.autograd.grad(of, output.logits, retain_graph=True)[0] for of in (weights.classification, expected)
    ]
    assert torch.equal(*gradients)
    assert torch.equal(weights.regress, torch.ones(B, N))


def test_a_selection_counts_in_both_losses_and_keeps_the_frameworks_divisor(output, objects):
    weights = weights_of(put("select", sampling=Only()), output, objects)
    positive = output.matched_gt >= 0
    torch.testing.assert_close(weights.classification, output.classification[positive].sum() / 2.5)
    assert torch.equal(weights.regress > 0, positive)


def test_a_loss_of_the_recipes_own_takes_the_frameworks_place_and_its_own_divisor(output, objects):
    weights = weights_of(put("classify", loss=Focal(), normalize=PerPositive()), output, objects)
    labels = torch.full((B, N), BACKGROUND)
    labels[0, :3] = torch.tensor([0, 2, 2])
    torch.testing.assert_close(weights.classification, Focal()(output.logits, labels).sum() / 3)
    own_z = weights_of(put("classify", loss=Focal()), output, objects)
    torch.testing.assert_close(own_z.classification, Focal()(output.logits, labels).sum() / 2.5)


def test_objects_of_weight_0_and_ignore_regions_count_nothing(output, objects):
    boxes = torch.tensor([[0.0, 0, 100, 100]]).expand(B, 1, 4)
    objects = replace(objects, weights=torch.tensor([[1.0, 0.0], [1.0, 1.0]]), ignore_regions=boxes * 1.0)
    weights = weights_of(recipes.random(), output, objects)
    expected = torch.zeros(B, N)
    expected[0, 0] = 1  # the only sample of an object that counts; all negatives are in the region
    assert torch.equal(weights.classify, expected)
    assert torch.equal(weights.regress, expected)


def test_an_objects_weight_is_a_factor(output, objects):
    objects = replace(objects, weights=torch.tensor([[0.25, 2.0], [1.0, 1.0]]))
    weights = weights_of(recipes.random(), output, objects)
    assert weights.regress[0, :4].tolist() == [0.25, 2, 2, 1]


def test_a_soft_target_of_the_framework_is_the_quality(output, objects):
    quality = torch.rand(B, N)
    seen: dict[str, Tensor] = {}

    class Look(Ones):
        needs = frozenset({"quality", "predicted_iou"})

        def weigh(self, samples):
            seen.update(quality=samples["quality"], iou=samples["predicted_iou"])
            return super().weigh(samples)

    weights_of(put("select", sampling=Look()), replace(output, quality=quality), objects)
    assert torch.equal(seen["quality"], quality)
    weights_of(put("select", sampling=Look()), output, objects)
    assert torch.equal(seen["quality"], seen["iou"])
    assert (seen["iou"][output.matched_gt < 0] == 0).all()


def test_only_a_recipe_that_sets_nothing_leaves_a_head_untouched():
    assert FrameworkHead(SOFT, recipes.random()).is_untouched
    for recipe in (put("regress", sampling=Ones()), put("classify", loss=Focal()), recipes.atss(), recipes.hnm()):
        assert not FrameworkHead(SOFT, recipe).is_untouched


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (put("regress", loss=SmoothL1()), "SmoothL1 would replace the loss that yolo computes itself"),
        (put("regress", normalize=PerPositive()), "PerPositive would replace the normalize"),
        (put("classify", normalize=PerPositive()), "PerPositive would replace the normalize"),
        (put("classify", scale=2.0), "2.0 would replace the scale"),
    ],
)
def test_what_the_framework_keeps_is_named(recipe, message):
    with pytest.raises(EvidenceError, match=message):
        FrameworkHead(SOFT, recipe)


def test_queries_stay_with_their_own_matching():
    assert FrameworkHead(SOFT, recipes.atss()).assigner is not None
    with pytest.raises(EvidenceError, match="each object must stay with the one query"):
        FrameworkHead(SET, recipes.atss())


def test_a_part_of_the_wrong_kind_or_place_is_named(output, objects):
    with pytest.raises(ConfigError, match="recipe 'mine' fills sampel"):
        FrameworkHead(SOFT, put("sampel", sampling=All()))
    with pytest.raises(ConfigError, match="expected a ClassificationLoss"):
        FrameworkHead(SOFT, put("classify", loss=SmoothL1()))

    class OfClasses(Ones):
        def weigh(self, samples):
            return torch.ones(B, N, C)

    with pytest.raises(ShapeError, match="needs one a sample"):
        weights_of(put("select", sampling=OfClasses()), output, objects)


@pytest.mark.parametrize("traits", [SOFT, SET], ids=["soft", "set"])
@pytest.mark.parametrize("name", ["hnm", "focal", "pisa", "ghm", "ap_loss", "s_ohem", "eqlv2"])
def test_nothing_ignored_has_a_gradient(name, traits, output, objects):
    matched = output.matched_gt.clone()
    matched[:, -5:] = IGNORE
    weights = weights_of(recipes.RECIPES[name](), replace(output, matched_gt=matched), objects, traits)
    (gradient,) = torch.autograd.grad(weights.classification, output.logits)
    assert gradient.isfinite().all()
    assert (gradient[:, -5:] == 0).all()
    assert (gradient[:, :-5] != 0).any()


def test_sums_that_disagree_are_refused():
    check_agreement("box loss", torch.tensor(3.0001), torch.tensor(3.0), "somebody", "1.2")
    with pytest.raises(FrameworkError, match=r"somebody 1.2 computes its box loss in another way .* gives 3, and .* 6"):
        check_agreement("box loss", torch.tensor(6.0), torch.tensor(3.0), "somebody", "1.2")

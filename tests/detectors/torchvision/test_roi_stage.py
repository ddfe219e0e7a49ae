"""OHEM's two passes through a stage of RoIs, be it the only one or one of a cascade."""

import pytest
import torch
from torch import Tensor, nn

from hardmine import OHEM, Recipe, Slot, recipes, wrap
from hardmine.core.samples import GroundTruth
from hardmine.detectors.torchvision.roi_stage import Proposals
from hardmine.errors import ConfigError

MINED = {
    "ohem": lambda: recipes.ohem(8),
    "ohem without nms": lambda: recipes.ohem(8, nms_iou=None),
    "ohem_mmdet": lambda: recipes.ohem_mmdet(16),
    "hnm": lambda: recipes.hnm(budget=16),
    "budget of all": lambda: recipes.ohem(1000, nms_iou=None),
}


@pytest.fixture(params=list(MINED))
def recipe(request) -> Recipe:
    return MINED[request.param]()


@pytest.mark.parametrize("detector", ["fasterrcnn", "cascadercnn"])
@pytest.mark.parametrize("num_objects", [(3, 0, 6), (0, 0)], ids=str)
def test_two_passes_have_the_losses_and_gradients_of_the_naive_plan(
    recipe, num_objects, detector, make_model, make_batch, loss_and_gradients, monkeypatch
):
    monkeypatch.setattr("hardmine.detectors.torchvision.roi_stage.ROIS_AT_A_TIME", 7)
    model, batch = make_model(detector), make_batch(1, num_objects)
    plans = []
    for two_pass in (True, False):
        torch.manual_seed(1)  # the RPN samples at random
        plans.append(loss_and_gradients(wrap(model, recipe, two_pass=two_pass).train(), model, *batch))
    (losses, gradients), (naive_losses, naive_gradients) = plans
    assert all(loss > 0 for name, loss in losses.items() if "classifier" in name)
    torch.testing.assert_close(losses, naive_losses, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(gradients, naive_gradients, rtol=1e-4, atol=1e-6)


def test_two_passes_save_activations(make_model, make_batch):
    model, batch = make_model("fasterrcnn"), make_batch(1)
    saved = [saved_bytes(wrap(model, recipes.ohem(8), two_pass=two_pass).train(), *batch) for two_pass in (True, False)]
    assert 0 < saved[0] < saved[1] / 5


def test_the_first_pass_never_holds_all_proposals_at_once(make_model, make_batch, monkeypatch):
    monkeypatch.setattr("hardmine.detectors.torchvision.roi_stage.ROIS_AT_A_TIME", 50)
    model, (images, targets) = make_model("fasterrcnn"), make_batch(1)
    seen: list[tuple[bool, int]] = []
    model.roi_heads.box_head.register_forward_pre_hook(
        lambda _, given: seen.append((torch.is_grad_enabled(), len(given[0])))
    )
    wrap(model, recipes.ohem(8)).train()(images, targets)
    *first_pass, second_pass = seen
    assert len(first_pass) > 1
    assert all(not with_gradient and rois <= 50 * len(images) for with_gradient, rois in first_pass)
    assert second_pass == (True, 8 * len(images))


def saved_bytes(detector: nn.Module, images: list[Tensor], targets: list[dict[str, Tensor]]) -> int:
    """What autograd keeps of the RoI head for the backward pass, the weights apart."""
    weights = {parameter.data_ptr() for parameter in detector.parameters()}
    total = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal total
        total += tensor.nbytes if tensor.data_ptr() not in weights else 0
        return tensor

    head = detector.model.roi_heads
    hooks = torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor)
    enter = head.box_head.register_forward_pre_hook(lambda *_: hooks.__enter__() and None)
    leave = head.box_predictor.register_forward_hook(lambda *_: hooks.__exit__() and None)
    detector(images, targets)
    enter.remove()
    leave.remove()
    return total


def test_the_head_sees_only_what_is_kept_in_the_pass_with_gradient(make_model, make_batch):
    model = make_model("fasterrcnn")
    sizes: list[tuple[int, bool]] = []
    model.roi_heads.box_head.register_forward_hook(lambda _, args, out: sizes.append((len(out), out.requires_grad)))
    wrap(model, recipes.ohem(8)).train()(*make_batch(1))
    (first, second) = sizes
    assert first[0] > second[0] == 3 * 8
    assert (first[1], second[1]) == (False, True)


def test_random_sampling_takes_one_pass(make_model, make_batch):
    model = make_model("fasterrcnn")
    sizes: list[int] = []
    model.roi_heads.box_head.register_forward_hook(lambda _, args, out: sizes.append(len(out)))
    wrap(model, recipes.random(num=10)).train()(*make_batch(1))
    assert sizes == [3 * 10]


def test_batch_statistics_in_the_head_are_refused_in_two_passes(make_model, make_batch):
    model = make_model("fasterrcnn")
    model.roi_heads.box_head = nn.Sequential(model.roi_heads.box_head, nn.BatchNorm1d(128))
    with pytest.raises(ConfigError, match=r"roi_heads\.box_head\.1 is a BatchNorm in training mode.*two_pass=False"):
        wrap(model, recipes.ohem(8)).train()(*make_batch(1))
    wrap(model, recipes.ohem(8), two_pass=False).train()(*make_batch(1))
    wrap(model, recipes.random()).train()(*make_batch(1))
    frozen = wrap(model, recipes.ohem(8)).train()
    model.roi_heads.box_head[1].eval()
    frozen(*make_batch(1))


def test_ohem_over_the_batch_has_no_bound_an_image_and_takes_one_pass(make_model, make_batch):
    model = make_model("fasterrcnn")
    sizes: list[int] = []
    model.roi_heads.box_head.register_forward_hook(lambda _, args, out: sizes.append(len(out)))
    over_batch = Slot(OHEM(8, over="batch"))
    recipe = Recipe("mine", lambda head: {"select": over_batch} if head.name == "roi" else {})
    wrap(model, recipe).train()(*make_batch(1))
    assert len(sizes) == 1


def test_batch_statistics_in_a_stage_of_a_cascade_are_refused_by_name(make_model, make_batch):
    model = make_model("cascadercnn")
    model.roi_heads.stages[1].box_head = nn.Sequential(model.roi_heads.stages[1].box_head, nn.BatchNorm1d(128))
    with pytest.raises(ConfigError, match=r"roi_heads\.stages\.1\.box_head\.1 is a BatchNorm in training mode"):
        wrap(model, recipes.ohem(8)).train()(*make_batch(1))


@pytest.fixture
def ground_truth() -> GroundTruth:
    return GroundTruth.from_lists(
        [torch.tensor([[0.0, 0, 8, 8]]), torch.zeros(0, 4)], [torch.tensor([1]), torch.zeros(0).long()]
    )


def test_proposals_and_objects_lie_side_by_side(ground_truth):
    found = Proposals.from_lists([torch.ones(3, 4), torch.ones(1, 4, requires_grad=True)])
    assert not found.boxes.requires_grad
    assert found.is_padding.tolist() == [[False] * 3, [False, True, True]]
    together = found.with_objects(ground_truth)
    assert together.boxes[0, -1].tolist() == [0, 0, 8, 8]
    assert together.is_padding.tolist() == [[False] * 4, [False, True, True, True]]


@pytest.mark.parametrize(
    "recipe", [recipes.random(num=5), recipes.ohem(5), recipes.ce()], ids=lambda recipe: recipe.name
)
def test_a_stage_says_what_it_predicts_for_proposals_and_which_these_are(recipe, make_model, make_batch):
    """Of what it trains on, or of all where it has ranked them; never of objects and padding."""
    model, (images, targets) = make_model("fasterrcnn"), make_batch(1)
    detector = wrap(model, recipe).train()
    batch, resized = detector.resized(images, targets)
    ground_truth = detector._ground_truth(resized, None)
    proposals = Proposals.from_lists(
        [of_image[:, :4] + torch.tensor([0.0, 0, 9, 9]) for of_image in torch.rand(3, 20, 4) * 60]
    )
    boxes, before = detector.stage.start(proposals, ground_truth)
    features = model.backbone(batch.tensors)
    learnt = detector.stage.learn(features, batch.image_sizes, ground_truth, boxes, before)
    ranked = recipe.name == "ohem"
    assert learnt.seen.codes.shape[:2] == ((3, boxes.shape[1]) if ranked else (3, 5 if recipe.name == "random" else 26))
    assert all(
        (learnt.seen.anchors[b][real][:, None] == proposals.boxes[b]).all(-1).any(-1).all()
        for b, real in enumerate(learnt.is_proposal)
    )
    assert ranked == (int(learnt.is_proposal.sum()) == 60) or recipe.name == "ce"


@pytest.mark.parametrize("detector", ["fasterrcnn", "cascadercnn"])
@pytest.mark.parametrize("make", [recipes.random, recipes.ohem, recipes.ohem_mmdet, recipes.libra])
@pytest.mark.parametrize("counts", [True, False])
def test_objects_are_among_the_proposals_unless_a_recipe_says_no(counts, make, detector, make_model, make_batch):
    wrapped = wrap(make_model(detector), make(objects_as_proposals=counts)).train()
    assigners = [
        module.assigner
        for module in wrapped.modules()
        if getattr(module, "traits", None) and module.traits.name == "roi"
    ]
    found: list[Tensor] = []
    for assigner in assigners:
        assigner.register_forward_hook(lambda _, args, out: found.append(out.matched_gt[:, -6:]))
    losses = wrapped(*make_batch(1))
    assert len(found) == len(assigners) > 0
    for matched in found:
        of_objects = torch.tensor([[0, 1, 2, -2, -2, -2], [-2] * 6, [0, 1, 2, 3, 4, 5]])
        assert torch.equal(matched, of_objects if counts else torch.full_like(of_objects, -2))
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_without_objects_and_proposals_there_is_nothing_to_learn(make_model, make_batch):
    """And no error: a parameter keeps a gradient, of 0."""
    model, batch = make_model("fasterrcnn"), make_batch(1)
    model.rpn.min_size = 1e6
    losses = wrap(model, recipes.ohem(8, objects_as_proposals=False)).train()(*batch)
    losses["loss_classifier"].backward()
    assert losses["loss_classifier"] == 0
    assert model.roi_heads.box_predictor.cls_score.weight.grad.abs().sum() == 0

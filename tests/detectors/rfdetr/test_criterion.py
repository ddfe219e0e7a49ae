"""rfdetr's criterion with a recipe in it: its own numbers where every weight is 1, and no part of the model."""

import pickle
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from torch import multiprocessing, nn

from hardmine import Recipe, recipes
from hardmine.core.samples import GroundTruth
from hardmine.detectors.rfdetr.criterion import Seam, check_module, is_weighted, make_heads
from hardmine.detectors.weighted_layers import SIDE
from hardmine.errors import ConfigError, FrameworkError

NUM_CLASSES, NUM_GROUPS = 3, 3
BATCHES = {"objects": (3, 2), "one empty": (4, 0), "all empty": (0, 0)}
HALF = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


@pytest.fixture
def weigh(criterion_of_boxes):
    """The criterion with a recipe in it, its seam, and one as it was."""

    def make(recipe: Recipe):
        stock, criterion = deepcopy(criterion_of_boxes), deepcopy(criterion_of_boxes)
        module = SimpleNamespace(model_config=SimpleNamespace(dec_layers=2, num_classes=NUM_CLASSES))
        return criterion, Seam(criterion, nn.ModuleDict(make_heads(module, recipe))), stock

    return make


def tensors_of(outputs):
    layers = (outputs, *outputs["aux_outputs"], outputs["enc_outputs"])
    return [layer[name] for layer in layers for name in ("pred_boxes", "pred_logits")]


def total(criterion, outputs, targets):
    dtype = outputs["pred_logits"].dtype
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        losses = criterion(outputs, targets)
    return losses, sum(losses[name] * gain for name, gain in criterion.weight_dict.items())


def padded(targets, rows=6):
    from rfdetr.utilities.tensors import pad_targets_to_fixed_count

    return list(pad_targets_to_fixed_count(targets, rows))


@pytest.mark.parametrize("pad", [False, True], ids=["", "fixed size"])
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("num_objects", BATCHES.values(), ids=BATCHES)
def test_weights_of_one_give_rfdetrs_own_losses_and_gradients(
    num_objects, dtype, pad, weigh, ones, make_outputs, make_targets
):
    criterion, _, stock = weigh(ones)
    targets = padded(make_targets(*num_objects)) if pad else make_targets(*num_objects)
    for _ in range(2):  # the first step is compared with rfdetr's numbers, the second not
        ours, theirs = make_outputs(2, dtype), make_outputs(2, dtype)
        losses, own_sum = total(criterion, ours, targets)
        stock_losses, stock_sum = total(stock, theirs, targets)
        assert set(losses) == set(stock_losses)
        for name, value in losses.items():
            torch.testing.assert_close(value, stock_losses[name], rtol=HALF[dtype], atol=1e-6)
        for mine, own in zip(
            torch.autograd.grad(own_sum, tensors_of(ours)),
            torch.autograd.grad(stock_sum, tensors_of(theirs)),
            strict=True,
        ):
            torch.testing.assert_close(mine, own, rtol=HALF[dtype], atol=1e-7 if dtype == torch.float32 else 1e-3)


def test_a_recipe_that_sets_nothing_changes_no_bit(weigh, make_outputs, make_targets):
    criterion, _, stock = weigh(recipes.random())
    for _ in range(2):
        ours, theirs = make_outputs(2), make_outputs(2)
        losses, own_sum = total(criterion, ours, make_targets(3, 0))
        stock_losses, stock_sum = total(stock, theirs, make_targets(3, 0))
        assert all(torch.equal(losses[name], stock_losses[name]) for name in stock_losses)
        gradients = torch.autograd.grad(own_sum, tensors_of(ours))
        assert all(map(torch.equal, gradients, torch.autograd.grad(stock_sum, tensors_of(theirs))))


def test_filler_of_fixed_size_targets_is_no_object(weigh, make_outputs, make_targets):
    criterion, _, _ = weigh(recipes.hnm())
    plain, _ = total(criterion, make_outputs(2), make_targets(3, 1))
    filled, _ = total(criterion, make_outputs(2), padded(make_targets(3, 1)))
    for name in plain:
        torch.testing.assert_close(filled[name], plain[name])


def test_every_layer_is_weighed_by_a_head_of_its_own(weigh, make_outputs, make_targets):
    criterion, seam, stock = weigh(recipes.hnm(ratio=1))
    heads = seam.layers.heads
    assert set(heads) == {"last", "aux_0", "encoder"}
    losses, _ = total(criterion, make_outputs(2), make_targets(2, 0))
    stock_losses, _ = total(stock, make_outputs(2), make_targets(2, 0))
    for suffix in ("", "_0", "_enc"):
        assert losses[f"loss_ce{suffix}"] < stock_losses[f"loss_ce{suffix}"]
        torch.testing.assert_close(losses[f"loss_bbox{suffix}"], stock_losses[f"loss_bbox{suffix}"])
    assert losses["class_error"] == stock_losses["class_error"]
    assert losses["cardinality_error"] == stock_losses["cardinality_error"]


def test_the_divisor_is_the_one_that_is_given(weigh, ones, make_outputs, make_targets):
    """In manual optimisation rfdetr divides by 1 and by the objects of all batches later."""
    criterion, _, stock = weigh(ones)
    losses = criterion(make_outputs(2), make_targets(2, 3), num_boxes=1.0)
    expected = stock(make_outputs(2), make_targets(2, 3), num_boxes=1.0)
    for name in expected:
        torch.testing.assert_close(losses[name], expected[name], rtol=1e-5, atol=1e-6)


def state_of(seam):
    return {name: value.clone() for name, value in seam.layers.heads.state_dict().items()}


def moved(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_evaluation_is_not_weighed_and_moves_nothing(weigh, make_outputs, make_targets):
    criterion, seam, stock = weigh(recipes.ghm())
    total(criterion, make_outputs(2), make_targets(2, 3))
    before = state_of(seam)
    with torch.no_grad():
        ours, _ = total(criterion, make_outputs(2), make_targets(2, 3))
        theirs, _ = total(stock, make_outputs(2), make_targets(2, 3))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    ours, _ = total(criterion.eval(), make_outputs(2), make_targets(2, 3))
    theirs, _ = total(stock.eval(), make_outputs(2), make_targets(2, 3))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert not moved(before, state_of(seam))
    total(criterion.train(), make_outputs(2), make_targets(2, 3))
    assert moved(before, state_of(seam))


def test_an_object_of_weight_0_is_neither_learnt_nor_background(weigh, make_outputs, make_targets):
    criterion, seam, _ = weigh(recipes.random())
    targets, outputs = make_targets(1), make_outputs(1)
    corners = torch.cat([targets[0]["boxes"][:, :2] - targets[0]["boxes"][:, 2:] / 2] * 2, 1)
    corners[:, 2:] += targets[0]["boxes"][:, 2:]
    seam.expect(GroundTruth.from_lists([corners * SIDE], [targets[0]["labels"]], weights=[torch.zeros(1)]))
    _, loss = total(criterion, outputs, targets)
    gradients = torch.autograd.grad(loss, tensors_of(outputs))
    for boxes, logits in zip(gradients[::2], gradients[1::2], strict=True):
        assert not boxes.any()
        assert (logits == 0).all(-1).sum() == NUM_GROUPS  # the queries that were matched to it, one of each group


def test_what_lies_in_an_ignore_region_is_no_background(weigh, make_outputs, make_targets):
    criterion, seam, _ = weigh(recipes.random())
    everywhere = torch.tensor([[0.0, 0, SIDE, SIDE]])
    empty = GroundTruth.from_lists([torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.int64)], [everywhere])
    seam.expect(empty)
    outputs = make_outputs(1)
    losses, loss = total(criterion, outputs, make_targets(0))
    assert loss == 0
    loss.backward()  # there is still a graph
    seam.expect(None)
    assert total(criterion, outputs, make_targets(0))[1] > 0
    assert losses["class_error"] == 100


@pytest.mark.parametrize("method", ["loss_labels", "loss_boxes"])
def test_a_changed_formula_is_refused_at_the_first_step_and_looked_at_no_more(
    method, criterion_of_boxes, weigh, ones, make_outputs, make_targets, monkeypatch
):
    criterion, _, _ = weigh(ones)
    kind = type(criterion_of_boxes)
    stock = getattr(kind, method)

    def changed(self, *given, **named):
        return {name: value * 1.1 for name, value in stock(self, *given, **named).items()}

    with monkeypatch.context() as patch:
        patch.setattr(kind, method, changed)
        with pytest.raises(FrameworkError, match=r"rfdetr 1\.\S+ computes its loss of (classes|boxes) in layer 'last'"):
            total(criterion, make_outputs(2), make_targets(2, 3))
    total(criterion, make_outputs(2), make_targets(2, 3))
    monkeypatch.setattr(kind, method, changed)
    total(criterion, make_outputs(2), make_targets(2, 3))


def test_nothing_of_it_is_in_the_module_tree(weigh):
    criterion, seam, stock = weigh(recipes.ghm())
    assert list(criterion.state_dict()) == list(stock.state_dict()) == []
    assert [type(module) for module in criterion.modules()][1:] == [type(module) for module in stock.modules()][1:]
    assert isinstance(criterion, type(stock))
    seam.take_away()
    assert type(criterion) is type(stock)
    assert set(vars(criterion)) == set(vars(stock))


@pytest.mark.parametrize("copy", [deepcopy, lambda whole: pickle.loads(pickle.dumps(whole))], ids=["copy", "pickle"])
def test_a_copy_after_a_step_has_a_state_of_its_own(copy, weigh, make_outputs, make_targets):
    criterion, seam, _ = weigh(recipes.ghm())
    total(criterion, make_outputs(2), make_targets(2, 3))
    before, other = state_of(seam), copy(criterion)
    losses, _ = total(other, make_outputs(2), make_targets(4, 3))
    assert not moved(before, state_of(seam))
    again, _ = total(criterion, make_outputs(2), make_targets(4, 3))
    assert all(torch.equal(losses[name], again[name]) for name in again)


def test_a_second_recipe_is_refused(weigh, ones):
    criterion, seam, _ = weigh(ones)
    assert is_weighted(criterion)
    with pytest.raises(ConfigError, match="attached to this module already"):
        Seam(criterion, seam.layers.heads)


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("ia_bce_loss", False, "ia_bce_loss=True"),
        ("use_varifocal_loss", True, "default form"),
        ("use_position_supervised_loss", True, "default form"),
        ("losses", ["labels", "boxes", "cardinality", "masks"], "losses of masks"),
        ("losses", ["labels", "boxes", "cardinality", "keypoints"], "losses of keypoints"),
    ],
)
def test_losses_that_are_not_adapted_are_refused(setting, value, said, criterion_of_boxes):
    criterion = deepcopy(criterion_of_boxes)
    module = SimpleNamespace(criterion=criterion, model_config=None)
    check_module(module)
    setattr(criterion, setting, value)
    with pytest.raises(ConfigError, match=said):
        check_module(module)


def test_rfdetrs_own_train_is_named_where_there_is_no_way_in():
    with pytest.raises(ConfigError, match=r"SimpleNamespace; expected an RFDETRModelModule.*RFDETR\.train\(\)"):
        check_module(SimpleNamespace(model=None))


def one_rank(rank, folder, weighed, criterion, outputs, targets):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    losses, loss = total(criterion, outputs, targets)
    gradients = torch.autograd.grad(loss, tensors_of(outputs))
    torch.save((losses, gradients), f"{folder}/{rank}")
    torch.distributed.destroy_process_group()


def on_two_ranks(folder, criterion, make_outputs, make_targets):
    folder.mkdir()
    context = multiprocessing.get_context("spawn")
    ranks = [
        context.Process(target=one_rank, args=(rank, folder, True, criterion, make_outputs(2), make_targets(*number)))
        for rank, number in enumerate([(3, 2), (0, 0)])
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(60)
    assert [rank.exitcode for rank in ranks] == [0, 0]
    return [torch.load(folder / str(rank)) for rank in range(2)]


def test_two_ranks_of_which_one_has_no_object(weigh, ones, make_outputs, make_targets, tmp_path):
    criterion, _, stock = weigh(ones)
    ours = on_two_ranks(tmp_path / "ours", criterion, make_outputs, make_targets)
    theirs = on_two_ranks(tmp_path / "theirs", stock, make_outputs, make_targets)
    for (losses, gradients), (stock_losses, stock_gradients) in zip(ours, theirs, strict=True):
        for name in stock_losses:
            torch.testing.assert_close(losses[name], stock_losses[name], rtol=1e-5, atol=1e-6)
        for mine, own in zip(gradients, stock_gradients, strict=True):
            torch.testing.assert_close(mine, own, rtol=1e-5, atol=1e-7)

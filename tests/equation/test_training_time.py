"""How far training is reaches the methods that ask, and nobody else."""

import pytest
import torch

import hardmine as hm
from hardmine.equation.training_time import TrainingTime, set_progress
from hardmine.errors import ConfigError, EvidenceError

SCHEDULED = hm.Recipe("scheduled", slots=lambda _: {"select": hm.Slot(hm.Scheduled(hm.All(), hm.OHEM(8), 0.5))})
BOTH = {"all": hm.Recipe("all", slots=lambda _: {"select": hm.Slot(hm.All())}),
        "ohem": hm.Recipe("ohem", slots=lambda _: {"select": hm.Slot(hm.OHEM(8))})}  # fmt: skip


def losses(model, recipe, batch, progress=None):
    detector = hm.wrap(model, recipe).train()
    if progress is not None:
        detector.set_progress(progress)
    torch.manual_seed(0)
    return {name: loss.item() for name, loss in detector(*batch).items()}


@pytest.mark.parametrize(("name", "first"), [("retinanet", 0), ("fasterrcnn", 1)])
def test_before_the_time_it_is_the_first_and_after_it_the_second(make_model, make_batch, name, first):
    model, batch = make_model(name), make_batch(first)
    expected = {method: losses(model, recipe, batch) for method, recipe in BOTH.items()}
    assert expected["all"] != expected["ohem"]
    assert losses(model, SCHEDULED, batch, 0.49) == pytest.approx(expected["all"])
    assert losses(model, SCHEDULED, batch, 0.5) == pytest.approx(expected["ohem"])


def test_who_does_not_say_how_far_training_is_gets_one_clear_error(make_model, make_batch):
    with pytest.raises(EvidenceError, match=r"call detector\.set_progress\(step / num_steps\) before each step"):
        losses(make_model("retinanet"), SCHEDULED, make_batch(0))


def test_nothing_of_it_is_in_a_checkpoint(make_model):
    model = make_model("retinanet")
    assert not [name for name in hm.wrap(model, SCHEDULED).state_dict() if "progress" in name]


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan")])
def test_what_is_no_share_is_refused(progress):
    with pytest.raises(ConfigError, match="from 0 to 1, got"):
        set_progress(TrainingTime(), progress)


@pytest.mark.parametrize(("name", "first"), [("retinanet", 0), ("fasterrcnn", 1)])
def test_a_warm_up_begins_with_what_the_head_itself_has(make_model, make_batch, name, first):
    """But for the loss and its divisor, which stay the recipe's."""
    model, batch = make_model(name), make_batch(first)
    mined, warm = hm.recipes.ohem_mmdet(budget=16), hm.recipes.ohem_mmdet(budget=16, warmup=0.25)
    assert losses(model, warm, batch, 0.25) == pytest.approx(losses(model, mined, batch))
    head = hm.wrap(model, warm).final_head
    assert type(head.select.first) is type(hm.wrap(model, hm.recipes.random()).final_head.select)

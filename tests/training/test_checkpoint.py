import os

import pytest
import torch
from torch import nn

from hardmine.errors import RunError
from hardmine.training.checkpoint import (
    load_module,
    load_optimizer,
    load_tensors,
    optimizer_tensors,
    refuse_infinite,
    save_tensors,
    with_prefix,
    without_prefix,
)


def test_tensors_and_facts_come_back_as_they_were(tmp_path):
    shared = torch.randn(3, 4)
    tensors = {"a": shared, "same": shared, "strided": shared.t(), "step": torch.tensor(3.0), "n": torch.tensor(2)}
    save_tensors(tmp_path / "c", tensors, {"rows": [{"ap": None, "loss": 0.1}]})
    loaded, facts = load_tensors(tmp_path / "c")
    assert facts == {"rows": [{"ap": None, "loss": 0.1}]}
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("keep", [0, 4, 40, -1])
def test_a_truncated_file_is_refused_in_one_line(tmp_path, keep):
    file = tmp_path / "c"
    save_tensors(file, {"a": torch.zeros(100)}, {})
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(RunError, match="missing, truncated or was not written by hardmine") as error:
        load_tensors(file)
    assert "\n" not in str(error.value)


def test_files_of_others_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "theirs")
    torch.save({"a": torch.zeros(1)}, tmp_path / "pickled")
    for name in ("theirs", "pickled", "missing"):
        with pytest.raises(RunError, match="was not written by hardmine"):
            load_tensors(tmp_path / name)


def test_prefixes_keep_tensors_apart():
    one, two = {"weight": torch.zeros(1)}, {"weight": torch.ones(1), "a.b": torch.ones(2)}
    together = with_prefix("one", one) | with_prefix("two", two)
    assert set(together) == {"one.weight", "two.weight", "two.a.b"}
    assert without_prefix("two", together) == two


def test_a_module_of_other_shape_or_names_is_refused(tmp_path):
    for other in (nn.Linear(2, 3), nn.Conv2d(1, 1, 1), nn.Sequential(nn.Linear(2, 2))):
        with pytest.raises(RunError, match="does not fit this detector") as error:
            load_module(nn.Linear(2, 2), other.state_dict(), tmp_path / "c")
        assert "\n" not in str(error.value)


def train_step(model, optimizer):
    optimizer.zero_grad()
    model(torch.ones(1, 3)).square().sum().backward()
    optimizer.step()


def test_an_optimiser_goes_on_exactly(tmp_path):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW([{"params": [model.weight]}, {"params": [model.bias]}])
    train_step(model, optimizer)
    save_tensors(tmp_path / "c", optimizer_tensors(optimizer) | with_prefix("model", model.state_dict()), {})

    copy = nn.Linear(3, 2)
    tensors, _ = load_tensors(tmp_path / "c")
    load_module(copy, without_prefix("model", tensors), tmp_path / "c")
    continued = torch.optim.AdamW([{"params": [copy.weight]}, {"params": [copy.bias]}])
    memory = {name: tensor for name, tensor in tensors.items() if not name.startswith("model.")}
    load_optimizer(continued, memory, tmp_path / "c")
    train_step(model, optimizer)
    train_step(copy, continued)
    assert torch.equal(model.weight, copy.weight)
    assert torch.equal(model.bias, copy.bias)


@pytest.mark.parametrize(
    "change", [{"7.exp_avg": torch.zeros(2, 3)}, {"0.exp_avg": torch.zeros(5)}, {"a": torch.zeros(1)}]
)
def test_the_memory_of_another_optimiser_is_refused(tmp_path, change):
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    train_step(model, optimizer)
    with pytest.raises(RunError, match="c does not fit this optimiser: "):
        load_optimizer(optimizer, optimizer_tensors(optimizer) | change, tmp_path / "c")


def test_weights_that_are_not_finite_are_named(tmp_path):
    refuse_infinite({"a": torch.zeros(2), "n": torch.tensor(3)}, tmp_path / "c")
    for number in (torch.nan, torch.inf):
        with pytest.raises(RunError, match="c: b is not finite"):
            refuse_infinite({"a": torch.zeros(2), "b": torch.tensor([0, number])}, tmp_path / "c")


@pytest.mark.parametrize("facts", [[1], "a", None, 3])
def test_a_header_of_another_kind_is_refused(tmp_path, facts):
    save_tensors(tmp_path / "c", {"a": torch.zeros(1)}, facts)
    with pytest.raises(RunError, match="its header holds"):
        load_tensors(tmp_path / "c")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "c")
    with pytest.raises(RunError, match="it is a pipe"):
        load_tensors(tmp_path / "c")

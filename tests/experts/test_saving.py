"""An expert and a bank as files."""

import pytest
import torch

from hardmine.errors import ConfigError, RunError
from hardmine.experts import Bank, Expert, SecondModel, load_expert, save_expert
from hardmine.training import checkpoint


@pytest.mark.parametrize("make", [lambda: Expert(6, 3, hidden=5), lambda: Bank(6, 3, size=9, neighbours=2)])
def test_what_is_read_says_what_was_written(make, tmp_path):
    second = make().eval()
    if isinstance(second, Bank):
        second.add(torch.randn(4, 6), torch.tensor([0, 1, 2, 0]))
    torch.nn.init.normal_(second.opening.weight)
    save_expert(tmp_path / "second.safetensors", second)
    read = load_expert(tmp_path / "second.safetensors")
    features, base = torch.randn(7, 6), torch.randn(7, 3)
    assert type(read) is type(second)
    assert not read.training
    assert torch.equal(read(features, base), second(features, base))


def test_another_second_model_is_refused(tmp_path):
    class Other(SecondModel):
        def says(self, features, base):
            return base

        def gate(self, features, base):
            return base[:, 0]

    with pytest.raises(ConfigError, match="expected an Expert or a Bank"):
        save_expert(tmp_path / "other.safetensors", Other(2, 2, 1))


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"kind": "oracle", "options": {}},
        {"kind": "expert", "options": {"num_features": 3}},
        {"kind": "expert", "options": {"num_features": 0, "num_classes": 3}},
        {"kind": ["expert"], "options": {}},
        {"kind": "expert", "options": {"num_features": "3", "num_classes": 3}},
    ],
)
def test_a_file_of_something_else_is_refused(facts, tmp_path):
    checkpoint.save_tensors(tmp_path / "other.safetensors", Expert(3, 3).state_dict(), facts)
    with pytest.raises(RunError, match="holds no expert and no bank"):
        load_expert(tmp_path / "other.safetensors")


def test_one_of_another_size_one_with_what_is_not_finite_and_none_are_refused(tmp_path):
    file = tmp_path / "expert.safetensors"
    checkpoint.save_tensors(file, Expert(3, 3).state_dict(), {"kind": "expert", "options": Expert(4, 3).options})
    with pytest.raises(RunError):
        load_expert(file)
    broken = Expert(3, 3)
    broken.mean.fill_(torch.nan)
    save_expert(file, broken)
    with pytest.raises(RunError, match="not finite"):
        load_expert(file)
    with pytest.raises(RunError):
        load_expert(tmp_path / "none.safetensors")

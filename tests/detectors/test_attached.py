"""What samplings remember is saved beside a framework's checkpoints."""

import pytest
import torch

from hardmine import recipes
from hardmine.detectors.attached import STATE_FILE, Attached
from hardmine.detectors.traits import soft_traits
from hardmine.equation.framework_head import FrameworkHead
from hardmine.errors import RunError


class Here(Attached):
    def detach(self) -> None:
        """Nothing was put anywhere."""


def attached(recipe) -> Here:
    return Here({"head": FrameworkHead(soft_traits("yolo", 3), recipe)})


def test_what_was_saved_comes_back(tmp_path):
    first, second = attached(recipes.ghm()), attached(recipes.ghm())
    for buffer in first.heads.buffers():
        buffer.copy_(torch.rand(buffer.shape))
    first.save(tmp_path)
    second.load(tmp_path)
    assert list(first.heads.buffers())
    for name, value in first.heads.state_dict().items():
        assert torch.equal(second.heads.state_dict()[name], value)


def test_the_state_of_another_recipe_is_refused(tmp_path):
    attached(recipes.ghm()).save(tmp_path)
    with pytest.raises(RunError, match=rf"{STATE_FILE}: not the state of this recipe's samplings"):
        attached(recipes.eqlv2()).load(tmp_path)
    with pytest.raises(RunError, match=STATE_FILE):
        attached(recipes.ghm()).load(tmp_path / "nowhere")

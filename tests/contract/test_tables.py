"""No public method escapes the contract."""

import importlib
import inspect

import pytest
from torch import nn

from hardmine.losses import TaskBalance


@pytest.mark.parametrize("part", ["sampling", "assign", "losses", "equation.normalize"])
def test_every_public_method_is_in_its_table(part: str, tables):
    module = importlib.import_module(f"hardmine.{part}")
    public = {getattr(module, name) for name in module.__all__ if inspect.isclass(getattr(module, name))}
    methods = {kind for kind in public if issubclass(kind, nn.Module) and not inspect.isabstract(kind)}
    methods -= {kind for kind in methods if issubclass(kind, TaskBalance)}  # no loss of a sample, see losses/
    assert methods == {type(make()) for make in tables[part.rsplit(".", maxsplit=1)[-1]].values()}

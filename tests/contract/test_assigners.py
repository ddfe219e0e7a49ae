"""Every assigner keeps to the contract."""

import pytest
import torch

from hardmine.core.samples import GroundTruth
from hardmine.testing.assigners import ASSIGNER_CONTRACT
from hardmine.testing.contract import captured, check


@pytest.mark.parametrize("name", ASSIGNER_CONTRACT)
def test_an_assigner(assigner, name):
    check(assigner, {name: ASSIGNER_CONTRACT[name]})


def test_one_that_waits_for_the_device_is_not_captured(assigner, anchors, levels, predictions):
    if assigner.on_device:
        return
    objects = GroundTruth.from_lists([torch.tensor([[4.0, 5, 30, 28]])] * 2, [torch.arange(1)] * 2)
    with captured(assigner) as compiled, pytest.raises(torch._dynamo.exc.Unsupported):
        compiled(anchors, objects, levels=levels, predictions=predictions)

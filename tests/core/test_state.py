"""What is read of a buffer stays what it was, in compiled calls too."""

import torch
from torch import Tensor

from hardmine.core.state import snapshot


def test_a_snapshot_does_not_follow_the_buffer():
    buffer = torch.tensor([1.0, 2.0])
    before = snapshot(buffer)
    buffer += 1
    assert before.tolist() == [1, 2]


def test_a_compiled_backward_pass_sees_what_the_forward_pass_saw():
    def add_up(values: Tensor, total: Tensor) -> Tensor:
        weighted = snapshot(total).exp() * values
        total += values.detach()
        return weighted.square().sum()

    values = torch.tensor([1.0, 2.0], requires_grad=True)
    compiled = torch.compile(add_up, fullgraph=True, backend="aot_eager")
    compiled(values, torch.zeros(2)).backward()
    assert values.grad.tolist() == [2, 4]


def test_the_operation_is_registered_as_torch_expects():
    torch.library.opcheck(torch.ops.hardmine.snapshot.default, (torch.rand(3),))

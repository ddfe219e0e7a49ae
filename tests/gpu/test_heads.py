"""A head does on a device what it does on the CPU under every recipe, from assignment to gradient, and never waits."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hardmine import RECIPES, wrap
from hardmine.core.samples import GroundTruth
from hardmine.detectors import build
from hardmine.detectors.support import heads_under
from hardmine.detectors.torchvision.roi_stage import Proposals
from hardmine.equation.head import Head, HeadOutput

NUM_CLASSES, SIZE = 3, 64
Call = tuple[nn.Module, tuple[Any, ...], Mapping[str, Any]]


def batch(label_offset: int, num: int = 3) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """Two images, one with a crowd and so many objects, of several weights, and one without objects."""
    corner = torch.rand(num + 1, 2) * 30
    boxes = torch.cat([corner, corner + 10 + torch.rand(num + 1, 2) * 20], dim=-1)
    labels, is_crowd = torch.arange(num + 1) % NUM_CLASSES + label_offset, torch.arange(num + 1) == num
    first = {"boxes": boxes, "labels": labels, "iscrowd": is_crowd, "weights": torch.linspace(1, 0, num + 1)}
    none = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    return [torch.rand(3, SIZE, SIZE) for _ in range(2)], [first, none]


def recorded(detector: nn.Module, *batches: tuple[list[Tensor], list[dict[str, Tensor]]]) -> list[Call]:
    """The calls of the assigners and heads in steps on the CPU."""
    calls: list[Call] = []

    def record(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append((module, args, kwargs))

    for head in [module for module in detector.modules() if isinstance(module, Head)]:
        for part in (head.assigner, head):
            part.register_forward_pre_hook(record, with_kwargs=True)
    for each in batches:
        detector.train()(*each)
    for module, _, _ in calls:
        module._forward_pre_hooks.clear()
    return calls


def assign(assigner: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    assignment = assigner(*args, **kwargs)
    return [assignment.matched_gt, assignment.iou]


def lose(head: Head, output: HeadOutput, *others: Any) -> list[Tensor]:
    """The losses, what was selected, and the gradients of logits and codes."""
    logits, codes = (each.detach().requires_grad_() for each in (output.logits, output.codes))
    losses = head(replace(output, logits=logits, codes=codes), *others)
    gradients = torch.autograd.grad(losses.classify + losses.regress, (logits, codes))
    return [losses.classify.detach(), losses.regress.detach(), losses.selected, *gradients]


def parts(module: nn.Module) -> list[nn.Module]:
    """Those of a head that its own call uses; the assigner is another call."""
    return [part for part in module.modules() if part is not getattr(module, "assigner", None)]


TAKEN = [
    (name, detector)
    for name, make in RECIPES.items()
    for detector, heads in heads_under(make()).items()
    if detector in ("retinanet", "fasterrcnn") and isinstance(heads, list)
]


@pytest.mark.parametrize(("name", "detector"), TAKEN)
def test_every_head_under_every_recipe(name, detector, check_call, same_noise):
    model = build(detector, NUM_CLASSES, backbone="tiny", image_size=SIZE)
    wrapped = wrap(model, RECIPES[name]())
    for module, args, kwargs in recorded(wrapped, batch(wrapped.label_offset)):
        on_device = all(getattr(part, "on_device", True) for part in parts(module))
        if isinstance(module, Head):
            check_call(lose, module, *args, on_device=on_device)
        else:
            check_call(assign, module, args, kwargs, on_device=on_device)


def test_putting_a_batch_together_waits_for_nothing(place, moved):
    boxes, labels, regions = moved(
        (list(torch.rand(2, 3, 4)), [torch.arange(3)] * 2, [torch.rand(1, 4)] * 2), place.device
    )
    with place.waiting_is_an_error():
        ground_truth = GroundTruth.from_lists(boxes, labels, regions, [torch.ones_like(box[:, 0]) for box in boxes])
        found = Proposals.from_lists([boxes[0][:1], boxes[1]]).with_objects(ground_truth)
    assert found.boxes.shape == (2, 6, 4)
    assert found.is_padding.cpu().tolist() == [[False, True, True, False, False, False], [False] * 6]

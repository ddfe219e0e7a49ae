"""A watched head sums up on a device what it does on the CPU, and the host never waits."""

import pytest
import torch

from hardmine import RECIPES, wrap
from hardmine.detectors import build
from hardmine.diagnosis import watch
from hardmine.equation.head import Head
from tests.gpu.test_heads import NUM_CLASSES, SIZE, batch, lose, recorded

STATE = ("squares", "objects", "objects_of", "moments", "ranks", "images", "richest", "empty", "candidates")


@pytest.mark.parametrize(("detector", "recipe"), [("retinanet", "ghm"), ("ssd", "hnm"), ("fasterrcnn", "ce")])
def test_a_watched_head(place, same_noise, moved, detector, recipe):
    with torch.device("cpu"):
        wrapped = wrap(build(detector, NUM_CLASSES, backbone="tiny", image_size=SIZE), RECIPES[recipe]())
        calls = recorded(wrapped, batch(wrapped.label_offset))
    for head, args, _ in [call for call in calls if isinstance(call[0], Head)]:
        own, there, args_there = moved(head, torch.device("cpu")), moved(head, place.device), moved(args, place.device)
        with watch(own) as expected:
            lose(own, *args)
        with watch(there) as found, place.waiting_is_an_error():
            lose(there, *args_there)
        (expected,), (found,) = (list(watched._heads.values()) for watched in (expected, found))
        for name in STATE:
            theirs = getattr(found.tally, name)
            assert theirs.device.type == place.device.type
            torch.testing.assert_close(theirs.cpu(), getattr(expected.tally, name), rtol=1e-4, atol=1e-5)
        for name, sums in expected.tally.sums.items():
            torch.testing.assert_close(found.tally.sums[name].cpu(), sums, rtol=1e-4, atol=1e-4)

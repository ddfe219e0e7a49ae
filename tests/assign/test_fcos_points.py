"""Arguments; the assignment itself is compared with a loop in oracle/ and with torchvision's in detectors/."""

import pytest
import torch

from hardmine import FCOSPoints, GroundTruth
from hardmine.core.samples import Levels
from hardmine.errors import ConfigError, ShapeError


@pytest.mark.parametrize(
    "options", [{"radius": 0}, {"radius": float("nan")}, {"ignore_overlap": 1.5}, {"chunk": 0}], ids=str
)
def test_arguments_out_of_range_are_refused(options):
    with pytest.raises(ConfigError, match="FCOSPoints needs"):
        FCOSPoints(**options)


@pytest.mark.parametrize("levels", [None, Levels((3,), (8,), (1,)), Levels((2, 2), (8,), (1, 1))])
def test_levels_that_do_not_add_up_are_refused(levels):
    ground_truth = GroundTruth.from_lists([torch.zeros(0, 4)], [torch.zeros(0, dtype=torch.int64)])
    with pytest.raises(ShapeError, match="expected levels with a stride each and 4 samples"):
        FCOSPoints()(torch.zeros(1, 4, 4), ground_truth, levels=levels)

"""At what scale claims are checked: in seconds to see that it runs, on small scenes in minutes, on COCO or VOC in days.

smoke   one seed and one epoch on the smaller half of the built-in scenes: says whether it runs, and gives no verdict
small   three seeds of tiny detectors on the built-in scenes, each trained until it finds something
full    three seeds of the detectors that papers have, on the data set at a path
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hardmine.claims.claim import Cell
from hardmine.data.scenes import SCENES
from hardmine.errors import ConfigError, check_name
from hardmine.training import TrainingConfig

__all__ = ["SCALES", "Scale", "scale_called"]


@dataclass(frozen=True, slots=True)
class Scale:
    """How large everything is.

    changes: training options of all runs.  of_detector: those of one kind of detector.
    repeats: of a timing.  proposals: of an image, where the cost of mining them is timed.  scores: of a head, at most,
    where the cost of harmonising them is.  images: that boxes are cut from to be classified.
    """

    name: str
    seeds: tuple[int, ...]
    changes: Mapping[str, Any]
    of_detector: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    data: str | None = SCENES
    repeats: int = 11
    proposals: int = 500
    scores: int = 100_000
    images: int = 200

    def config(self, cell: Cell, seed: int) -> TrainingConfig:
        """The training of a cell under a seed, with no rule left to be applied."""
        if self.data is None:
            raise ConfigError(f"at scale {self.name} claims are checked on a data set of yours; give --data PATH")
        options = {"data": self.data, **self.changes, **self.of_detector.get(cell.detector, {})}
        config = TrainingConfig(**options, **cell.changes(), seed=seed)
        return replace(config, lr=config.peak_lr, batch_size=config.images_per_step)


SCALES = {
    "smoke": Scale(
        "smoke",
        (0,),
        {"train_split": "val", "image_size": 64, "epochs": 1, "batch_size": 8},
        repeats=1,
        proposals=100,
        scores=10_000,
        images=30,
    ),
    "small": Scale(
        "small",
        (0, 1, 2),
        {"epochs": 4},
        {
            "retinanet": {"epochs": 8, "lr": 0.004, "image_size": 96},
            "fcos": {"epochs": 8, "lr": 0.004, "image_size": 96},
        },
    ),
    "full": Scale(
        "full",
        (0, 1, 2),
        {"backbone": "resnet50", "weights": "imagenet", "epochs": 12, "batch_size": 16, "lr": 1e-3},
        data=None,
        repeats=21,
        proposals=2000,
        scores=1_000_000,
        images=1000,
    ),
}


def scale_called(name: str, data: str | None = None, num_seeds: int | None = None) -> Scale:
    """A scale, on a data set at a path and with as many seeds as are given, where they are.

    Raises: ConfigError: there is no such scale.
    """
    check_name("scale", name, SCALES)
    scale = SCALES[name]
    scale = scale if data is None else replace(scale, data=data)
    return scale if num_seeds is None else replace(scale, seeds=tuple(range(num_seeds)))

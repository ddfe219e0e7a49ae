"""How each object is learnt, epoch by epoch: what the surest of its samples says.

RUN/dynamics/epoch_0001.parquet: a row each time that an object was seen, from the head that detections come from:

    epoch, image_id, file_name, place
                              which object: of which image, its name where the data set has no ids, and its place among
                              those of the image, crowds included, from 0
    score, iou, loss          of its sample with the highest score for its class: that score, the IoU of the predicted
                              box, and -log(score)
    margin                    the score less that of the likeliest other class, or of the background where it has one

An object that no sample was assigned to has nulls. A label whose margin stays low, or swings, while its like are learnt
is worth a look (Pleiss et al., Identifying Mislabeled Data using the Area Under the Margin Ranking, NeurIPS 2020).
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from hardmine.core.boxes import paired_iou
from hardmine.core.samples import Activation, Assignment, GroundTruth, Predictions
from hardmine.data import DetectionDataset
from hardmine.data.parquet import files_in, reading
from hardmine.detectors import Detector
from hardmine.equation.framework_head import FrameworkHead
from hardmine.equation.head import Head
from hardmine.errors import DataError, RunError, what_failed
from hardmine.files.writing import write_atomically

__all__ = ["Recorder", "WithPlaces", "read_dynamics"]

MEASURED = ("score", "margin", "iou", "loss")
SMALLEST = 1e-12


class WithPlaces(torch.utils.data.Dataset):
    """A data set whose targets also say which object of the image each is: `place` (n,) int64."""

    def __init__(self, dataset: DetectionDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Any]]:
        image, target = self.dataset[index]
        name = self.dataset.called(index).get("file_name")
        return image, target | {"place": torch.arange(len(target["labels"])), "file_name": name}


class Recorder:
    """Watches the head that detections come from and keeps what it says of each object until the epoch is written."""

    def __init__(self, detector: Detector) -> None:
        self.rows: list[dict[str, list[Any]]] = []
        self.targets: Sequence[Mapping[str, Any]] = ()
        look: Any = torch.compiler.disable(self._look)  # at values, which no graph can hold
        detector.final_head.register_forward_hook(look)

    def expect(self, targets: Sequence[Mapping[str, Any]]) -> None:
        """Says which batch comes next."""
        self.targets = targets

    def write(self, folder: Path, epoch: int, accelerator: Accelerator) -> None:
        """Writes an epoch of all processes, and forgets it.

        Raises: RunError: the disk is full or the folder cannot be written.
        """
        rows = gather_object(self.rows)
        self.rows = []
        if accelerator.is_main_process:
            table = pl.concat([pl.DataFrame(batch, schema=SCHEMA) for batch in rows])
            content = BytesIO()
            table.select(pl.lit(epoch).alias("epoch"), pl.all()).write_parquet(content)
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise RunError(f"cannot make {folder}: {what_failed(error)}, then go on with --resume") from error
            write_atomically(folder / f"epoch_{epoch:04}.parquet", content.getvalue())

    def _look(self, head: Head | FrameworkHead, given: tuple[Any, ...], _: object) -> None:
        if not self.targets:  # a head may be asked again, of other matches for the box loss
            return
        output, ground_truth = given[:2]
        assignment = given[2] if isinstance(head, Head) else Assignment(output.matched_gt, output.boxes[..., 0] * 0)
        said = best_of_objects(head.predictions(output), head.traits.activation, ground_truth, assignment)
        for target, is_object, *values in zip(self.targets, ground_truth.is_object, *said.values(), strict=True):
            place = target["place"][~target["iscrowd"]]
            own = place >= 0  # objects that were pasted are none of the image's own
            measured = {name: value[is_object][own].tolist() for name, value in zip(said, values, strict=True)}
            place = place[own].tolist()
            which = {name: [target[name]] * len(place) for name in ("image_id", "file_name")}
            self.rows.append({**which, "place": place, **measured})
        self.targets = ()


OBJECT = {"image_id": pl.Int64, "file_name": pl.String, "place": pl.Int64}
SCHEMA = {**OBJECT, **dict.fromkeys(MEASURED, pl.Float32)}


@torch.no_grad()
def best_of_objects(
    said: Predictions, activation: Activation, ground_truth: GroundTruth, assignment: Assignment
) -> dict[str, Tensor]:
    """`MEASURED` of each object's surest sample, (B, G) each; NaN where no sample is assigned to it."""
    label = ground_truth.labels_of(assignment).clamp_min(0).unsqueeze(-1)
    score = said.scores.gather(-1, label).squeeze(-1)
    rival = said.scores.scatter(-1, label, 0).amax(dim=-1)
    if activation == "softmax":
        rival = torch.maximum(rival, 1 - said.scores.sum(dim=-1))
    iou = paired_iou(said.boxes, ground_truth.boxes_of(assignment).to(said.boxes.dtype))
    of_sample = {"score": score, "margin": score - rival, "iou": iou, "loss": -score.clamp_min(SMALLEST).log()}
    best, exists = _surest_sample(score, assignment, ground_truth.labels.shape[1])
    return {name: value.gather(1, best).masked_fill(~exists, torch.nan) for name, value in of_sample.items()}


def _surest_sample(score: Tensor, assignment: Assignment, num_objects: int) -> tuple[Tensor, Tensor]:
    """The sample with the highest score of each object, (B, G), and whether there is one."""
    matched, positive = assignment.matched_gt.clamp_min(0), assignment.is_positive
    score = score.masked_fill(~positive, -1)
    highest = score.new_full((len(score), num_objects), -1).scatter_reduce(1, matched, score, "amax")
    num = score.shape[1]
    place = torch.arange(num, device=score.device).expand_as(matched)
    candidate = place.masked_fill(~positive | (score < highest.gather(1, matched)), num)
    best = place.new_full(highest.shape, num).scatter_reduce(1, matched, candidate, "amin")
    return best.clamp_max(num - 1), best < num


def read_dynamics(folder: Path, dataset: DetectionDataset) -> pl.DataFrame | None:
    """Over the epochs: image_id, place; margin_mean, margin_std, score_mean, iou_mean, loss_mean of each object.

    Images are those of the data set, found by name where it has no ids; what it does not have any more is left out.
    None where nothing was recorded.

    Raises: RunError: it cannot be read.
    """
    if not folder.exists():
        return None
    means = [pl.col(name).mean().alias(f"{name}_mean") for name in MEASURED]
    try:
        with reading(folder):
            rows = pl.scan_parquet(files_in(folder), glob=False).with_columns(pl.col(MEASURED).fill_nan(None))
            over_epochs = rows.group_by(*OBJECT).agg(*means, pl.col("margin").std().alias("margin_std")).collect()
    except DataError as error:
        raise RunError(f"what the run recorded cannot be read: {error}") from error
    if not over_epochs["file_name"].is_null().all():
        over_epochs = _with_numbers_of(dataset, over_epochs)
    return over_epochs.drop("file_name")


def _with_numbers_of(dataset: DetectionDataset, rows: pl.DataFrame) -> pl.DataFrame:
    numbers = {}
    for name in rows["file_name"].unique():
        with suppress(DataError):  # removed since
            (place,) = dataset.image_names.find([(None, name)])
            numbers[name] = dataset.records[place].image_id
    number = pl.col("file_name").replace_strict(numbers, default=None, return_dtype=pl.Int64)
    return rows.with_columns(image_id=number).drop_nulls("image_id")

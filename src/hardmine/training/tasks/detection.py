"""Detection: objects by boxes, measured by COCO's average precision."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from hardmine.data import DetectionDataset, groups_of, open_dataset
from hardmine.data.transforms import collate, training_transform
from hardmine.detectors import Detector
from hardmine.errors import RunError
from hardmine.evaluation import Judged, Metrics, evaluate_predictions, judge
from hardmine.files.writing import as_json, is_taken, write_json, write_new
from hardmine.predictions import read_results, written_results
from hardmine.training.augmented import augmentation_of, weights_of_images
from hardmine.training.batches import Augmentation
from hardmine.training.config import TrainingConfig
from hardmine.training.data import open_measured_data, open_split, open_training_data
from hardmine.training.folder import RunFolder
from hardmine.training.planted import write_planted
from hardmine.training.predict import predict, predict_shards
from hardmine.training.proposals import with_proposals
from hardmine.training.summed import SummedLoss
from hardmine.training.tasks.task import Asked, Task

__all__ = ["Detection", "FoundBoxes"]

HARDLY_LEARNT = 0.01
"""Below this AP a detector finds next to nothing, so that recipes are alike whatever they are."""


@dataclass(frozen=True, slots=True)
class FoundBoxes:
    """COCO results of all processes."""

    dataset: DetectionDataset
    accelerator: Accelerator
    results: list[dict[str, Any]]

    @property
    def metrics(self) -> Metrics:
        """COCO's metrics."""
        return evaluate_predictions(self.dataset.coco_ground_truth(), self.results)

    def write(self, path: Path) -> None:
        """Writes them in one file. Raises: RunError: it cannot be written."""
        if self.accelerator.is_main_process:
            write_json(path, written_results(self.dataset, self.results))


class Detection(Task):
    """Objects by boxes."""

    name = "detection"
    model = Detector
    main, called = "ap", "AP"
    columns = {"ap": "AP", "ap50": "AP50", "ap75": "AP75"}  # noqa: RUF012
    metrics = Metrics
    recipes = "random,ohem,hnm"

    def open_training_data(self, config: TrainingConfig) -> tuple[DetectionDataset, DetectionDataset]:
        return open_training_data(config)

    def open_measured_data(self, config: TrainingConfig, split: str | None = None) -> DetectionDataset:
        return open_measured_data(config, split)

    def open_asked(self, config: TrainingConfig, classes: Mapping[int | str, str], asked: Asked) -> DetectionDataset:
        unlabelled = asked.allow_unlabelled or not asked.needs_labels
        if asked.data is not None:
            dataset = open_dataset(
                asked.data, asked.split, classes=classes, images=asked.images, allow_unlabelled=unlabelled
            )
            return with_proposals(dataset, asked.proposals or config.proposals)
        config = replace(config, allow_unlabelled=unlabelled or config.allow_unlabelled)
        config = config if asked.proposals is None else replace(config, proposals=asked.proposals)
        config = config if asked.images is None else replace(config, images=str(asked.images))
        if asked.split in (None, config.measured_split):
            return open_training_data(config)[1]
        return open_split(config, asked.split, tuple(classes.values()))

    def groups(self, dataset: DetectionDataset, by: str) -> np.ndarray:
        return groups_of(dataset, by)

    def image_weights(self, config: TrainingConfig, dataset: DetectionDataset) -> np.ndarray | None:
        return weights_of_images(config, dataset)

    def augmentation(
        self, config: TrainingConfig, images: Any = None, dataset: DetectionDataset | None = None
    ) -> Augmentation:
        added = None if dataset is None else augmentation_of(config, images, dataset)
        return training_transform(*config.flips, config.crop, added), collate

    def tensors(self, targets: list[dict[str, Any]]) -> list[dict[str, Tensor]]:
        return [{name: value for name, value in of.items() if isinstance(value, Tensor)} for of in targets]

    def summed(self, model: Detector, config: TrainingConfig) -> SummedLoss:
        return SummedLoss(model, config.classification_weight)

    def find(
        self,
        model: Detector,
        dataset: DetectionDataset,
        accelerator: Accelerator,
        *,
        batch_size: int = 8,
        workers: int = 0,
        watch: Callable[[DataLoader[Any]], Iterable[Any]] = iter,
    ) -> FoundBoxes:
        results = predict(model, dataset, accelerator, batch_size=batch_size, workers=workers, watch=watch)
        return FoundBoxes(dataset, accelerator, results)

    def predictions(self, folder: RunFolder, split: str) -> Path:
        return folder.predictions(split)

    def is_kept(self, folder: RunFolder, dataset: DetectionDataset) -> bool:
        return folder.predictions(dataset.split).exists()

    def read(self, folder: RunFolder, dataset: DetectionDataset) -> list[dict[str, Any]]:
        return read_results(folder.predictions(dataset.split), dataset)

    def judge(self, dataset: DetectionDataset, found: list[dict[str, Any]]) -> Judged:
        return judge(dataset.coco_ground_truth(), found)

    def refuse_out(self, out: Path) -> None:
        if _is_in_one_piece(out) and is_taken(out):
            raise RunError(f"{out} exists already; choose another file")

    def write_found(
        self,
        model: Detector,
        dataset: DetectionDataset,
        accelerator: Accelerator,
        out: Path,
        config: TrainingConfig,
        asked: Asked,
    ) -> None:
        size = config.images_per_step
        if not _is_in_one_piece(out):
            options = _what_decides(config, asked.proposals)
            predict_shards(model, dataset, accelerator, out, batch_size=size, options=options)
            return
        found = self.find(model, dataset, accelerator, batch_size=size)
        if accelerator.is_main_process:
            write_new(out, as_json(written_results(dataset, found.results)))

    def facts(self, dataset: DetectionDataset) -> dict[str, Any]:
        ids = {"category_ids": dataset.category_ids, "own_category_ids": dataset.own_category_ids}
        return {"classes": dataset.classes, **ids}

    def write_planted(self, file: Path, train_data: DetectionDataset) -> None:
        write_planted(file, train_data)

    def hardly_learnt(self, recipes: Iterable[Mapping[str, float | None]]) -> str | None:
        if any((of.get(self.main) or 0.0) >= HARDLY_LEARNT for of in recipes):
            return None
        return f"No recipe has an AP of {HARDLY_LEARNT:g}"


def _is_in_one_piece(out: Path) -> bool:
    return out.suffix == ".json"


def _what_decides(config: TrainingConfig, proposals: str | None) -> str:
    """What of a configuration, beside the weights, decides what is found."""
    on_backbone = f", {config.backbone}" if config.is_torchvisions else ""
    source = proposals or config.proposals
    among = f", among proposals of {source}" if source else ""
    return f"{config.detector}{on_backbone}, image size {config.side}{among}"

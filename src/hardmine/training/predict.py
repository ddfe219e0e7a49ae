"""What a detector finds in a data set: COCO results in one piece, or Parquet shards of each process."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, send_to_device
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from hardmine.core.boxes import SIDES
from hardmine.data import DetectionDataset
from hardmine.data.transforms import collate
from hardmine.detectors import Detector
from hardmine.errors import DataError, RunError, what_failed
from hardmine.files.reading import read_text
from hardmine.files.versions import version_of
from hardmine.files.writing import write_atomically, write_json
from hardmine.predictions import written_table

__all__ = ["coco_results", "predict", "predict_shards", "refuse_unfinished_shards"]

logger = logging.getLogger("hardmine")

PARQUET, PLAN = ".parquet", "plan.json"


@torch.no_grad()  # not inference_mode: torchvision caches anchors, and training cannot use a cached inference tensor
def predict(
    detector: Detector,
    dataset: DetectionDataset,
    accelerator: Accelerator,
    *,
    batch_size: int = 8,
    workers: int = 0,
    watch: Callable[[DataLoader[Any]], Iterable[Any]] = iter,
) -> list[dict[str, Any]]:
    """Runs the detector over a data set in float32 and returns the results of all processes, each image once, in order.

    Detections of any score are among them, as many as the model gives of an image. `watch` sees the batches of this
    process go by, for a progress bar. The detector is left in evaluation mode.
    """
    share = _share(dataset, accelerator)
    loader = DataLoader(Subset(dataset, share), batch_size, num_workers=workers, collate_fn=collate)
    found = [coco_results(*of, dataset.category_ids) for of in _detections(detector, watch(loader), accelerator)]
    by_index = sorted(gather_object(list(zip(share, found, strict=True))), key=lambda pair: pair[0])
    return [result for _, results in by_index for result in results]


@torch.no_grad()
def predict_shards(
    detector: Detector,
    dataset: DetectionDataset,
    accelerator: Accelerator,
    folder: Path,
    *,
    batch_size: int = 8,
    workers: int = 0,
    images_per_shard: int = 1000,
    options: str = "",
) -> None:
    """Writes what the detector finds as Parquet: image_id, category_id, x1, y1, x2, y2 in pixels, score.

    Where the data set has no ids of its own, also file_name.

    Each process writes shards of its own, so nothing is gathered; a shard that is there is not predicted again. Beside
    them `plan.json` says of what they are.

    Args: options: whatever else than weights and images decides what is found, in words.
    Raises: RunError: the folder holds shards of anything else, or cannot be written.
    """
    rank, num = accelerator.process_index, accelerator.num_processes
    plan = {
        "hardmine": version_of("hardmine"),
        "weights": _hash_of_weights(detector),
        "options": options,
        "data": dataset.name,
        "split": dataset.split,
        "images": len(dataset),
        "names": dataset.hash_of_images(),
        "processes": num,
        "shards": [name for of in range(num) for name in _shards(len(dataset), of, num, images_per_shard)],
    }
    if accelerator.is_main_process:
        _start(folder, plan)
    accelerator.wait_for_everyone()
    share = _share(dataset, accelerator)
    for name, start in _shards(len(dataset), rank, num, images_per_shard).items():
        if (folder / name).exists():
            continue
        images = Subset(dataset, share[start : start + images_per_shard])
        loader = DataLoader(images, batch_size, num_workers=workers, collate_fn=collate)
        table = pl.concat([_rows(*of, dataset.category_ids) for of in _detections(detector, loader, accelerator)])
        table = written_table(dataset, table)
        stream = BytesIO()
        table.write_parquet(stream)
        write_atomically(folder / name, stream.getvalue())
        logger.info("process %d of %d: %d of %d images", rank + 1, num, start + len(images), len(share))
    accelerator.wait_for_everyone()


def refuse_unfinished_shards(folder: Path) -> None:
    """Raises: DataError: the folder is one of `predict_shards`, and not all that it should hold is there."""
    wanted = _read_plan(folder).get("shards", [])
    lacking = [name for name in wanted if not (folder / name).exists()]
    if lacking:
        raise DataError(
            f"{folder} is not finished: it lacks {len(lacking)} of {len(wanted)} files, the first is {lacking[0]}; "
            "give the same `hardmine predict` again, which goes on"
        )


def _start(folder: Path, plan: Mapping[str, Any]) -> None:
    """Makes the folder for shards, or checks that what is there are shards of the same."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = sorted({file.name for file in folder.iterdir() if not file.name.startswith(".")} - {PLAN})
    except OSError as error:
        raise RunError(f"cannot make {folder}: {what_failed(error)}") from error
    if not (folder / PLAN).exists():
        if others:
            raise RunError(f"{folder} holds {others[0]}, and no {PLAN} that says of what; choose another folder")
        write_json(folder / PLAN, plan)
    stored = _read_plan(folder)
    differences = [name for name in plan if stored.get(name) != plan[name]]
    if differences:
        raise RunError(
            f"{folder} holds predictions of something else ({', '.join(differences)} differ); choose another folder"
        )
    if strange := set(others) - set(plan["shards"]):
        raise RunError(f"{folder} holds {min(strange)}, which is not of these predictions; choose another folder")


def _read_plan(folder: Path) -> dict[str, Any]:
    """What a folder of shards says of itself; nothing, where it is none."""
    try:
        plan = json.loads(read_text(folder / PLAN))
    except (DataError, ValueError, RecursionError):
        return {}
    return plan if isinstance(plan, dict) else {}


def _shards(num_images: int, rank: int, num_processes: int, images_per_shard: int) -> dict[str, int]:
    """The files of a process, and from which of its images on each is."""
    starts = range(0, len(range(rank, num_images, num_processes)), images_per_shard)
    return {f"of{num_processes}-rank{rank:05}-{start:09}{PARQUET}": start for start in starts}


def _hash_of_weights(detector: nn.Module) -> str:
    content = sha256()
    for name, tensor in detector.state_dict().items():
        content.update(name.encode())
        content.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()


def _share(dataset: DetectionDataset, accelerator: Accelerator) -> range:
    """The images of this process."""
    return range(accelerator.process_index, len(dataset), accelerator.num_processes)


def _detections(
    detector: Detector, batches: Iterable[Any], accelerator: Accelerator
) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
    """Image id, boxes, labels 0..C-1 and scores of each image."""
    detector.eval()
    with _any_score(detector):
        for images, targets in batches:
            given = [send_to_device(images, accelerator.device)]
            if detector.needs_proposals:
                proposals = [{"proposals": target["proposals"]} for target in targets]
                given.append(send_to_device(proposals, accelerator.device))
            outputs = detector(*given)
            for output, target in zip(outputs, targets, strict=True):
                labels = output["labels"] - detector.label_offset
                yield int(target["image_id"]), _right_way_round(output["boxes"]), labels, output["scores"]


def _right_way_round(boxes: Tensor) -> Tensor:
    """Boxes that end no earlier than they begin: RF-DETR's queries beyond its cells learn sizes of any sign."""
    first, last = boxes.split(2, dim=1)
    return torch.cat([first, torch.maximum(first, last)], dim=1)


def _rows(image_id: int, boxes: Tensor, labels: Tensor, scores: Tensor, category_ids: Sequence[int]) -> pl.DataFrame:
    columns = dict(zip(SIDES, boxes.float().cpu().numpy().T, strict=True))
    table = pl.DataFrame({**columns, "score": scores.float().cpu().numpy()})
    category = pl.Series([category_ids[label] for label in labels.tolist()], dtype=pl.Int64)
    return table.select(pl.lit(image_id, pl.Int64).alias("image_id"), category.alias("category_id"), pl.all())


@contextmanager
def _any_score(detector: Detector) -> Iterator[None]:
    """No detection is left out for its score alone.

    Average precision looks at the order of scores, and methods differ in their level: a ranking loss trains no level at
    all. With the framework's threshold (.05) such a method would lose recall that its ranking has.
    """
    limited: dict[Any, Any] = {
        module: module.score_thresh for module in detector.modules() if hasattr(module, "score_thresh")
    }
    try:
        for module in limited:
            module.score_thresh = 0.0
        yield
    finally:
        for module, threshold in limited.items():
            module.score_thresh = threshold


def coco_results(
    image_id: int, boxes: Tensor, labels: Tensor, scores: Tensor, category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """One image's predictions as COCO results: the data set's category ids, boxes as x, y, width, height in pixels."""
    x1, y1, x2, y2 = boxes.float().cpu().unbind(dim=1)
    xywh = torch.stack([x1, y1, x2 - x1, y2 - y1], dim=1)
    return [
        {
            "image_id": image_id,
            "category_id": category_ids[label],
            "bbox": [round(value, 3) for value in box],  # a thousandth of a pixel
            "score": score,
        }
        for box, label, score in zip(xywh.tolist(), labels.tolist(), scores.float().tolist(), strict=True)
    ]

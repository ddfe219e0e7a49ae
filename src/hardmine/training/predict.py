"""What a detector finds in a data set, in COCO's results format."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, send_to_device
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from hardmine.data import DetectionDataset
from hardmine.data.transforms import collate
from hardmine.detectors import Detector

__all__ = ["coco_results", "predict"]


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
    share = range(accelerator.process_index, len(dataset), accelerator.num_processes)
    loader = DataLoader(Subset(dataset, share), batch_size, num_workers=workers, collate_fn=collate)
    detector.eval()
    found: list[list[dict[str, Any]]] = []
    with _any_score(detector):
        for images, targets in watch(loader):
            outputs = detector(send_to_device(images, accelerator.device))
            for output, target in zip(outputs, targets, strict=True):
                of_image = output["boxes"], output["labels"] - detector.label_offset, output["scores"]
                found.append(coco_results(int(target["image_id"]), *of_image, dataset.category_ids))
    by_index = sorted(gather_object(list(zip(share, found, strict=True))), key=lambda pair: pair[0])
    return [result for _, results in by_index for result in results]


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

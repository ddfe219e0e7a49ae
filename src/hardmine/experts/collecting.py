"""What a detector or a segmenter says of images that it has not learnt: RoIs as it is given them, or pixels.

They are seen as in evaluation: proposals of the RPN, without the objects themselves, so that an expert learns from what
it will meet later.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from hardmine.core.samples import IGNORE, GroundTruth
from hardmine.data.transforms import collate
from hardmine.detectors import Detector, Segmenter
from hardmine.detectors.targets import check_targets, split_crowds, weights_of
from hardmine.detectors.torchvision.faster_rcnn import FasterRCNNDetector
from hardmine.detectors.torchvision.roi_stage import Proposals
from hardmine.errors import ConfigError, ShapeError
from hardmine.experts.held_out import HeldOutSamples
from hardmine.experts.merged import Merged, last_layer
from hardmine.training.data import open_training_data
from hardmine.training.run import LoadedRun, load_run

__all__ = ["collect", "collect_of_run"]

Batch = tuple[Any, Any]


def collect_of_run(run: Path | str, *, most: int = 256, seed: int = 0) -> tuple[LoadedRun, HeldOutSamples]:
    """A finished run that held a fold out (``hardmine train --fold 1/5``), and the samples of that fold.

    Raises: RunError: as `load_run`.  ConfigError: it held out none, so there is no image that it has not learnt.
    """
    loaded = load_run(run)
    if loaded.config.fold is None:
        raise ConfigError(
            f"{run} has learnt all images of its training split, and would find few of them hard; train with --fold 1/5"
        )
    held_out = open_training_data(loaded.config)[1]
    batches = DataLoader(held_out, loaded.config.images_per_step, collate_fn=collate)
    batches = ((images, _labels_of(loaded.detector, targets)) for images, targets in batches)
    return loaded, collect(loaded.detector, batches, most=most, seed=seed)


def _labels_of(detector: Detector, targets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [target | {"labels": target["labels"] + detector.label_offset} for target in targets]


@torch.no_grad()
def collect(
    detector: Detector | Segmenter,
    batches: Iterable[Batch],
    *,
    most: int = 256,
    seed: int = 0,
    at: str | None = None,
) -> HeldOutSamples:
    """Features, logits and labels of samples of images that a model has not learnt, where its last layer sees them.

    The model is put into evaluation mode for it. An expert that it has is not asked.

    Args: detector: what `wrap` makes of torchvision's Fast or Faster R-CNN, or of a segmenter that `add_expert` knows.
        batches: (images, targets), or (images, masks) of a segmenter, as it is trained with.  most: samples of an
        image; of more, so many are drawn at random.  at: as of `add_expert`, of segmenters.
    Raises: ConfigError: another model.  DataError: no image.  ShapeError: as in training.
    """
    if most < 1:
        raise ConfigError(f"most must be at least 1, got {most}")
    generator, first, parts = torch.Generator().manual_seed(seed), 0, []
    was_training = detector.training
    detector.eval()
    try:
        for images, targets in batches:
            found = _of_batch(detector, images, targets, at)
            parts += [_drawn(of_image, first + place, most, generator) for place, of_image in enumerate(found)]
            first += len(found)
    finally:
        detector.train(was_training)
    return HeldOutSamples.joined(parts)


Rows = tuple[Tensor, Tensor, Tensor]
"""Features (n, d), logits (n, C) and labels (n,) of an image; IGNORE where a sample does not count."""


def _of_batch(detector: Detector | Segmenter, images: Any, targets: Any, at: str | None) -> list[Rows]:
    if isinstance(detector, Segmenter):
        return _pixels(detector, images, targets, at)
    if isinstance(detector, FasterRCNNDetector) and detector.model.roi_heads.box_predictor is not None:
        return _rois(detector, images, targets)
    raise ConfigError(
        f"samples are collected of Fast and Faster R-CNN and of segmenters, got {type(detector).__name__}; of others "
        "make a HeldOutSamples yourself"
    )


def _drawn(rows: Rows, image: int, most: int, generator: torch.Generator) -> HeldOutSamples:
    """The samples of an image that count, or so many of them."""
    valid = (rows[2] != IGNORE).nonzero().squeeze(1)
    kept = valid[torch.randperm(len(valid), generator=generator)[:most].to(valid.device)]
    features, logits, labels = (of[kept] for of in rows)
    return HeldOutSamples(features.float(), logits.float(), labels, torch.full_like(labels, image))


def _rois(detector: FasterRCNNDetector, images: list[Tensor], targets: list[dict[str, Tensor]]) -> list[Rows]:
    model, roi = detector.model, detector.model.roi_heads
    check_targets(images, targets, detector.needed_fields)
    batch, resized = detector.resized(images, [dict(target) for target in targets])
    objects, crowds = split_crowds(resized, detector.needed_fields)
    labels = [target["labels"].long() - detector.label_offset for target in objects]
    truth = GroundTruth.from_lists([target["boxes"] for target in objects], labels, crowds, weights_of(objects))
    features = model.backbone(batch.tensors)
    features = {"0": features} if isinstance(features, Tensor) else features
    proposals, _ = model.rpn(batch, features, resized)
    rows = roi.box_head(roi.box_roi_pool(features, proposals, batch.image_sizes))
    logits, _ = _alone(roi.box_predictor)(rows)
    padded = Proposals.from_lists(proposals)
    assignment = detector.roi_head.assigner(padded.boxes, truth, is_padding=padded.is_padding)
    label = truth.labels_of(truth.counted(assignment))
    columns = torch.where(label == IGNORE, IGNORE, label + detector.label_offset)  # background, -1, is the first column
    numbers = [len(of_image) for of_image in proposals]
    of_images = [columns[place, :number] for place, number in enumerate(numbers)]
    return list(zip(rows.flatten(1).split(numbers), logits.split(numbers), of_images, strict=True))


def _alone(layer: nn.Module) -> nn.Module:
    return layer.base if isinstance(layer, Merged) else layer


def _pixels(segmenter: Segmenter, images: Tensor, masks: Tensor, at: str | None) -> list[Rows]:
    """The cells of the last layer's map; a cell has the label of the pixel at its middle."""
    if masks.shape != (len(images), *images.shape[2:]) or masks.is_floating_point():
        raise ShapeError(
            f"got masks of {masks.dtype} and shape {tuple(masks.shape)}, expected whole numbers of shape "
            f"{(len(images), *images.shape[2:])}"
        )
    layer = _alone(last_layer(segmenter, at)[2])
    caught: list[tuple[Any, Any]] = []
    handle = layer.register_forward_hook(lambda _, given, said: caught.append((given[0], said)))
    try:
        segmenter.scores(images)
    finally:
        handle.remove()
    features, logits = caught[-1]
    if features.shape[2:] != logits.shape[2:]:
        raise ShapeError(
            f"the last layer, a {type(layer).__name__}, makes scores {tuple(logits.shape)} of features "
            f"{tuple(features.shape)}; expected as many rows and columns"
        )
    labels = _at_middles(masks.long().masked_fill(masks == segmenter.ignored, IGNORE), features.shape[2:])
    by_image = zip(features, logits, labels, strict=True)
    return [(of.flatten(1).T, scores.flatten(1).T, label.flatten()) for of, scores, label in by_image]


def _at_middles(labels: Tensor, size: torch.Size) -> Tensor:
    """(B, h, w) of labels (B, H, W)."""
    rows, columns = (
        ((torch.arange(small, device=labels.device) + 0.5) * large / small).long()
        for small, large in zip(size, labels.shape[1:], strict=True)
    )
    return labels[:, rows[:, None], columns]

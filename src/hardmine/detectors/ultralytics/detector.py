"""A detection model of ultralytics in a loop of one's own: images resized as it is validated, its losses weighed."""

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import batched_nms, box_convert, clip_boxes_to_image

from hardmine.core.samples import GroundTruth
from hardmine.detectors.detector import Detector
from hardmine.detectors.targets import Targets
from hardmine.detectors.ultralytics.criterion import check_model, losses_of, make_heads, new_criterion, put
from hardmine.equation.recipe import Recipe
from hardmine.errors import ConfigError
from hardmine.losses import initialize_prior

__all__ = ["UltralyticsDetector", "adapt"]

IMAGE_SIZE = 640
COARSEST_STRIDE = 32
GREY = 114 / 255
"""What ultralytics fills images up with."""
NMS_IOU = 0.7
MOST_FOUND = 300
FIRST_LOOK, LAST_LOOK = 3_000, 30_000
"""So many of the best scores enter the suppression: the first number where that finds enough, at most the last."""


def adapt(model: Any, recipe: Recipe, *, image_size: int | None = None) -> "UltralyticsDetector":
    """The model under the recipe. Raises ConfigError: not a DetectionModel with ultralytics' own detection loss."""
    from ultralytics.engine.model import Model

    if isinstance(model, Model):
        raise ConfigError(
            f"got {type(model).__name__}, which trains by itself: use hardmine.attach(model, recipe) for that, or "
            "hardmine.wrap(model.model, recipe) for a loop of your own"
        )
    return UltralyticsDetector(model, recipe, image_size)


class UltralyticsDetector(Detector):
    """A YOLO of ultralytics under a recipe; its losses are not times the number of images, as its trainer has them.

    Images are resized so that the longer side has ``image_size`` pixels, and filled up in grey to a multiple of the
    coarsest stride: what ultralytics shows a model in validation, and its square without the part that is filled up in
    all images of a batch. Detections are those of its own suppression (per class, IoU 0.7, the 300 best), of any score.

    Args: image_size: None for what the model was made for.
    Raises: ConfigError: another kind of model.  EvidenceError: a recipe that needs what such a head does not have.
    """

    classification_losses = ("cls_loss",)

    def __init__(self, model: Any, recipe: Recipe, image_size: int | None = None):
        super().__init__(model)
        check_model(model)
        self._made: Any = None
        self._progress = 0.0  # of the training: 0 in the first epoch, 1 in the last
        self.heads = nn.ModuleDict(make_heads(new_criterion(model), recipe))
        size, stride = image_size or _made_for(model), max(COARSEST_STRIDE, int(model.stride.max()))
        self.transform = GeneralizedRCNNTransform(size, size, [GREY] * 3, [1.0] * 3, size_divisible=stride)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_made": None}  # a copy makes its own, with its own weights

    @property
    def num_classes(self) -> int:
        return self.model.model[-1].nc

    def initialize_prior(self, prior: float) -> None:
        head = self.model.model[-1]
        for branch in (head.cv3, getattr(head, "one2one_cv3", None) or ()):
            for level in branch:
                initialize_prior(level[-1], self.num_classes, "sigmoid", prior)

    def start_epoch(self, epoch: int, num_epochs: int) -> None:
        """An end-to-end detector learns with its one-to-many head first, and with the other one at last."""
        self._progress = (epoch - 1) / max(num_epochs - 1, 1)

    def resized(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> tuple[Tensor, Targets]:
        batch, resized = self.transform(images, targets)
        return batch.tensors + GREY, resized  # the mean was taken away before zeros were filled up

    def losses(self, batch: Tensor, ground_truth: GroundTruth, objects: Targets) -> dict[str, Tensor]:
        criterion, weighted = self._criterion(batch.device)
        preds, labels = self.model(batch), _as_batch(batch, objects)
        shares = _shares(criterion, self._progress)
        total: dict[str, Tensor] = {}
        for name, loss in weighted.items():
            loss.expect(ground_truth)
            losses = loss(preds if name == "detect" else preds[name], labels)[1]
            for of, value in zip(_names(loss.loss), losses, strict=True):
                total[of] = total.get(of, 0) + value * shares[name]
        return total

    @torch.no_grad()
    def detect(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        batch, _ = self.transform(images)
        found = self.model(batch.tensors + GREY)
        found = found[0] if isinstance(found, tuple) else found
        is_final = getattr(self.model, "end2end", False)
        detections = [_as_dict(*one.float().split((4, 1, 1), -1)) if is_final else _suppressed(one) for one in found]
        return [
            _on_image(detection, image.shape[-2:], size)
            for detection, image, size in zip(detections, images, batch.image_sizes, strict=True)
        ]

    def _criterion(self, device: torch.device) -> tuple[Any, Any]:
        """The model's loss on the device, with the weights in it; it is no module, and so moves with nobody."""
        if self._made is None or self._made[0] != device:
            if not any(parameter.requires_grad for parameter in self.model.parameters()):
                raise ConfigError(
                    "no parameter of the model requires a gradient, as in checkpoints that ultralytics has stripped: "
                    "call model.requires_grad_(True) first"
                )
            criterion = new_criterion(self.model)
            self._made = (device, criterion, put(criterion, self.heads))
        return self._made[1:]


def _made_for(model: Any) -> int:
    arguments = getattr(model, "args", None)
    size = arguments.get("imgsz") if isinstance(arguments, dict) else getattr(arguments, "imgsz", None)
    return size if isinstance(size, int) else IMAGE_SIZE


def _names(loss: Any) -> tuple[str, str, str]:
    return "box_loss", "cls_loss", "dfl_loss" if loss.use_dfl else "l1_loss"


def _shares(criterion: Any, progress: float) -> dict[str, float]:
    """How much the losses of each head count; of an end-to-end detector it changes with the epochs."""
    if not hasattr(criterion, "decay"):
        return dict.fromkeys(losses_of(criterion), 1.0)
    last_update = max(criterion.one2one.hyp.epochs - 1, 1)  # of those that ultralytics counts, one an epoch
    one2many = criterion.decay(progress * last_update)
    return {"one2many": one2many, "one2one": max(criterion.total - one2many, 0)}


def _as_batch(images: Tensor, objects: Targets) -> dict[str, Tensor]:
    """The objects as ultralytics has them: in one list, sorted by image; boxes x, y, w, h of the middle in 0..1."""
    height, width = images.shape[-2:]
    boxes = torch.cat([target["boxes"] for target in objects]).to(images)
    index = torch.cat([torch.full_like(target["labels"], b) for b, target in enumerate(objects)])
    return {
        "img": images,
        "cls": torch.cat([target["labels"] for target in objects]).to(boxes).unsqueeze(-1),
        "bboxes": box_convert(boxes, "xyxy", "cxcywh") / boxes.new_tensor([width, height, width, height]),
        "batch_idx": index.to(boxes),
    }


def _suppressed(found: Tensor) -> dict[str, Tensor]:
    """The best of all boxes and classes, found (4 + C, A) with boxes as x, y, w, h of the middle."""
    boxes, scores = found.float().mT.split((4, len(found) - 4), dim=-1)
    boxes, num_classes = box_convert(boxes, "cxcywh", "xyxy"), scores.shape[1]
    look, scores = FIRST_LOOK, scores.flatten()
    while True:  # what comes later suppresses nothing of what came before
        place = scores.topk(min(look, len(scores))).indices.sort().values  # of equal scores the first point is kept
        near, labels, best = boxes[place // num_classes], place % num_classes, scores[place]
        kept = batched_nms(near, best, labels, NMS_IOU)[:MOST_FOUND]
        if len(kept) == MOST_FOUND or look >= min(LAST_LOOK, len(scores)):
            return {"boxes": near[kept], "labels": labels[kept], "scores": best[kept]}
        look = LAST_LOOK


def _as_dict(boxes: Tensor, scores: Tensor, labels: Tensor) -> dict[str, Tensor]:
    return {"boxes": boxes, "labels": labels.squeeze(-1).long(), "scores": scores.squeeze(-1)}


def _on_image(
    detection: dict[str, Tensor], image: tuple[int, int] | torch.Size, resized: tuple[int, int]
) -> dict[str, Tensor]:
    """The detections in pixels of the image, (height, width), that was resized; clipped to it."""
    (height, width), boxes = image, detection["boxes"]
    ratio_y, ratio_x = height / resized[0], width / resized[1]
    boxes = clip_boxes_to_image(boxes * boxes.new_tensor([ratio_x, ratio_y, ratio_x, ratio_y]), (height, width))
    return {**detection, "boxes": boxes}

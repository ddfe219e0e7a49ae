"""Which criterion each detector of transformers is trained by, and what that loses on a query.

| models | function | class in it | names | classes |
|---|---|---|---|---|
| RT-DETR, RT-DETRv2 | RTDetrForObjectDetectionLoss | RTDetrLoss | vfl, boxes | VFL |
| D-FINE | DFineForObjectDetectionLoss | DFineLoss | vfl, boxes, local | VFL |
| DEIMv2 | Deimv2ForObjectDetectionLoss | Deimv2Loss | mal, boxes, local | MAL |
| LW-DETR, RF-DETR | LwDetrForObjectDetectionLoss | LwDetrImageLoss | labels, boxes, cardinality | IA-BCE |
| DETR, YOLOS, Table Transformer | ForObjectDetectionLoss | ImageLoss | labels, boxes, cardinality | cross entropy |
| Deformable, Conditional, DAB DETR | DeformableDetr... | DeformableDetrImageLoss | as above | focal |

"local" (distributions of D-FINE's box sides) and "cardinality" are never weighed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from hardmine.core.samples import Activation
from hardmine.detectors.query_losses import QueryLoss, background_weighted, focal, ia_bce, mal, vfl
from hardmine.detectors.weighted_layers import Dialect
from hardmine.errors import ConfigError

__all__ = ["Criterion", "criterion_of"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One line of the table.

    kind: the class that the loss function makes.  classes: the name of its loss of classes.  term: under which name
    that is returned.  loss: of a query, given the model's config.  gains: names in the config of those of boxes.
    is_normalised: whether its images are, by ImageNet's mean and deviation.  is_weighted: whether the terms that it
    returns are times their gains.
    """

    kind: str
    classes: str
    term: str
    loss: Callable[[Any], QueryLoss]
    gains: tuple[str, str] = ("bbox_loss_coefficient", "giou_loss_coefficient")
    activation: Activation = "sigmoid"
    is_normalised: bool = True
    is_weighted: bool = False

    def dialect(self, config: Any) -> Dialect:
        background = config.eos_coefficient if self.activation == "softmax" else None
        gains = float(getattr(config, self.gains[0])), float(getattr(config, self.gains[1]))
        return Dialect("transformers", self.loss(config), background=background, gains=gains)

    def gain(self, term: str, config: Any) -> float:
        """What a term that the criterion returns is multiplied by in the model's loss; 0 of what is only watched."""
        if self.is_weighted:
            return 1.0
        of_classes = getattr(config, "class_loss_coefficient", 1.0)
        distance, overlap = self.dialect(config).gains
        gains = {"loss_ce": of_classes, "loss_bbox": distance, "loss_giou": overlap}
        return next((gain for name, gain in gains.items() if term.startswith(name)), 0.0)


def _vfl(config: Any) -> QueryLoss:
    return partial(vfl, alpha=config.focal_loss_alpha, gamma=config.focal_loss_gamma)


def _mal(config: Any) -> QueryLoss:
    return partial(mal, alpha=config.mal_alpha, gamma=config.focal_loss_gamma)


def _ia_bce(config: Any) -> QueryLoss:
    return partial(ia_bce, alpha=config.focal_alpha)


def _focal(config: Any) -> QueryLoss:
    return partial(focal, alpha=config.focal_alpha)


def _cross_entropy(config: Any) -> QueryLoss:
    return partial(background_weighted, background=config.eos_coefficient)


RT_DETR_GAINS = ("weight_loss_bbox", "weight_loss_giou")
RT_DETR = Criterion("RTDetrLoss", "vfl", "loss_vfl", _vfl, RT_DETR_GAINS, is_normalised=False, is_weighted=True)
DETR = Criterion("ImageLoss", "labels", "loss_ce", _cross_entropy, activation="softmax")
DEFORMABLE = Criterion("DeformableDetrImageLoss", "labels", "loss_ce", _focal)
LW_DETR = Criterion("LwDetrImageLoss", "labels", "loss_ce", _ia_bce)
CRITERIA: dict[str, Criterion] = {
    "rt_detr": RT_DETR,
    "rt_detr_v2": RT_DETR,
    "d_fine": replace(RT_DETR, kind="DFineLoss"),
    "deimv2": Criterion("Deimv2Loss", "mal", "loss_mal", _mal, RT_DETR_GAINS, is_weighted=True),
    "lw_detr": LW_DETR,
    "rf_detr": LW_DETR,
    "detr": DETR,
    "yolos": DETR,
    "table-transformer": DETR,
    "deformable_detr": DEFORMABLE,
    "conditional_detr": DEFORMABLE,
    "dab-detr": DEFORMABLE,
}
"""By the type of the model's config."""


def criterion_of(model: Any) -> Criterion:
    """What the model is trained by.

    Raises: ConfigError: its losses are not adapted.
    """
    kind = getattr(getattr(model, "config", None), "model_type", None)
    if kind not in CRITERIA or not type(model).__name__.endswith("ForObjectDetection"):
        raise ConfigError(
            f"got transformers' {type(model).__name__}; expected a ...ForObjectDetection of {', '.join(CRITERIA)}"
        )
    return CRITERIA[kind]

"""Building a torchvision detector for a data set: its architecture, its backbone, the weights it starts from."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn
from torchvision.models import detection
from torchvision.models.detection import FCOS, FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.detection.ssd import SSD, SSDHead
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.ops import MultiScaleRoIAlign

from hardmine.detectors.torchvision.backbones import Family, Pyramid, family_of
from hardmine.detectors.torchvision.cascade import STAGES, AgnosticPredictor, CascadeRCNN, CascadeStage, StageSettings
from hardmine.detectors.torchvision.fast_rcnn import FastRCNN
from hardmine.detectors.torchvision.segmenters import SEGMENTERS, build_segmenter
from hardmine.detectors.torchvision.weights import load_coco, load_file
from hardmine.errors import ConfigError, check_name

__all__ = ["DETECTORS", "build"]

REFERENCE_SIZE = (800, 1333)  # torchvision's; smaller images keep the ratio of the two
SMALLEST_IMAGE = 32
GROUPS = 16  # of channels, in RetinaNet's GroupNorm
RATIOS = (0.5, 1.0, 2.0)  # height / width of anchors
Strides = tuple[int, ...]


def build(
    detector: str,
    num_classes: int,
    *,
    backbone: str,
    weights: str = "none",
    image_size: int | None = None,
    load: bool = True,
) -> nn.Module:
    """A torchvision detector for ``num_classes`` foreground classes, or a segmenter for as many with the background.

    Args: detector: a key of `DETECTORS` or `SEGMENTERS`.
        backbone: "micro", "tiny" or a torchvision classification network.
        weights: "none", "imagenet" (the backbone's), "coco" (the whole detector's, on torchvision's own architecture),
        or a file with a state_dict (.safetensors or .pth) of the detector or of its backbone.
        image_size: length in pixels of the image's shorter side; None for what suits the backbone.
        load: False builds the same architecture without fetching any weights.
    Raises: ConfigError: unknown names, or weights that cannot be had.
    """
    check_name("detector", detector, [*DETECTORS, *SEGMENTERS])
    if detector in SEGMENTERS:
        return build_segmenter(detector, num_classes, backbone=backbone, weights=weights, load=load)
    if weights == "coco":
        return _build_reference(detector, num_classes, backbone, image_size, load)
    family = family_of(backbone)
    strides = family.roi_strides if detector in TWO_STAGE else family.dense_strides
    pyramid = Pyramid(backbone, strides, family.channels, imagenet=weights == "imagenet", load=load)
    resize = _resize(detector, family, image_size)
    model = DETECTORS[detector](pyramid, family, strides, num_classes, **resize)
    if load and weights not in ("none", "imagenet"):
        load_file(model, weights)
    return model


def _resize(detector: str, family: Family, image_size: int | None) -> dict[str, Any]:
    shorter = image_size or family.image_size
    if shorter < SMALLEST_IMAGE:
        raise ConfigError(f"image_size must be at least {SMALLEST_IMAGE} pixels, got {shorter}")
    if detector.startswith("ssd"):
        return {"size": (shorter, shorter)}
    return _keep_ratio(shorter)


def _keep_ratio(shorter: int) -> dict[str, Any]:
    return {"min_size": shorter, "max_size": round(shorter * REFERENCE_SIZE[1] / REFERENCE_SIZE[0])}


def _retinanet(pyramid: Pyramid, family: Family, strides: Strides, num_classes: int, **resize: Any) -> RetinaNet:
    """As torchvision's second version: normalised heads and GIoU, which learn faster than the first's."""
    scales = (1, 2 ** (1 / 3), 2 ** (2 / 3))
    sizes = tuple(tuple(int(4 * stride * scale) for scale in scales) for stride in strides)
    anchors = AnchorGenerator(sizes, (RATIOS,) * len(sizes))
    normalization = partial(nn.GroupNorm, GROUPS)
    head = RetinaNetHead(family.channels, len(RATIOS) * len(scales), num_classes, norm_layer=normalization)
    head.regression_head._loss_type = "giou"
    for branch in (head.classification_head, head.regression_head):
        branch.conv = branch.conv[: family.head_depth]
    return RetinaNet(pyramid, num_classes, anchor_generator=anchors, head=head, **resize)


def _fcos(pyramid: Pyramid, family: Family, strides: Strides, num_classes: int, **resize: Any) -> FCOS:
    anchors = AnchorGenerator(tuple((stride,) for stride in strides), ((1.0,),) * len(strides))
    head = FCOSHead(family.channels, 1, num_classes, num_convs=family.head_depth)
    return FCOS(pyramid, num_classes, anchor_generator=anchors, head=head, **resize)


def _faster_rcnn(pyramid: Pyramid, family: Family, strides: Strides, num_classes: int, **resize: Any) -> FasterRCNN:
    return FasterRCNN(
        pyramid,
        box_head=_box_head(family),
        box_predictor=FastRCNNPredictor(family.roi_features, num_classes + 1),
        **_two_stage_parts(pyramid, family, strides),
        **resize,
    )


def _fast_rcnn(pyramid: Pyramid, family: Family, strides: Strides, num_classes: int, **resize: Any) -> FastRCNN:
    return FastRCNN(
        pyramid,
        box_head=_box_head(family),
        box_predictor=FastRCNNPredictor(family.roi_features, num_classes + 1),
        most_proposals=max(family.proposals, family.test_proposals),
        **_two_stage_parts(pyramid, family, strides),
        **resize,
    )


def _cascade_rcnn(pyramid: Pyramid, family: Family, strides: Strides, num_classes: int, **resize: Any) -> CascadeRCNN:
    def stage(settings: StageSettings) -> CascadeStage:
        return CascadeStage(_box_head(family), AgnosticPredictor(family.roi_features, num_classes + 1), settings)

    parts = _two_stage_parts(pyramid, family, strides)
    return CascadeRCNN(pyramid, [stage(settings) for settings in STAGES], **parts, **resize)


def _box_head(family: Family) -> TwoMLPHead:
    return TwoMLPHead(family.channels * family.roi_bins**2, family.roi_features)


def _two_stage_parts(pyramid: Pyramid, family: Family, strides: Strides) -> dict[str, Any]:
    """What all detectors with an RPN share."""
    sizes = tuple((family.roi_anchor * stride,) for stride in strides)
    return {
        "rpn_anchor_generator": AnchorGenerator(sizes, (RATIOS,) * len(sizes)),
        "box_roi_pool": MultiScaleRoIAlign(list(pyramid.levels), family.roi_bins, family.roi_points),
        "rpn_pre_nms_top_n_train": family.proposals,
        "rpn_post_nms_top_n_train": family.proposals,
        "rpn_pre_nms_top_n_test": family.test_proposals,
        "rpn_post_nms_top_n_test": family.test_proposals,
        "box_batch_size_per_image": family.roi_samples,
    }


def _ssd_on(make_head: Callable[..., nn.Module]) -> Callable[..., SSD]:
    def ssd(pyramid: Pyramid, family: Family, strides: Strides, num_classes: int, size: tuple[int, int]) -> SSD:
        anchors = DefaultBoxGenerator([[2, 3]] * len(strides), steps=list(strides))
        channels = [family.channels] * len(strides)
        head = make_head(channels, anchors.num_anchors_per_location(), num_classes + 1)
        return SSD(pyramid, anchors, size, num_classes + 1, head=head)

    return ssd


def _ssdlite_head(channels: list[int], num_anchors: list[int], num_columns: int) -> SSDLiteHead:
    return SSDLiteHead(channels, num_anchors, num_columns, nn.BatchNorm2d)


DETECTORS: dict[str, Callable[..., nn.Module]] = {
    "retinanet": _retinanet,
    "fasterrcnn": _faster_rcnn,
    "cascadercnn": _cascade_rcnn,
    "fastrcnn": _fast_rcnn,
    "fcos": _fcos,
    "ssd": _ssd_on(SSDHead),
    "ssdlite": _ssd_on(_ssdlite_head),
}


TWO_STAGE = ("fasterrcnn", "cascadercnn", "fastrcnn")


@dataclass(frozen=True, slots=True)
class Reference:
    """A detector of torchvision's own that has COCO weights."""

    build: Callable[..., nn.Module]
    weights: Any
    background: bool


REFERENCES: dict[tuple[str, str], Reference] = {
    ("retinanet", "resnet50"): Reference(
        detection.retinanet_resnet50_fpn, detection.RetinaNet_ResNet50_FPN_Weights.COCO_V1, background=False
    ),
    ("fasterrcnn", "resnet50"): Reference(
        detection.fasterrcnn_resnet50_fpn, detection.FasterRCNN_ResNet50_FPN_Weights.COCO_V1, background=True
    ),
    ("fasterrcnn", "mobilenet_v3_large"): Reference(
        detection.fasterrcnn_mobilenet_v3_large_fpn,
        detection.FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1,
        background=True,
    ),
    ("fcos", "resnet50"): Reference(
        detection.fcos_resnet50_fpn, detection.FCOS_ResNet50_FPN_Weights.COCO_V1, background=False
    ),
    ("ssd", "vgg16"): Reference(detection.ssd300_vgg16, detection.SSD300_VGG16_Weights.COCO_V1, background=True),
    ("ssdlite", "mobilenet_v3_large"): Reference(
        detection.ssdlite320_mobilenet_v3_large,
        detection.SSDLite320_MobileNet_V3_Large_Weights.COCO_V1,
        background=True,
    ),
}


def _build_reference(detector: str, num_classes: int, backbone: str, image_size: int | None, load: bool) -> nn.Module:
    if (detector, backbone) not in REFERENCES:
        known = ", ".join(f"{name} on {base}" for name, base in REFERENCES)
        raise ConfigError(f"there are no COCO weights of {detector} on {backbone}; there are of {known}")
    reference = REFERENCES[detector, backbone]
    resize = {}
    if image_size is not None and not detector.startswith("ssd"):  # these two work at the one size they were made for
        resize = _keep_ratio(image_size)
    columns = num_classes + reference.background
    model = reference.build(weights=None, weights_backbone=None, num_classes=columns, **resize)
    if load:
        load_coco(model, reference.weights)
    return model

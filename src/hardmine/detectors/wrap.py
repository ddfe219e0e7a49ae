"""Putting a recipe on a detector."""

from typing import TYPE_CHECKING, Any, overload

from hardmine.detectors.detector import Detector
from hardmine.detectors.frameworks import framework_of
from hardmine.detectors.segmenter import Segmenter
from hardmine.equation.recipe import Recipe

if TYPE_CHECKING:
    from torchvision.models.segmentation import FCN, LRASPP, DeepLabV3

__all__ = ["wrap"]


@overload
def wrap(model: "LRASPP | DeepLabV3 | FCN", recipe: Recipe) -> Segmenter: ...  # pyright: ignore[reportOverlappingOverload]
@overload
def wrap(model: Any, recipe: Recipe, *, two_pass: bool = ..., image_size: int | None = ...) -> Detector: ...
def wrap(model: Any, recipe: Recipe, *, two_pass: bool = True, image_size: int | None = None) -> Detector | Segmenter:
    """The detector or segmenter under the recipe: a module around the model, which is neither copied nor changed.

        detector = hardmine.wrap(torchvision_model, hardmine.recipes.ohem(budget=64))
        losses = detector(images, targets)         # in training mode, under the framework's own names
        detections = detector.eval()(images)       # the model's own

    What torchvision computes its losses with is replaced: a subclass that overrides one of these methods, a function
    put in the place of one, or a hook on one is refused, as it would not be called (list: torchvision/replaced.py).
    Models of other frameworks are wrapped for loops like the one above; for a framework's own trainer see `attach`.

    Args: model: torchvision's RetinaNet, FCOS, SSD (SSDLite), Faster R-CNN, Mask R-CNN or Keypoint R-CNN (of the last
        two a recipe changes what the boxes learn, masks and keypoints learn as ever), the Cascade R-CNN and the Fast
        R-CNN that `build` makes of its parts, an ultralytics DetectionModel, a detector of transformers, or rfdetr's.
            Segmenters: torchvision's LR-ASPP, DeepLabV3 and FCN, transformers' SegFormer; see `Segmenter`.
        two_pass: for heads of RoIs, see `RoIStage`; other detectors take no notice.
        image_size: side in pixels of what others' models are shown; None: what the model is made for. torchvision's
            models resize by themselves.
    Raises: ConfigError: another kind of model, one with methods of its own that would not be called, or a recipe that
        fills unknown slots.
        EvidenceError: a recipe that needs evidence this detector does not have.
        FrameworkError: a version of the framework that was not tried.
    """
    framework = framework_of(model)
    options = {"two_pass": two_pass} if framework.package == "torchvision" else {"image_size": image_size}
    return framework.adapters().adapt(model, recipe, **options)

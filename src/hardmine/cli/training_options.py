"""The options that `train` and `compare` share: the fields of `TrainingConfig`, with a word on each.

An option that is not given is not passed on, so every default lives in `TrainingConfig` alone; those shown in
`--help` are text.
"""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hardmine.training.config import TrainingConfig

__all__ = ["TRAINING_OPTIONS", "given_options", "takes_training_options"]


def _option(kind: Any, help_text: str, default: str) -> Any:
    return Annotated[kind | None, typer.Option(help=help_text, show_default=default)]


TRAINING_OPTIONS = {
    "data": _option(str, "Data set: a path (COCO, Pascal VOC or YOLO, recognised), or the built-in scenes.", "scenes"),
    "task": _option(str, "detection, or segmentation: a class for every pixel.", "detection"),
    "classes": _option(str, "For masks: names in the order of the values, or a file of them.", "the data's"),
    "instances": _option(bool, "For masks: they number objects, which are all of one class.", "False"),
    "images": _option(str, "Folder of the images, if not beside the labels.", "beside the labels"),
    "allow_unlabelled": _option(bool, "A split without any label is meant to be all background.", "False"),
    "train_split": _option(str, "Split to learn from.", "train"),
    "val_split": _option(str, "Split to measure on.", "val"),
    "fold": _option(str, "1/3: hold the first of 3 parts of the train split out, measure on it.", "none"),
    "group_by": _option(
        str,
        "What belongs together: a field of COCO's images (video_id), folder, or a regular expression on file names "
        "with the group in parentheses ('^(.+)_tile'). Folds have whole groups.",
        "none",
    ),
    "label_errors": _option(
        str, "Learn from labels with errors: dropped=.2,shifted=.1,swapped=.1,spurious=.05, shares of objects.", "none"
    ),
    "mined": _option(str, "Folder of `hardmine mine`: draw images by how hard they are.", "all alike"),
    "suspects": _option(
        str,
        "Suspect labels in --mined: keep, drop, or weigh them down, as a loop does; or a file of decisions, .json.",
        "keep",
    ),
    "reassign": _option(
        int, "Positives more of each object that --mined says was missed: the anchors and proposals closest to it.", "0"
    ),
    "augment_from": _option(str, "Folder of `hardmine mine`: paste what is hard in it onto other images.", "nothing"),
    "augment": _option(
        str,
        "With --augment-from, how often an image: paste=.5,distractors=.5,crop=.1,mosaic=.1.",
        "paste=.5,distractors=.5",
    ),
    "repeat_factors": _option(
        str, "rfs:t=.3 or irfs:t=.3: draw images of classes rarer than t more often.", "all alike"
    ),
    "proposals": _option(str, "For fastrcnn: selective_search, or a file of boxes.", "none"),
    "detector": _option(
        str,
        "fasterrcnn, cascadercnn, fastrcnn, retinanet, ssd, ssdlite or fcos; or of another framework: "
        "ultralytics:yolo11n, transformers:rtdetr_v2, rfdetr:nano, ... Of masks: lraspp, where nothing is said, "
        "deeplabv3, fcn or transformers:segformer.",
        "fasterrcnn",
    ),
    "backbone": _option(str, "Of torchvision's: micro, tiny, or a network: mobilenet_v2, resnet18, ...", "micro"),
    "weights": _option(str, "Initial weights: none, imagenet, coco, or a file.", "none"),
    "image_size": _option(
        int,
        "Side of the images in pixels, of torchvision's the shorter; with masks of what is cut out of them to learn.",
        "the detector's own; masks 256; scenes 128",
    ),
    "epochs": _option(int, "Times that every image is seen.", "by the number of images"),
    "batch_size": _option(int, "Images per process and step.", "8; 4 on scenes"),
    "lr": _option(float, "Peak learning rate.", "0.002 from scratch, 0.001 pretrained; 0.0001 for DETRs"),
    "weight_decay": _option(float, "Weight decay of AdamW.", "0.0001"),
    "warmup_fraction": _option(float, "Share of all steps until the peak learning rate.", "0.1"),
    "clip_norm": _option(float, "Largest gradient norm.", "10.0"),
    "ema": _option(float, "Decay of the averaged weights that are then evaluated.", "no averaging"),
    "classification_weight": _option(float, "Factor of the classification losses, beside those of boxes.", "1.0"),
    "precision": _option(str, "no, bf16 or fp16.", "no"),
    "compile": _option(bool, "Compile the losses of torchvision's, where there is a compiler.", "on a GPU"),
    "workers": _option(int, "Processes that load images.", "0 on a CPU, 4 on a GPU"),
    "flip_horizontal": _option(float, "Probability of a left-right flip.", "0.5; 0 on scenes"),
    "flip_vertical": _option(float, "Probability of an upside-down flip.", "0.0"),
    "crop": _option(float, "Probability of cutting out a random part, 3/4 of each side or more.", "0.0"),
    "record": _option(bool, "Keep how each object is learnt, epoch by epoch.", "False"),
    "eval_every": _option(int, "Also measure after every so many epochs.", "after the last only"),
    "track": _option(str, "Tell how the run goes: tensorboard, wandb or mlflow.", "nobody"),
}


def takes_training_options(
    command: Callable[..., None], only: Collection[str] = TRAINING_OPTIONS
) -> Callable[..., None]:
    """Gives a command one option per training option, in place of its `**training`, which receives them.

    An option that the command asks for in its own way stays its own.
    Args: only: the names of those that it is to have; all of them by default.
    """
    signature = inspect.signature(command)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        for name, option in TRAINING_OPTIONS.items()
        if name in only and name not in signature.parameters
    ]
    command.__signature__ = signature.replace(parameters=[*own, *shared])  # pyright: ignore[reportFunctionMemberAccess]
    return command


def given_options(options: Mapping[str, Any]) -> "TrainingConfig":
    """The configuration with the options that were given, the others at their defaults.

    Raises:
        ConfigError: a value out of its range.
    """
    from hardmine.training.config import TrainingConfig

    return TrainingConfig.from_dict({name: value for name, value in options.items() if value is not None})

"""One training run, described completely: what `config.json` holds and what makes two runs comparable.

Every default of a training lives here and nowhere else. The number of epochs is a rule that looks at the data, because
no single number is right for 100 and for 100,000 images; the run folder keeps what came out of it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

from hardmine.augmentation import AUGMENT, parse_chances, parse_repeat_rule
from hardmine.data.groups import check_grouping
from hardmine.data.scenes import SCENES
from hardmine.detectors.frameworks import FRAMEWORKS, Framework, split_name
from hardmine.errors import ConfigError, check_name
from hardmine.training.decisions import DECISIONS_SUFFIX
from hardmine.training.task_options import TASK_OPTIONS

__all__ = ["TrainingConfig", "check_type"]

SCENES_SIDE = 128
"""Pixels of a side of the scenes: no more are in them; detectors made for photographs are shown five times as many."""
AIMED_STEPS = 360
"""Optimiser steps that a small data set needs to be learnt by a detector with a pretrained backbone."""
FEWEST_EPOCHS, MOST_EPOCHS = 6, 100
"""Bounds of the epochs: 6 is half the field's "1x" schedule for large data sets; 100 is enough for a few images."""

_LIMITS: dict[str, tuple[float, float]] = {
    "seed": (0, 2**32 - 1),
    "epochs": (1, 100_000),
    "batch_size": (1, 65_536),
    "lr": (1e-9, 100),
    "weight_decay": (0, 10),
    "warmup_fraction": (0, 1),
    "clip_norm": (1e-9, 1e9),
    "ema": (0, 1),
    "classification_weight": (1e-6, 1e6),
    "image_size": (32, 16_384),
    "workers": (0, 1024),
    "flip_horizontal": (0, 1),
    "flip_vertical": (0, 1),
    "crop": (0, 1),
    "eval_every": (1, 100_000),
    "reassign": (0, 1000),
}
WITHOUT_RPN = ("fastrcnn",)
"""Detectors that find objects only among proposals that they are given."""
_CHOICES = {
    "task": tuple(TASK_OPTIONS),
    "precision": ("no", "bf16", "fp16"),
    "suspects": ("keep", "down", "drop"),
    "track": (None, "tensorboard", "wandb", "mlflow"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """Everything that decides how a run ends: data, detector, recipe, seed and optimisation.

    Args:
        data: `scenes`, or the path of a data set.
        task: "detection", of boxes; or "segmentation", a class for every pixel.
        classes, instances: of masks: what the values of pixels mean, and that they number objects, see
            `open_segmentation`.
        images: the folder of the images, for annotations that do not lie beside them.
        allow_unlabelled: a split without any label is meant to be all background.
        train_split, val_split: what to learn from and what to measure on.
        fold: "1/3": hold the first of three parts of the train split out, and measure on it instead.
        group_by: what images belong together, video, patient or scene: a field of COCO's images, "folder", or a regular
            expression, see `groups_of`; a fold has whole groups. None: each image is by itself.
        label_errors: "dropped=.2,swapped=.1": label these shares of the objects that are learnt from wrong on purpose,
            never those that are measured on; the same ones whatever the seed and the recipe, see
            `with_label_errors`; of masks shares of the regions, see `with_mask_errors`. None: no errors.
        mined: a folder of `hardmine mine` on the train split: images are drawn by the weights in it; None: all alike.
        suspects: what becomes of the labels that are suspects in `mined`: "keep" them, weigh them "down" by the
            probability that they are at fault, or "drop" them; with the last two, a missing one is not background. Or
            the file of what people decided of them (.json): "drop" what they accepted, "keep" what they rejected, weigh
            the others "down". Suspects of masks are regions: "drop" ignores those with a score of .5 or more, a file of
            decisions what was accepted in it; "down" is none of theirs.
        reassign: of each object that `mined` says was missed or hardly found, so many of the anchors, and of the
            proposals, that came closest to it are positives as well, see `WithClosest`; 0: none.
        augment_from: a folder of `hardmine mine` on the train split: what is hard in it is pasted onto other images,
            and cut out as images of its own; None: nothing is.
        augment: which of these, with what probability an image: "paste=.5,distractors=.5,crop=.1,mosaic=.1", hard
            objects pasted, hard backgrounds pasted, replaced by the surroundings of a hard place, or of four.
        repeat_factors: "rfs:t=.3" or "irfs:t=.3": images of classes rarer than t are drawn more often, see
            `hardmine.augmentation.repeat_factors`, times the weights of `mined`; None: whatever their classes.
        proposals: where the detector has no RPN, "selective_search", or a file of boxes: see `with_proposals`.
        detector, backbone, weights: as `hardmine.detectors.build` takes them; only torchvision's have a backbone to
            choose. The detector is one of the task; left empty it is "fasterrcnn" or "lraspp".
        image_size: side in pixels of what the detector is shown, of torchvision's the shorter one; None: the
            detector's own, but 128 on the scenes. Of images with masks the side of the square that is cut out of them
            in training; they are never resized, and measured whole. None: 256, but 128 on the scenes.
        recipe, recipe_options: a name in `RECIPES`, or PACKAGE:NAME (see `recipe_names`), and its arguments.
        seed: decides initial weights, data order, augmentation and sampling noise.
        epochs: None: as many as give about 360 optimiser steps, at least 6 and at most 100.
        batch_size: images per process and step; None: 8, but 4 on the scenes: of few images, more
            steps are better.
        lr: the peak, reached after `warmup_fraction` of all steps and then lowered along a cosine; None: 2e-3 from
            scratch, 1e-3 from pretrained weights; 1e-4 for DETR and its kin, as they were all published with: their
            attention does not learn at ten times that.
        clip_norm: largest gradient norm; None: not clipped.
        ema: decay of the averaged weights that are then evaluated and saved; None: no averaging.
        classification_weight: what the classification losses are multiplied by, beside those of boxes and proposals.
        precision: of the training step; predictions are always made in float32.
        compile: the losses, as `hardmine.compile` does; changes no result but by rounding. None: on a GPU, those of
            torchvision's detectors; losses that a framework computes itself stay as they are.
        workers: processes that load images; None: 0 on a CPU, where the step is the bottleneck, 4 beside a GPU.
            Changes no result.
        flip_horizontal: probability of a left-right flip; None: .5, but 0 on the scenes, whose digits have one side.
        flip_vertical: probability of an upside-down flip.
        crop: probability of cutting out a random part of at least 3/4 of each side.
        record: also keep how each object is learnt, epoch by epoch (`dynamics` in the run folder).
        eval_every: also evaluate after every so many epochs; None: after the last only.
        track: who is told how the run goes: "tensorboard", "wandb" or "mlflow"; None: nobody. Changes no result.

    Raises:
        ConfigError: a value of the wrong type or out of its range.
    """

    data: str = "scenes"
    task: str = "detection"
    classes: str | None = None
    instances: bool = False
    images: str | None = None
    allow_unlabelled: bool = False
    train_split: str = "train"
    val_split: str = "val"
    fold: str | None = None
    group_by: str | None = None
    label_errors: str | None = None
    mined: str | None = None
    suspects: str = "keep"
    reassign: int = 0
    augment_from: str | None = None
    augment: str = AUGMENT
    repeat_factors: str | None = None
    proposals: str | None = None
    detector: str = ""
    backbone: str = "micro"
    weights: str = "none"
    image_size: int | None = None
    recipe: str = "random"
    recipe_options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    weight_decay: float = 1e-4
    warmup_fraction: float = 0.1
    clip_norm: float | None = 10.0
    ema: float | None = None
    classification_weight: float = 1.0
    precision: str = "no"
    compile: bool | None = None
    workers: int | None = None
    flip_horizontal: float | None = None
    flip_vertical: float = 0.0
    crop: float = 0.0
    record: bool = False
    eval_every: int | None = None
    track: str | None = None

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            check_type(f"training option {name}", getattr(self, name), hint)
            _check_range(name, getattr(self, name))
        self._check_task()
        split_name(self.detector)
        if self.suspects != "keep" and self.mined is None:
            raise ConfigError(
                f"training option suspects is {self.suspects!r} but there is no mined folder to list them"
            )
        self._check_proposals()
        self._check_reassign()
        self._check_augmentation()
        if self.group_by is not None:
            check_grouping(self.group_by)
        if self.label_errors is not None:
            TASK_OPTIONS[self.task].check_label_errors(self.label_errors)
        try:
            json.dumps(self.recipe_options, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"recipe_options must be plain JSON values, got {self.recipe_options!r}") from error

    def _check_task(self) -> None:
        options = TASK_OPTIONS[self.task]
        if not self.detector:
            object.__setattr__(self, "detector", options.detector)
        defaults = {option.name: option.default for option in fields(self)}
        for name, why in options.refused.items():
            if getattr(self, name) != defaults[name]:
                raise ConfigError(f"training option {name} is {getattr(self, name)!r} for {self.task}: it {why}")
        if self.task == "segmentation" and self.suspects == "down":
            raise ConfigError("suspects of masks are regions, which are not weighed down; keep or drop them, or decide")

    def _check_proposals(self) -> None:
        if (self.detector in WITHOUT_RPN) != (self.proposals is not None):
            remedy = "give selective_search or a file" if self.proposals is None else f"only {WITHOUT_RPN[0]} takes any"
            raise ConfigError(f"training option proposals is {self.proposals!r} for {self.detector}: {remedy}")

    def _check_reassign(self) -> None:
        if self.reassign and self.mined is None:
            raise ConfigError(
                f"training option reassign is {self.reassign} but there is no mined folder to say what was missed"
            )
        if self.reassign and not self.is_torchvisions:
            raise ConfigError(
                f"training option reassign is {self.reassign} for {self.detector}, whose framework assigns by itself: "
                "only torchvision's detectors take it"
            )

    def _check_augmentation(self) -> None:
        parse_chances(self.augment)
        if self.augment != AUGMENT and self.augment_from is None:
            raise ConfigError(f"training option augment is {self.augment!r} but there is no augment_from to cut from")
        if self.repeat_factors is not None:
            parse_repeat_rule(self.repeat_factors)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Builds a configuration from plain values, such as a parsed JSON file.

        Raises:
            ConfigError: a key that is no option (with the nearest one), or a value that its option cannot take.
        """
        names = [option.name for option in fields(cls)]
        for key in values:
            check_name("training option", key, names)
        return cls(**values)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote. Raises ConfigError where the text is not a JSON object of training options."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"a training configuration must be JSON: {error}") from error
        if not isinstance(values, dict):
            raise ConfigError(f"a training configuration must be a JSON object, got {type(values).__name__}")
        return cls.from_dict(values)

    def to_json(self) -> str:
        """The configuration as indented JSON, in the order of the fields; `from_json` gives an equal one back."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @property
    def framework(self) -> Framework:
        """Whose detector it is."""
        return FRAMEWORKS[split_name(self.detector)[0]]

    @property
    def is_torchvisions(self) -> bool:
        """Whether the detector is one of torchvision, whose losses are ours and whose backbone is chosen."""
        return self.framework.package == "torchvision"

    @property
    def side(self) -> int | None:
        """`image_size`, or where that is None, what its rule gives; None for the detector's own."""
        own = TASK_OPTIONS[self.task].side
        is_made_for_scenes = own is None and self.is_torchvisions  # with its small backbones
        usual = SCENES_SIDE if self.data == SCENES and not is_made_for_scenes else own
        return usual if self.image_size is None else self.image_size

    @property
    def peak_lr(self) -> float:
        """`lr`, or where that is None, what its rule gives."""
        if self.lr is not None:
            return self.lr
        if self.framework.matches_sets:
            return 1e-4
        return 2e-3 if self.weights == "none" else 1e-3

    @property
    def images_per_step(self) -> int:
        """`batch_size`, or where that is None, what its rule gives."""
        return self.batch_size if self.batch_size is not None else 4 if self.data == SCENES else 8

    @property
    def flips(self) -> tuple[float, float]:
        """Probabilities of a left-right and an upside-down flip."""
        usual = 0.0 if self.data == SCENES else 0.5
        return usual if self.flip_horizontal is None else self.flip_horizontal, self.flip_vertical

    @property
    def measured_split(self) -> str:
        """The name of the split that is measured on."""
        return self.val_split if self.fold is None else "held_out"

    def compiles_on(self, device_type: str) -> bool:
        """`compile`, or where that is None, what its rule gives for a kind of device ("cpu", "cuda")."""
        usual = device_type == "cuda" and self.is_torchvisions
        return usual if self.compile is None else self.compile

    def steps_per_epoch(self, num_images: int, num_processes: int) -> int:
        """Optimiser steps until every image was seen; the last batch is filled up from the start of the order."""
        return math.ceil(num_images / (self.images_per_step * num_processes))

    def num_epochs(self, num_images: int, num_processes: int) -> int:
        """`epochs`, or where that is None, what its rule gives for this much data."""
        if self.epochs is not None:
            return self.epochs
        epochs = math.ceil(AIMED_STEPS / self.steps_per_epoch(num_images, num_processes))
        return min(max(epochs, FEWEST_EPOCHS), MOST_EPOCHS)


def check_type(what: str, value: object, hint: Any) -> None:
    """Raises ConfigError unless the value is of this type; a whole number may stand for one with a fraction."""
    allowed = Mapping if get_origin(hint) is Mapping else hint
    is_whole_number_for_float = type(value) is int and isinstance(1.0, allowed)
    is_bool_for_number = isinstance(value, bool) and bool not in (get_args(hint) or (hint,))
    if is_bool_for_number or not (isinstance(value, allowed) or is_whole_number_for_float):
        expected = str(hint) if get_origin(hint) or isinstance(hint, UnionType) else hint.__name__
        raise ConfigError(f"{what} must be {expected}, got {value!r}")


def _check_range(name: str, value: Any) -> None:
    is_a_file = name == "suspects" and str(value).endswith(DECISIONS_SUFFIX)
    if name in _CHOICES and value not in _CHOICES[name] and not is_a_file:
        or_a_file = f", or a file {DECISIONS_SUFFIX} of decisions" if name == "suspects" else ""
        known = ", ".join(filter(None, _CHOICES[name]))
        raise ConfigError(f"training option {name} must be one of {known}{or_a_file}, got {value!r}")
    low, high = _LIMITS.get(name, (None, None))
    if value is not None and low is not None and high is not None and not low <= value <= high:
        raise ConfigError(f"training option {name} must be from {low:g} to {high:g}, got {value!r}")

"""The options and arguments that several commands share, with a word on each."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "FORMS",
    "MASKS",
    "BoxFormat",
    "CategoryOffset",
    "Images",
    "Instances",
    "MaskClasses",
    "Out",
    "Proposals",
    "Resume",
    "Run",
    "Split",
    "Unlabelled",
]

Out = Annotated[Path, typer.Option(help="New folder for everything that comes out; an existing one is refused.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue what was stopped in the folder of --out.")]
Run = Annotated[Path, typer.Argument(help="Folder of a finished run.", show_default=False)]
Split = Annotated[str | None, typer.Option(help="Split of the data set.", show_default="the run's validation split")]
Images = Annotated[
    Path | None, typer.Option(help="Folder of the images, if not beside the labels.", show_default="beside the labels")
]
Unlabelled = Annotated[
    bool, typer.Option("--allow-unlabelled", help="A split without any label is meant to be all background.")
]
Proposals = Annotated[
    str | None,
    typer.Option(help="For a run of fastrcnn: selective_search, or a file of boxes.", show_default="as it was trained"),
]
BoxFormat = Annotated[
    str | None,
    typer.Option(
        help="What the numbers of a box are: xywh, xyxy, cxcywh, with n behind for fractions of the image.",
        show_default="as the form says, and checked",
    ),
]
CategoryOffset = Annotated[
    int | None, typer.Option(help="Add this to each category id of the predictions.", show_default="0, and checked")
]
FORMS = "COCO results, YOLO text files, Parquet, FiftyOne, Label Studio"
MASKS = "a folder with NAME.npy, .npz (probabilities) or .png (classes) of each image"
MaskClasses = Annotated[
    str | None,
    typer.Option(help="For masks: names in the order of the values, or a file of them.", show_default="the data's"),
]
Instances = Annotated[
    bool, typer.Option("--instances", help="For masks: they number objects, which are all of one class.")
]

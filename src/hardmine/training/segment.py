"""What a segmenter says of the pixels of a data set: probabilities image by image, or masks that can be written.

Images are shown whole, as large as they are, one at a time and in float32, as `as_input` makes them. Predicted masks
are PNG files of one channel, the label 0..C-1 of every pixel as its value, in one folder:

    NAME.png         where the names of the images tell them apart
    00012_NAME.png   where they do not, with the place of the image in the data set, from 0
"""

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from hardmine.data import SegmentationDataset
from hardmine.data.images import load_values
from hardmine.data.segmentation.transforms import as_input
from hardmine.detectors import Segmenter
from hardmine.errors import DataError, RunError, what_failed
from hardmine.evaluation import JudgedMasks, MaskMetrics, join_judged, judge_masks
from hardmine.files.writing import write_atomically

__all__ = ["FoundMasks", "are_written", "judge_written", "mask_names", "predict_masks", "predict_probabilities"]

LONGEST_NAME = 100
UNLIKED = re.compile(r"[^\w. -]")
"""What is not in the name of a file that is written: no name leads out of its folder."""


def predict_probabilities(
    segmenter: Segmenter,
    dataset: SegmentationDataset,
    accelerator: Accelerator,
    *,
    places: Sequence[int] | None = None,
    workers: int = 0,
    watch: Callable[[DataLoader[Any]], Iterable[Any]] = iter,
) -> Iterator[Tensor]:
    """Of each image, in order, the probability of each class: (C, H, W) float32 on the accelerator's device.

    The segmenter is moved there, and left in evaluation mode.

    Args: places: of the images that are wanted; None: all of them, in every process.
        watch: sees the images go by, for a progress bar.
    """
    segmenter.to(accelerator.device)
    images = _Images(dataset, range(len(dataset)) if places is None else places)
    for image in watch(DataLoader(images, batch_size=None, num_workers=workers)):
        yield _probabilities(segmenter, image.to(accelerator.device))


@torch.no_grad()
def _probabilities(segmenter: Segmenter, image: Tensor) -> Tensor:
    segmenter.eval()
    return segmenter.scores(image[None])[0].float().softmax(dim=0)


class _Images(Dataset[Tensor]):
    """Some images of a data set as a segmenter is shown them; masks are not read."""

    def __init__(self, dataset: SegmentationDataset, places: Sequence[int]):
        self.dataset, self.places = dataset, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Tensor:
        return as_input(torch.from_numpy(self.dataset.pixels(self.places[index])).permute(2, 0, 1))


@dataclass(frozen=True)
class FoundMasks:
    """What this process found in its share of a data set.  masks: by place of the image, as PNG."""

    dataset: SegmentationDataset
    accelerator: Accelerator
    masks: Mapping[int, bytes]

    @cached_property
    def metrics(self) -> MaskMetrics:
        """Of the images of all processes. Raises: DataError: a true mask cannot be read, or has a label of no class."""
        return self.judged.metrics

    @cached_property
    def judged(self) -> JudgedMasks:
        """The masks of all processes, judged; every process has to ask for it."""
        pairs = ((self.dataset.mask(place), _decoded(mask)) for place, mask in self.masks.items())
        own = [(list(self.masks), judge_masks(pairs, self.dataset.classes))] if self.masks else []
        return join_judged(gather_object(own))

    def write(self, path: Path) -> None:
        """Writes the masks of this process, in place of any that are there. Raises: RunError: they cannot be."""
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot make {path}: {what_failed(error)}") from error
        names = mask_names(self.dataset)
        for place, mask in self.masks.items():
            write_atomically(path / names[place], mask)
        self.accelerator.wait_for_everyone()


def predict_masks(
    segmenter: Segmenter,
    dataset: SegmentationDataset,
    accelerator: Accelerator,
    *,
    workers: int = 0,
    watch: Callable[[DataLoader[Any]], Iterable[Any]] = iter,
) -> FoundMasks:
    """Of each pixel the class of highest probability, of equals the first; each process predicts its share."""
    share = range(accelerator.process_index, len(dataset), accelerator.num_processes)
    found = predict_probabilities(segmenter, dataset, accelerator, places=share, workers=workers, watch=watch)
    masks = {place: _encoded(of.argmax(dim=0)) for place, of in zip(share, found, strict=True)}
    return FoundMasks(dataset, accelerator, masks)


def mask_names(dataset: SegmentationDataset) -> list[str]:
    """Of each image the name of the file of its predicted mask; no two alike, whatever the case of letters."""
    plain = [_plain_name(record.image_id, record.file) for record in dataset.records]
    if len({name.casefold() for name in plain}) < len(plain):
        plain = [f"{place:05}_{name}" for place, name in enumerate(plain)]
    return [f"{name}.png" for name in plain]


def _plain_name(image_id: int, file: Path | None) -> str:
    name = f"{image_id:05}" if file is None else UNLIKED.sub("_", file.stem)[:LONGEST_NAME]
    return name if name.strip(". ") else "image"


def are_written(folder: Path, dataset: SegmentationDataset) -> bool:
    """Whether the masks of all images are there."""
    return all((folder / name).exists() for name in mask_names(dataset))


def judge_written(folder: Path, dataset: SegmentationDataset) -> JudgedMasks:
    """Judges the masks in a folder. Raises: DataError: one cannot be read, or is of another size or class."""
    files = (folder / name for name in mask_names(dataset))
    pairs = ((dataset.mask(place), _single(load_values(file), file)) for place, file in enumerate(files))
    return judge_masks(pairs, dataset.classes)


def _single(values: np.ndarray, file: Path) -> np.ndarray:
    if values.ndim != 2:
        raise DataError(f"{file}: a mask in colours, expected the label of each pixel as one value")
    return values


def _encoded(labels: Tensor) -> bytes:
    content = io.BytesIO()
    Image.fromarray(labels.to(torch.uint8).cpu().numpy()).save(content, "PNG")
    return content.getvalue()


def _decoded(mask: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(mask)) as image:
        return np.array(image)

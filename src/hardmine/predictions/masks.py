"""What any model says of the pixels of a data set's images: a file for each image in a folder, found by its name.

    NAME.npy, NAME.npz    probabilities (C, H, W), of an .npz its only array, or the one called `probabilities`
    NAME.png              the class of each pixel, 0..C-1, taken for certain: probabilities of 0 and 1

NAME is the path of the image below the folder of all images, with its suffix or without; or the bare name of its file,
where no other image is called so; of a generated image its id. Or it is called as `hardmine predict` calls it. A file
is read when its image is asked for.
"""

import logging
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from hardmine.data import SegmentationDataset
from hardmine.data.images import load_values
from hardmine.data.paths import files_below, stem_of
from hardmine.errors import DataError
from hardmine.files.printable import escaped
from hardmine.files.reading import check_regular

__all__ = ["PredictedMasks"]

logger = logging.getLogger("hardmine")

LONGEST_NAME, UNLIKED = 100, re.compile(r"[^\w. -]")
"""Of the names that `hardmine predict` writes (`training/segment.py`)."""
SUFFIXES = (".npy", ".npz", ".png")
ARRAY = "probabilities"
FORMS = "NAME.npy or NAME.npz with probabilities (C, H, W), or NAME.png with the class of each pixel"


class PredictedMasks(Sequence[np.ndarray]):
    """Probabilities (C, H, W) float32 of each image of a data set, in its order, read one at a time.

    Raises: DataError: no such folder, an image without a file or with several, a file that may be of two images. Of
        reading: a file of another shape, with values that are no classes, or that cannot be read.
    """

    def __init__(self, folder: Path | str, dataset: SegmentationDataset):
        self.folder, self.dataset = Path(folder), dataset
        self.files = _files_of(self.folder, dataset)

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[place] for place in range(len(self)))

    def __getitem__(self, place: int) -> np.ndarray:  # pyright: ignore[reportIncompatibleMethodOverride] (no slices)
        record, file = self.dataset.records[place], self.files[place]
        expected = (len(self.dataset.classes), record.height, record.width)
        if file.suffix.lower() == ".png":
            return _certain(load_values(file), expected, file)
        return _read_array(file, expected)


def _files_of(folder: Path, dataset: SegmentationDataset) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; expected one with a file for each image: {FORMS}")
    by_name: defaultdict[str, list[Path]] = defaultdict(list)
    for file in files_below(folder, SUFFIXES):
        by_name[file.relative_to(folder).with_suffix("").as_posix()].append(file)
    names = [_names(dataset, place) for place in range(len(dataset))]
    times = Counter(name for of in names for name in set(of))
    found = [_file_of(of, by_name, times) for of in names]
    if lacking := [of[0] for of, file in zip(names, found, strict=True) if file is None]:
        raise DataError(
            f"{folder} has no prediction of {len(lacking)} of {len(names)} images, the first is "
            f"{escaped(lacking[0])!r}; expected {FORMS}, NAME as the image is called"
        )
    files = [file for file in found if file is not None]
    if twice := [file for file, count in Counter(files).items() if count > 1]:
        raise DataError(f"{twice[0]} may be of several images; put it into a folder as the images are, or rename it")
    if others := sum(map(len, by_name.values())) - len(files):
        logger.warning("%s: %d files are of no image of %s %r", folder, others, dataset.name, dataset.split)
    return files


def _names(dataset: SegmentationDataset, place: int) -> list[str]:
    """What the image may be called, from the path to the bare name, and to what `hardmine predict` makes of that."""
    name, record = dataset.file_names[place], dataset.records[place]
    if not name:
        return [str(record.image_id), f"{record.image_id:05}"]
    bare = name.rpartition("/")[2]
    written = UNLIKED.sub("_", stem_of(bare))[:LONGEST_NAME]
    return list(dict.fromkeys([stem_of(name), name, stem_of(bare), bare, f"{place:05}_{written}", written]))


def _file_of(names: Sequence[str], by_name: defaultdict[str, list[Path]], times: Counter[str]) -> Path | None:
    """By the first of the names that there is a file of.

    Raises: DataError: there are several of it, or other images are called so, too.
    """
    name = next((name for name in names if name in by_name), None)
    if name is None:
        return None
    files = by_name[name]
    if len(files) > 1:
        raise DataError(f"{files[0]} and {files[1].name} are of one image; expected one of them")
    if times[name] > 1 and name not in names[:1]:
        raise DataError(
            f"{files[0]} may be of {times[name]} images that are called so, {escaped(names[0])!r} among them; call it "
            "by the path of the image below the folder of all"
        )
    return files[0]


def _certain(values: np.ndarray, expected: tuple[int, ...], file: Path) -> np.ndarray:
    if values.shape != expected[1:]:
        raise DataError(f"{file} has pixels {values.shape}; expected the class of each of {expected[1:]} (H, W)")
    if int(values.max(initial=0)) >= expected[0]:
        raise DataError(f"{file} has the value {values.max()}; expected the number of a class, 0 to {expected[0] - 1}")
    return (np.arange(expected[0])[:, None, None] == values).astype(np.float32)


def _read_array(file: Path, expected: tuple[int, ...]) -> np.ndarray:
    check_regular(file)
    try:
        with file.open("rb") as stream:
            if file.suffix.lower() == ".npy":
                return _array(stream, expected, file)
            with zipfile.ZipFile(stream) as archive, archive.open(_member(archive, file)) as member:
                return _array(member, expected, file)
    except DataError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError, SyntaxError) as error:
        raise DataError(f"{file} cannot be read as an array of NumPy ({error}); write it again") from error


def _member(archive: zipfile.ZipFile, file: Path) -> str:
    names = [name for name in archive.namelist() if name.endswith(".npy")]
    chosen = names if len(names) == 1 else [name for name in names if name == f"{ARRAY}.npy"]
    if not chosen:
        raise DataError(f"{file} has {len(names)} arrays; expected one, or one of them to be called {ARRAY!r}")
    return chosen[0]


def _array(stream: IO[bytes], expected: tuple[int, ...], file: Path) -> np.ndarray:
    """The array, once its header says that it has the shape that it should: nothing larger is read."""
    version = np.lib.format.read_magic(stream)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, kind = read_header(stream)
    if shape != expected:
        raise DataError(f"{file} has the shape {shape}; expected {expected}: classes, height, width{_hint(shape)}")
    if kind.kind != "f":
        raise DataError(f"{file} has numbers of type {kind}; expected probabilities as floats")
    num_bytes = int(np.prod(shape)) * kind.itemsize
    content = stream.read(num_bytes)
    if len(content) < num_bytes:
        raise DataError(f"{file} ends after {len(content)} of {num_bytes} bytes; write it again")
    array = np.frombuffer(content, dtype=kind)
    return np.asarray(array.reshape(shape, order="F" if is_fortran else "C"), dtype=np.float32)


def _hint(shape: tuple[int, ...]) -> str:
    if len(shape) == 2:
        return "; the classes themselves are written as .png"
    return "; write each image into a file of its own" if len(shape) == 4 else ""

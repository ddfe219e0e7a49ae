"""A folder of images without any labels: something to predict, and nothing to learn from or to measure on."""

from collections.abc import Mapping
from pathlib import Path

from hardmine.data.entries import Id, ImageEntry, Reading, SplitEntries
from hardmine.data.paths import images_below

__all__ = ["ImageFolderSource", "find_images"]


def find_images(path: Path, classes: Mapping[Id, str]) -> "ImageFolderSource | None":
    """The images of a folder and of those in it; None if there are none."""
    return None if next(images_below(path), None) is None else ImageFolderSource(path, classes)


class ImageFolderSource:
    """Every image below a folder, by name, as one split. classes: what is to be found in them, by category id."""

    format = "images"
    takes_images = False
    default_split = None
    splits = ("all",)

    def __init__(self, path: Path, classes: Mapping[Id, str]):
        self.path, self._classes = path, dict(classes)

    def read(self, split: str, reading: Reading) -> SplitEntries:
        """Every image, without objects."""
        files = sorted(images_below(self.path))
        entries = [ImageEntry(number, file, file, "", is_numbered=True) for number, file in enumerate(files, start=1)]
        return SplitEntries(dict(self._classes), entries, [])

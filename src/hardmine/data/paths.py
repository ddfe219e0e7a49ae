"""File names that come out of annotation files, made safe.

A data set is untrusted: a `file_name` of `../../etc/passwd` must not make us read outside the data set's folder. The
check is on the words of the path, not on where links lead: a user who links a folder of images into a data set means
it.
"""

import os
from collections import defaultdict
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from hardmine.errors import DataError

__all__ = [
    "IMAGE_SUFFIXES",
    "FilesBelow",
    "absolute",
    "files_below",
    "images_below",
    "images_in",
    "is_file",
    "join_inside",
    "num_last_equal",
    "parts_of",
    "path_in_link",
    "path_inside",
    "stem_of",
]

LOCAL_FILES = "/local-files/?d="
IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def join_inside(root: Path, name: str) -> Path:
    """The file `name` below `root`, with backslashes taken as slashes.

    Raises: DataError: the name is empty, absolute or leads out of the root.
    """
    relative = PurePosixPath(name.replace("\\", "/"))
    has_drive = relative.parts[:1] and relative.parts[0].endswith(":")
    if not relative.parts or relative.is_absolute() or has_drive or ".." in relative.parts or "\0" in name:
        raise DataError(f"{name!r} is refused: expected a path inside the data set's folder, without '..'; correct it")
    return root / relative


def absolute(path: Path) -> Path:
    """The path from the root, without "..", and without following links."""
    return Path(os.path.normpath(path.absolute()))


def path_inside(top: Path, folder: Path, name: str) -> Path | None:
    """What a file in `folder` calls `name`, be it absolute or with "..", if that is in `top` or is it; None if not."""
    has_drive = any(part.endswith(":") for part in parts_of(name)[:1])
    if has_drive or "\0" in name:
        return None
    path = os.path.abspath(os.path.join(folder, name.replace("\\", "/")))  # noqa: PTH100, PTH118  thousands of names
    for above_of in (os.path.abspath, os.path.realpath):  # tools write where a link leads to
        above = above_of(top)
        if path == above or path.startswith(os.path.join(above, "")):  # noqa: PTH118
            return top / path[len(above) :].lstrip("/")
    return None


def is_file(path: Path) -> bool:
    """Whether there is a file; False also for names that the system cannot hold (too long, odd characters)."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def images_in(folder: Path) -> list[Path]:
    """Every image file directly in the folder, by name."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())


def stem_of(name: str) -> str:
    """The name without the suffix of an image: "a.jpg" is "a", but "0.5 mm" stays, for ".5 mm" is no such suffix."""
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and f"{dot}{suffix.lower()}" in IMAGE_SUFFIXES else name


def parts_of(name: str) -> tuple[str, ...]:
    """Folders and file of a path in anybody's notation, with slashes or backslashes."""
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def images_below(folder: Path) -> Iterator[Path]:
    """Every image file in the folder and below it, by folder and name."""
    return files_below(folder, IMAGE_SUFFIXES)


def files_below(folder: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """Every file with one of the suffixes in the folder and below it; links to folders are followed, once each."""
    seen: set[str] = set()
    for top, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(top)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(top, name) for name in sorted(files) if Path(name).suffix.lower() in suffixes)


class FilesBelow:
    """The image files below a folder, found by the last parts of a name that was written elsewhere."""

    def __init__(self, root: Path):
        self._root = root

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        listed: defaultdict[str, list[Path]] = defaultdict(list)
        for file in images_below(self._root):
            listed[file.name].append(file)
        return listed

    def find(self, name: str) -> Path | None:
        """The file whose last parts are those of a path or URL, as many as any has; None: there is none.

        Raises: DataError: several have as many.
        """
        parts = tuple(part for part in parts_of(path_in_link(name)) if part != "..")
        files = self._by_name.get(parts[-1], []) if parts else []
        agreed = [num_last_equal(parts, file.relative_to(self._root).parts) for file in files]
        best = [file for file, number in zip(files, agreed, strict=True) if number == max(agreed)]
        if len(best) > 1:
            raise DataError(
                f"{name!r} may be '{best[0]}' or '{best[1]}'; write as much of the path as tells them apart"
            )
        return best[0] if best else None


def path_in_link(name: str) -> str:
    """The path of the file that a link leads to, of Label Studio's the query; other names are paths themselves."""
    if "://" not in name and LOCAL_FILES not in name:
        return name
    parts = urlsplit(name)
    return next(iter(parse_qs(parts.query).get("d", [])), unquote(parts.path))


def num_last_equal(parts: tuple[str, ...], others: tuple[str, ...]) -> int:
    """How many of the last parts are the same."""
    pairs = zip(reversed(parts), reversed(others), strict=False)
    return next((number for number, (one, other) in enumerate(pairs) if one != other), min(len(parts), len(others)))

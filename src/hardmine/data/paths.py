"""File names that come out of annotation files, made safe.

A data set is untrusted: a `file_name` of `../../etc/passwd` must not make us read outside the data set's folder. The
check is on the words of the path, not on where links lead: a user who links a folder of images into a data set means
it.
"""

from pathlib import Path, PurePosixPath

from hardmine.errors import DataError

__all__ = ["IMAGE_SUFFIXES", "images_in", "is_file", "join_inside"]

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

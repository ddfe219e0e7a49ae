"""Any common image file as RGB uint8, in the frame that its boxes are drawn in.

Grey, palette, CMYK and images with alpha are converted (alpha is dropped, the colours under it stay); 16-bit grey
keeps its high byte, as Pillow itself does for 16-bit colour, so that two images with the same values stay the same. An
EXIF orientation is a number from 1 (as stored) to 8 that says how to turn the stored picture before showing it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFile

from hardmine.errors import DataError
from hardmine.files.reading import check_regular

__all__ = ["ImageHeader", "load_colours", "load_rgb", "load_values", "read_header"]

# A closed list: Pillow also opens formats that start other programs (EPS runs Ghostscript).
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")

_EXACT_FORMATS = ("BMP", "PNG", "PPM", "TIFF")

_SPREAD = {"L;2": 85, "L;4": 17}
"""By how much Pillow multiplies grey of two or four bits, to fill eight."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# What Pillow raises on broken or oversized files; SyntaxError is its own for a broken PNG. Where ultralytics has been
# imported, opening what is no image ends in an ImportError: its function, in the place of Pillow's, wants pi-heif then.
_UNREADABLE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    MemoryError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
    ImportError,
)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a file says of its image before it is decoded; width and height are as stored, before any turning."""

    width: int
    height: int
    orientation: int
    mode: str

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height once the EXIF orientation is applied."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def read_header(file: Path) -> ImageHeader:
    """Size, orientation and mode without decoding.

    Raises: DataError: no regular file, not an image of a known format, or over Pillow's limit of decompression bombs.
    """
    check_regular(file)
    try:
        with file.open("rb") as stream, Image.open(stream, formats=_FORMATS) as image:
            return ImageHeader(image.width, image.height, _orientation(image), image.mode)
    except _UNREADABLE as error:
        raise DataError(f"{file} cannot be opened as an image ({_reason(error)}); replace or remove it") from error


def load_rgb(file: Path, orientation: int = 1) -> np.ndarray:
    """The decoded image as (H, W, 3) uint8, turned as the EXIF `orientation` says (1 leaves it as stored).

    Raises: DataError: the file is missing, truncated or not an image.
    """
    return np.array(_decoded(file, _to_rgb, orientation))


def load_values(file: Path, orientation: int = 1) -> np.ndarray:
    """The pixels of a mask as written: (H, W), of a palette the indices; (H, W, 3) of one in colours.

    Raises: DataError: it cannot be decoded; its format does not keep values exactly; or its pixels are no values.
    """
    return np.asarray(_decoded(file, _as_values, orientation))


def load_colours(file: Path, orientation: int = 1) -> np.ndarray:
    """The colours of a mask, (H, W, 3) uint8, of a palette those that it shows. Raises: DataError: as `load_values`."""
    return np.asarray(_decoded(file, _as_colours, orientation))


def _decoded(file: Path, convert: Callable[[Image.Image], Image.Image], orientation: int) -> Image.Image:
    try:
        check_regular(file)
        with file.open("rb") as stream, Image.open(stream, formats=_FORMATS) as image:
            converted = convert(image)
            converted.load()
    except (*_UNREADABLE, DataError) as error:
        message = (
            f"{file} cannot be decoded ({_reason(error)}); replace or remove it, `hardmine check` lists all such images"
        )
        raise DataError(message) from error
    return converted.transpose(_TURNS[orientation]) if orientation in _TURNS else converted


def _as_values(image: Image.Image) -> Image.Image:
    if image.format not in _EXACT_FORMATS:
        raise DataError(
            f"{image.format} may change the values of pixels, expected a mask in {', '.join(_EXACT_FORMATS)}"
        )
    if image.mode == "1":
        return image.convert("L").point(lambda value: value and 1)
    if image.mode == "RGBA":
        return image.convert("RGB")  # straight, so that the colours under alpha stay
    if image.mode not in ("L", "P", "RGB", "I") and not image.mode.startswith("I;16"):
        raise DataError(f"its pixels are {image.mode!r}, expected grey of 8 or 16 bits, a palette, or RGB")
    factor = _SPREAD.get(_stored_form(image), 1)
    return image if factor == 1 else image.point([value // factor for value in range(256)])


def _stored_form(image: Image.Image) -> str:
    """What Pillow calls the form of the pixels in the file, such as "L;4", as long as these are not decoded."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    arguments = tiles[0].args if tiles else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _as_colours(image: Image.Image) -> Image.Image:
    values = _as_values(image)
    return _to_rgb(values)


def _reason(error: Exception) -> object:
    """What is wrong with the file: of an ImportError, what led to the import."""
    return error.__context__ or error if isinstance(error, ImportError) else error


def _orientation(image: Image.Image) -> int:
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # Pillow would decode the whole PNG to look for EXIF after the pixels
    if image.format == "TIFF":
        # Pillow turns TIFF by itself, and its size is already the turned one. But it forgets to where it maps a file
        # into memory, which is why files are opened as streams here.
        return 1
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in _TURNS else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise DataError("floating-point pixels have no defined range, expected 8 or 16 bit")
    if image.mode.startswith("I"):
        high_byte = (np.clip(np.asarray(image), 0, 65535) // 256).astype(np.uint8)
        return Image.fromarray(high_byte).convert("RGB")
    if image.mode == "P":
        image = image.convert("RGBA")  # straight to RGB, Pillow warns about transparency given in bytes
    return image.convert("RGB")

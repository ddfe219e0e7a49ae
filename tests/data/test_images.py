import os

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from hardmine.data.images import load_rgb, read_header
from hardmine.errors import DataError

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)


def save(tmp_path, image, name="a.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_grey_is_repeated(tmp_path):
    pixels = load_rgb(save(tmp_path, Image.fromarray(GREY)))
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, np.repeat(GREY[..., None], 3, axis=2))


def test_sixteen_bit_grey_keeps_its_high_byte(tmp_path):
    file = save(tmp_path, Image.fromarray(GREY.astype(np.uint16) * 256 + 255))
    assert read_header(file).mode.startswith("I")
    assert np.array_equal(load_rgb(file)[..., 0], GREY)


@pytest.mark.parametrize("mode", ["P", "CMYK", "1", "LA", "YCbCr"])
def test_other_modes_become_rgb(tmp_path, mode):
    image = Image.fromarray(np.full((6, 8, 3), 255, dtype=np.uint8)).convert(mode)
    pixels = load_rgb(save(tmp_path, image, "a.tif"))
    assert pixels.shape == (6, 8, 3)
    assert pixels.min() >= 254


def test_alpha_is_dropped_and_colours_stay(tmp_path):
    rgba = np.full((6, 8, 4), (10, 20, 30, 0), dtype=np.uint8)
    assert (load_rgb(save(tmp_path, Image.fromarray(rgba))) == (10, 20, 30)).all()


def test_palette_with_transparent_entries(tmp_path):
    image = Image.fromarray(GREY).convert("P")
    file = save(tmp_path, image, transparency=bytes(range(256)))
    assert np.array_equal(load_rgb(file)[..., 0], GREY)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))])
def test_exif_orientation_is_read_and_applied(tmp_path, suffix, orientation, corner):
    pixels = np.zeros((32, 64, 3), dtype=np.uint8)
    pixels[:16, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = save(tmp_path, Image.fromarray(pixels), f"a.{suffix}", exif=exif)
    header = read_header(file)
    turned = load_rgb(file, header.orientation)
    assert (header.width, header.height, header.orientation) == (64, 32, orientation)
    assert header.shown_size == turned.shape[1::-1]
    assert turned[corner].min() > 200
    assert load_rgb(file).shape == (32, 64, 3)


def test_tiff_is_turned_once(tmp_path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x0112] = 6
    file = save(tmp_path, Image.fromarray(GREY), "a.tif", tiffinfo=tags)
    header = read_header(file)
    assert header.shown_size == load_rgb(file, header.orientation).shape[1::-1]


def test_header_of_a_truncated_file_is_read_but_decoding_fails(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for name in ("a.png", "a.jpg"):
        file = save(tmp_path, Image.fromarray(noise), name)
        file.write_bytes(file.read_bytes()[:2000])
        assert read_header(file).shown_size == (64, 64)
        with pytest.raises(DataError, match="cannot be decoded"):
            load_rgb(file)


@pytest.mark.parametrize("content", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_what_is_not_an_image_of_a_known_format_is_refused(tmp_path, content):
    file = tmp_path / "a.png"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png cannot be opened as an image"):
        read_header(file)


def test_floating_point_pixels_are_refused(tmp_path):
    file = save(tmp_path, Image.fromarray(GREY.astype(np.float32)), "a.tif")
    with pytest.raises(DataError, match="no defined range"):
        load_rgb(file)


def test_decompression_bomb_is_refused(tmp_path, monkeypatch):
    file = save(tmp_path, Image.fromarray(GREY))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match="cannot be opened as an image"):
        read_header(file)


def test_missing_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="cannot be decoded"):
        load_rgb(tmp_path / "gone.png")


@pytest.mark.parametrize("read", [load_rgb, read_header])
def test_pipe_is_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match="it is a pipe"):
        read(tmp_path / "a.png")


def test_what_stands_in_pillows_place_and_wants_a_package_is_no_traceback(tmp_path, monkeypatch):
    """As ultralytics' function does on a file that Pillow does not know."""
    opened = Image.open

    def wanting(*given, **named):
        try:
            return opened(*given, **named)
        except UnidentifiedImageError:
            raise ModuleNotFoundError("No module named 'pi_heif'")  # noqa: B904 (as it is raised there)

    monkeypatch.setattr(Image, "open", wanting)
    file = tmp_path / "a.png"
    file.write_text("no image")
    with pytest.raises(DataError, match=r"cannot be opened as an image \(cannot identify image file"):
        read_header(file)

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from hardmine.data.images import load_colours, load_rgb, load_values, read_header
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


def png_of_few_bits(file, bits, byte):
    """A grey PNG of one row of two bytes, which Pillow does not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 16 // bits, 1, bits, 0, 0, 0, 0)
    rows = zlib.compress(bytes([0, byte, byte]))
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return file


@pytest.mark.parametrize(("bits", "byte", "values"), [(2, 0b00011011, [0, 1, 2, 3]), (4, 0x1F, [1, 15])])
def test_values_of_few_bits_are_not_spread_over_eight(tmp_path, bits, byte, values):
    assert load_values(png_of_few_bits(tmp_path / "a.png", bits, byte)).tolist() == [values * 2]


@pytest.mark.parametrize("mode", ["L", "P"])
def test_values_are_as_written(tmp_path, mode):
    image = Image.fromarray(GREY)
    if mode == "P":
        image.putpalette([255 - value // 3 for value in range(768)])
    assert np.array_equal(load_values(save(tmp_path, image)), GREY)


def test_values_of_sixteen_bits_are_whole(tmp_path):
    wide = GREY.astype(np.uint16) * 1000
    assert np.array_equal(load_values(save(tmp_path, Image.fromarray(wide))), wide)


def test_black_and_white_is_0_and_1(tmp_path):
    assert np.array_equal(load_values(save(tmp_path, Image.fromarray(GREY > 20))), GREY > 20)


def test_values_in_colour_have_three_channels_without_alpha(tmp_path):
    rgba = np.random.default_rng(0).integers(0, 255, (6, 8, 4), dtype=np.uint8)
    assert np.array_equal(load_values(save(tmp_path, Image.fromarray(rgba))), rgba[..., :3])
    assert np.array_equal(load_colours(save(tmp_path, Image.fromarray(rgba))), rgba[..., :3])


def test_colours_of_a_palette_are_those_that_it_shows(tmp_path):
    image = Image.fromarray(GREY % 2)
    image.putpalette([10, 20, 30, 40, 50, 60])
    assert np.array_equal(
        load_colours(save(tmp_path, image)), np.where((GREY % 2)[..., None], (40, 50, 60), (10, 20, 30))
    )


@pytest.mark.parametrize("name", ["a.jpg", "a.gif", "a.webp"])
def test_formats_that_may_change_values_are_refused(tmp_path, name):
    file = save(tmp_path, Image.fromarray(GREY), name)
    with pytest.raises(DataError, match="may change the values of pixels, expected a mask in BMP, PNG"):
        load_values(file)


@pytest.mark.parametrize("mode", ["LA", "CMYK", "F"])
def test_pixels_that_are_no_values_are_refused(tmp_path, mode):
    file = save(tmp_path, Image.fromarray(GREY).convert(mode), "a.tif")
    with pytest.raises(DataError, match="expected grey of 8 or 16 bits, a palette, or RGB"):
        load_values(file)


def test_values_are_turned_as_pictures_are(tmp_path):
    file = save(tmp_path, Image.fromarray(GREY))
    for orientation in range(1, 9):
        assert np.array_equal(load_values(file, orientation), load_rgb(file, orientation)[..., 0])

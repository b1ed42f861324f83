"""Images that are not what their names or headers say: one line, before anything is run, allocated or decoded."""

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, UnidentifiedImageError

from echodepth.apps.convert.convert import read_depth
from echodepth.core.errors import DataError
from echodepth.data import image_stream, images
from echodepth.data.image_stream import MAX_BYTES
from echodepth.data.images import (
    open_image,
    open_only_listed_formats,
    open_upright,
    read_depth_image,
    read_image,
    read_stored_depth,
    upright_size,
)
from echodepth.data.records import StoredFile
from echodepth.inference.inputs import prepare_image

pytestmark = pytest.mark.usefixtures("little_memory")


@pytest.mark.parametrize("kind", ["EPS", "ICO", "PCX", "TGA", "SGI", "DDS", "JPEG2000", "PDF"])
def test_an_image_of_another_format_is_refused_whatever_its_name(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PostScript file named room.jpg was handed to Ghostscript."""
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    path = tmp_path / "room.jpg"
    Image.new("RGB", (32, 32)).save(path, kind)
    stored = StoredFile("room.jpg", path.read_bytes())
    for read in (open_image, open_upright, lambda file: read_image(file, 16), lambda file: prepare_image(file, 16)):
        with pytest.raises(DataError, match=r"room\.jpg cannot be read as an image: it is no PNG, JPEG, .* or PPM"):
            read(path)
    with pytest.raises(DataError, match="it is no PNG"):
        read_image(stored, 16)
    with pytest.raises(DataError, match="it is no PNG"):
        read_depth_image(path, 1000.0)
    with pytest.raises(DataError, match="it is no PNG"):
        read_depth(path, "mm")
    # Gradio opens an upload itself, before any handler of the page.
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    open_only_listed_formats()
    with pytest.raises(UnidentifiedImageError):
        Image.open(path)


@pytest.mark.parametrize("kind", images.IMAGE_FORMATS)
def test_listed_formats_are_read(kind: str, tmp_path: Path) -> None:
    Image.new("RGB", (32, 24), (255, 0, 0)).save(tmp_path / "a", kind)
    assert read_image(tmp_path / "a", 16)[0].mean() > 0.9


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    packed = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts]  # fmt: skip  # noqa: E501
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_decompression_bombs_are_one_line(tmp_path: Path) -> None:
    text = (b"zTXt", b"a\0\0" + zlib.compress(bytes(5_000_000)))
    bombs = {"wide": png(60_000, 60_000), "large": png(9000, 9000), "text": png(8, 8, text)}
    for name, data in {**bombs, "warned": png(10_000, 10_000)}.items():
        (tmp_path / name).write_bytes(data)
        for read in (lambda path: read_image(path, 16), lambda path: read_depth_image(path, 1000.0)):
            with pytest.raises(DataError, match=rf"{name} (is too large|is \d+000x\d+000 pixels|cannot be)") as error:
                read(tmp_path / name)
            assert "\n" not in str(error.value)
    Image.new("I;16", (5000, 5000)).save(tmp_path / "depth.png")
    with pytest.raises(DataError, match="5000x5000 pixels, over the limit of 17 million"):
        read_depth_image(tmp_path / "depth.png", 1000.0)
    with pytest.raises(DataError, match="5000x5000 pixels, over the limit of 17 million"):
        read_stored_depth(tmp_path / "depth.png")


def test_a_progressive_jpeg_has_few_scans(tmp_path: Path) -> None:
    """Each scan passes over all pixels and needs 100 bytes: 2 MB of them held a worker for longer than 90 s."""
    path = tmp_path / "a.jpg"
    Image.effect_noise((64, 48), 50).convert("RGB").save(path, progressive=True)
    data = path.read_bytes()
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    scans = data.count(b"\xff\xda")
    path.write_bytes(data[:end] + (100 - scans) * data[last:end] + data[end:])
    np.testing.assert_allclose(read_image(path, 16), read_image(StoredFile("a.jpg", path.read_bytes()), 16))
    path.write_bytes(data[:end] + (101 - scans) * data[last:end] + data[end:])
    for read in (lambda file: read_image(file, 16), open_upright, open_image):
        with pytest.raises(DataError, match=r"a\.jpg is a JPEG of 101 scans, over the limit of 100"):
            read(path)


@pytest.mark.parametrize(("width", "height", "limit"), [(8000, 6250, 20), (5000, 4000, 50), (1000, 1000, 100)])
def test_a_large_jpeg_has_fewer_scans(width: int, height: int, limit: int, tmp_path: Path) -> None:
    """All scans of an image together pass over at most 1e9 pixels, or are twenty."""
    path = tmp_path / "a.jpg"
    Image.new("L", (64, 48)).save(path, progressive=True)
    data = path.read_bytes().replace(struct.pack(">HH", 48, 64), struct.pack(">HH", height, width), 1)
    last, end, scans = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9"), data.count(b"\xff\xda")
    for count in (limit, limit + 1):
        # Two pieces of a megabyte: the scans of the first are counted once.
        path.write_bytes(data[:end] + (count - scans) * data[last:end] + data[end:] + bytes(2**20))
        if count == limit:
            open_image(path).close()
    with pytest.raises(DataError, match=rf"a JPEG of {limit + 1} scans, over the limit of {limit}"):
        open_image(path)


@pytest.mark.parametrize("piece", [1, 2, 3, 2**20])
def test_scans_are_counted_once_wherever_a_file_is_cut_into_pieces(
    piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    Image.effect_noise((32, 24), 50).save(path, progressive=True)
    data = path.read_bytes()
    last, end, scans = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9"), data.count(b"\xff\xda")
    monkeypatch.setattr(image_stream, "MAX_SCANS", 21)
    monkeypatch.setattr(image_stream, "_MB", piece)
    path.write_bytes(data[:end] + (21 - scans) * data[last:end] + data[end:])
    with Image.open(path) as image:
        before = image.fp.tell()  # type: ignore[union-attr]
        image_stream.check_stream(image, "a")
        assert image.fp.tell() == before  # type: ignore[union-attr]
    path.write_bytes(data[:end] + (22 - scans) * data[last:end] + data[end:])
    with pytest.raises(DataError, match="a JPEG of 22 scans, over the limit of 21"):
        open_image(path)


def test_colours_at_half_the_height_are_two_coefficients_a_pixel(tmp_path: Path) -> None:
    """Pillow writes none, cameras do: 2x1 samples of brightness to one of colour become 1x2."""
    path = tmp_path / "a.jpg"
    Image.new("RGB", (64, 48)).save(path, progressive=True, subsampling=1)
    data = bytearray(path.read_bytes())
    factors = data.index(b"\xff\xc2") + 11
    assert data[factors] == 0x21
    data[factors] = 0x12
    path.write_bytes(data)
    with Image.open(path) as image:
        assert image_stream.check_stream(image, "a") == int(400e6 / (4 + 8 / 3 * 2))


def test_images_have_a_size_and_a_side(tmp_path: Path) -> None:
    (tmp_path / "wide.png").write_bytes(png(65_536, 1))
    with pytest.raises(DataError, match=r"wide\.png is 65536x1 pixels: no side may be longer than 65535"):
        open_image(tmp_path / "wide.png")
    Image.new("RGB", (32, 24)).save(tmp_path / "a.bmp")
    os.truncate(tmp_path / "a.bmp", MAX_BYTES)
    open_image(tmp_path / "a.bmp").close()
    os.truncate(tmp_path / "a.bmp", MAX_BYTES + 1)
    with pytest.raises(DataError, match=r"a\.bmp has more than 128 MB, which no image needs"):
        open_image(tmp_path / "a.bmp")


def jpeg_of_three_scans(width: int, height: int, more: int = 0) -> bytes:
    """A JPEG that is not progressive and has its colours one after the other, the last one ``more`` times again."""
    file = io.BytesIO()
    Image.effect_noise((width, height), 50).save(file, "JPEG", quality=20)
    grey = file.getvalue()
    frame, scan = grey.index(b"\xff\xc0"), grey.index(b"\xff\xda")
    three = struct.pack(">HBHHB", 17, 8, height, width, 3) + b"".join(bytes([n, 0x11, 0]) for n in (1, 2, 3))
    scans = [b"\xff\xda" + struct.pack(">HB", 8, 1) + bytes([n, 0, 0, 63, 0]) + grey[scan + 10 : -2] for n in (1, 2, 3)]
    return b"".join([grey[:frame], b"\xff\xc0", three, grey[frame + 13 : scan], *scans, *more * scans[2:], b"\xff\xd9"])


@pytest.mark.parametrize(
    ("format", "options", "pixels"),
    [
        ("PNG", {}, 50e6),
        ("BMP", {}, 50e6),
        ("JPEG", {"quality": 95, "subsampling": 0}, 50e6),
        ("JPEG", {"progressive": True}, 50e6),  # with colour at a quarter of the pixels, 1.5 coefficients a pixel
        ("JPEG", {"progressive": True, "subsampling": 0}, 33.3e6),  # 3 coefficients a pixel
        ("JPEG", {"progressive": True, "subsampling": 1}, 42.9e6),  # 2 coefficients a pixel
        ("WEBP", {}, 13.3e6),
        ("TIFF", {}, 50e6),
        ("TIFF", {"compression": "tiff_deflate"}, 25e6),
    ],
)
def test_an_image_has_the_pixels_that_its_decoder_holds_in_400_mb(
    format: str, options: dict[str, Any], pixels: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A WebP of 20 million pixels took 546 MB, a TIFF of a single strip of 50 million 758 MB."""
    Image.effect_noise((320, 240), 50).convert("RGB").save(tmp_path / "a", format, **options)
    side = 320 * 240
    for bound, accepted in ((1.03 * side / pixels, True), (0.97 * side / pixels, False)):
        monkeypatch.setattr(image_stream, "MAX_DECODED_BYTES", 400e6 * bound)
        if accepted:
            assert read_image(tmp_path / "a", 16).shape == (3, 16, 16)
        else:
            with pytest.raises(DataError, match=r"a is 320x240 pixels, over the limit"):
                open_image(tmp_path / "a")


def test_a_jpeg_of_more_scans_than_one_is_bounded_though_it_is_not_progressive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_of_three_scans(64, 48))
    assert not open_image(path).info.get("progressive")
    assert np.ptp(read_image(path, 16)) > 0.1
    monkeypatch.setattr(image_stream, "MAX_DECODED_BYTES", 11 * 64 * 48)  # an image needs 8 bytes a pixel, this one 12
    with pytest.raises(DataError, match=r"a\.jpg is 64x48 pixels, over the limit"):
        open_image(path)
    path.write_bytes(jpeg_of_three_scans(64, 48, more=98))
    with pytest.raises(DataError, match=r"a\.jpg is a JPEG of 101 scans, over the limit of 100"):
        open_image(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.bmp", struct.pack("<2s4I2i2H6I", b"BM", 82, 0, 58, 40, 32, 24, 1, 8, 1, 24, 0, 0, 1, 0) + bytes(28)),
        ("a.ppm", b"P3 2 2 255 " + b"7 " * 12),
        ("a.ppm", b"P3 2 2 255 " + b"#\n" * 100),
        ("a.pbm", b"P1 2 2 1010"),
        ("a.ppm", b"P6 2 2 1000 " + bytes(24)),
    ],
)  # fmt: skip
def test_an_image_that_is_decoded_in_python_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    """128 MB of empty comments in a PPM of text held a worker for longer than 100 s."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name} is a compressed BMP, or a PPM of text or of unusual depth: save"):
        open_image(tmp_path / name)


def tags(count: int, size: int) -> bytes:
    """EXIF data, or a TIFF file, of which ``count`` tags share the same ``size`` bytes."""
    entries = [struct.pack("<HHII", 1000 + n, 1, size, 14 + 12 * count) for n in range(count)]
    return b"II*\0" + struct.pack("<IH", 8, count) + b"".join(entries) + bytes(4 + size)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_tags_that_share_their_bytes_are_counted_each(format: str, tmp_path: Path) -> None:
    """Pillow copies the bytes of each: 9 MB of EXIF data with 2,000 tags would be copied 2,000 times."""
    path = tmp_path / "a"
    if format == "TIFF":
        path.write_bytes(tags(2000, 60_000))
    else:
        for count in (100, 300):  # a segment of a JPEG has 64 kB
            assert count == 100 or read_image(path, 16).shape == (3, 16, 16)
            Image.new("RGB", (32, 24)).save(path, format, exif=b"Exif\0\0" + tags(count, 61_000))
    with pytest.raises(DataError, match=r"a cannot be (read as an image|decoded): its tags have more than 16 MB"):
        read_image(path, 16)
    if format == "PNG":
        with open_image(path) as image, pytest.raises(DataError, match="a cannot be decoded: its tags have"):
            upright_size(image, "a")


def test_tags_may_have_16_mb() -> None:
    reader = image_stream._BoundedReader(io.BytesIO(b"tags"))
    assert reader.read(2**24 - 1) == b"tags"
    assert reader.read(1) == b""
    with pytest.raises(LookupError, match="its tags have more than 16 MB"):
        reader.read(1)


def test_a_tiff_has_a_bounded_number_of_parts(tmp_path: Path) -> None:
    """Pillow keeps a tuple of each: 10 MB with 2.4 million strips took 743 MB and 33 s."""
    for compression in (None, "tiff_deflate"):
        Image.new("RGB", (32, 240)).save(tmp_path / "a.tif", compression=compression)
        assert read_image(tmp_path / "a.tif", 16).shape == (3, 16, 16)
    entries = [(256, 40), (257, 40), (258, 8), (259, 1), (262, 1), (273, 200), (277, 1), (278, 1), (279, 200)]
    for count in (65_536, 65_537):
        packed = [struct.pack("<HHII", tag, 4, count if value == 200 else 1, value) for tag, value in entries]
        data = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(packed)
        (tmp_path / "a.tif").write_bytes(data.ljust(200, b"\0") + bytes(4 * count))
        if count == 65_536:
            open_image(tmp_path / "a.tif").close()
    with pytest.raises(DataError, match=r"a\.tif cannot be read as an image: it consists of too many strips or tiles"):
        open_image(tmp_path / "a.tif")

"""Predictor.infer on images of every form: correct depth, or an error of one line."""

import contextlib
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from echodepth import Predictor
from echodepth.core.errors import DataError, EchodepthError
from echodepth.inference import inputs
from echodepth.inference.inputs import Input
from tests.inference.predictor.brightness import Brightness


def test_every_form_of_an_image_gives_the_same_depth(eyes: Predictor, photo: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(photo).save(tmp_path / "room.png")
    expected = eyes.infer(tmp_path / "room.png").depth
    assert expected.shape == (24, 40)
    assert expected.dtype == np.float32
    tensor = torch.from_numpy(photo).permute(2, 0, 1)
    for same in (str(tmp_path / "room.png"), Image.fromarray(photo), photo, tensor):
        np.testing.assert_array_equal(eyes.infer(same).depth, expected)
    # Floats are not rounded to 8 bits on the way, so their last digits differ.
    for close in (photo / 255, (tensor / 255).double(), (photo / 255).astype(np.float32)):
        np.testing.assert_allclose(eyes.infer(close).depth, expected, atol=2e-3)


def test_a_batch_equals_its_images_one_by_one(eyes: Predictor, photo: np.ndarray) -> None:
    batch = np.stack([photo, photo[::-1], 255 - photo])
    estimate = eyes.infer(batch)
    assert estimate.depth.shape == (3, 24, 40)
    assert estimate.uncertainty is None
    for depth, one in zip(estimate.depth, batch, strict=True):
        np.testing.assert_allclose(depth, eyes.infer(one).depth, atol=1e-5)


def test_a_list_may_mix_sizes_and_kinds(eyes: Predictor, photo: np.ndarray) -> None:
    listed: list[Input] = [photo, Image.fromarray(photo[:5, :7]), torch.rand(3, 50, 60)] * 4
    assert [estimate.depth.shape for estimate in eyes.infer(listed)] == [(24, 40), (5, 7), (50, 60)] * 4
    nothing: list[Path] = []
    assert eyes.infer(nothing) == []


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


UNUSUAL: dict[str, tuple[str, tuple[int, int], dict[str, Any], tuple[int, int]]] = {
    **{f"{mode}.png": (mode, (20, 30), {}, (30, 20)) for mode in ("1", "L", "LA", "P", "RGBA")},
    "CMYK.jpg": ("CMYK", (20, 30), {}, (30, 20)),
    "one_pixel.png": ("RGB", (1, 1), {}, (1, 1)),
    "a_line.png": ("RGB", (3000, 1), {}, (1, 3000)),
    "two_frames.gif": (
        "RGB",
        (20, 30),
        {"save_all": True, "append_images": [Image.new("RGB", (20, 30), "red")]},
        (30, 20),
    ),
    "phone.jpg": ("RGB", (40, 24), {"exif": _exif(6)}, (40, 24)),
}
"""By file name: mode, width and height, and settings of an image, and height and width of its depth map."""


@pytest.mark.parametrize("name", UNUSUAL)
def test_unusual_images_are_read_as_colour(eyes: Predictor, tmp_path: Path, name: str) -> None:
    mode, size, settings, shape = UNUSUAL[name]
    Image.new(mode, size).save(tmp_path / name, **settings)
    depth = eyes.infer(tmp_path / name).depth
    assert depth.shape == shape
    assert np.isfinite(depth).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    """A bright corner stays at the top left of the scene, whatever the orientation of the camera and of the file."""
    upright = Image.new("RGB", (96, 64))
    ImageDraw.Draw(upright).rectangle((0, 0, 40, 24), fill="white")
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions that invert each orientation
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
    stored.save(tmp_path / "room.png", exif=_exif(orientation))
    for given in (tmp_path / "room.png", Image.open(tmp_path / "room.png")):
        depth = Predictor(Brightness()).infer(given).depth
        assert depth.shape == (64, 96)
        assert depth[4, 4] > 9.9
        assert depth[-4:, :].max() < 0.1
        assert depth[:, -4:].max() < 0.1


def test_the_callers_image_is_not_changed(eyes: Predictor, tmp_path: Path) -> None:
    Image.new("RGB", (400, 240)).save(tmp_path / "room.jpg")
    with Image.open(tmp_path / "room.jpg") as image:
        assert eyes.infer(image).depth.shape == (240, 400)
        assert image.size == (400, 240)


def test_an_estimate_is_no_larger_than_what_can_be_read_again(
    eyes: Predictor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A picture of 186 kB, 64 million equal pixels, had an estimate of 256 MB, and cost 2 GB in all."""
    monkeypatch.setattr(inputs, "LARGEST_ARRAY", 40 * 24)
    assert eyes.infer(Image.new("RGB", (40, 24))).depth.shape == (24, 40)
    for image in (Image.new("RGB", (800, 480)), torch.zeros(3, 480, 800)):
        assert eyes.infer(image).depth.shape == (24, 40)
    assert caplog.text.count("the estimates of images of 800x480 pixels have 40x24 pixels") == 1
    assert eyes.infer(Image.new("RGB", (4000, 1))).depth.shape == (1, 1959)  # sqrt(960 / 4000) of each side


def _png_of(width: int, height: int) -> bytes:
    """A PNG whose header states this size, without pixel data."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def _half_a_jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((200, 100), 50).save(buffer, "JPEG")
    return buffer.getvalue()[:2000]


def _png_of_16_bits() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as an image"),
        (b"nothing", "cannot be read as an image"),
        (_png_of_16_bits(), "holds I;16 pixels, as depth maps do"),
        (_half_a_jpeg(), "cannot be decoded: .*truncated"),
        (_png_of(12000, 9000), r"is 12000x9000 pixels, over the limit of 50 million: scale it down first"),
        (_png_of(40000, 30000), "is too large: .*decompression bomb.*; scale it down first"),
        (_png_of(300, 200), "cannot be decoded"),
    ],
    ids=["empty", "text", "16 bits", "half", "huge", "bomb", "hollow"],
)
def test_unfit_images_are_refused_in_one_line(eyes: Predictor, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "room.img").write_bytes(content)
    with pytest.raises(DataError, match=rf"room\.img {message}") as refused:
        eyes.infer(tmp_path / "room.img")
    assert "\n" not in str(refused.value)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif", "tif", "bmp"])
def test_a_damaged_image_raises_data_errors_only(eyes: Predictor, tmp_path: Path, ending: str) -> None:
    Image.effect_noise((60, 40), 50).convert("RGB").save(tmp_path / f"whole.{ending}")
    whole = (tmp_path / f"whole.{ending}").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = np.frombuffer(whole, np.uint8).copy()
        damaged[rng.integers(0, min(len(whole), 300), 4)] = rng.integers(0, 256, 4)
        (tmp_path / f"damaged.{ending}").write_bytes(damaged.tobytes()[: int(rng.integers(1, len(whole)))])
        with contextlib.suppress(DataError):
            eyes.infer(tmp_path / f"damaged.{ending}")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 24, 40)), r"shape \(3, 24, 40\) is not an image: NumPy images are \[h, w\] or \[h, w, 3\]"),
        (torch.zeros(24, 40, 3), r"shape \(24, 40, 3\) is not an image: tensors are \[3, h, w\]"),
        (np.zeros((0, 40, 3)), r"shape \(0, 40, 3\) is not an image"),
        (np.zeros(40), r"shape \(40,\) is not an image"),
        (np.full((24, 40, 3), 255.0), r"has values from 255 to 255: give floats in 0\.\.1, or uint8"),
        (np.full((24, 40, 3), -0.1), r"has values from -0\.1 to -0\.1"),
        (np.full((24, 40, 3), np.nan), "has values from nan to nan"),
        (np.zeros((24, 40), np.uint16), r"holds uint16: give uint8, or floats in 0\.\.1"),
        (torch.zeros(3, 24, 40, dtype=torch.int64), r"holds torch\.int64: give uint8"),
    ],
)
def test_arrays_that_are_not_images_are_refused(eyes: Predictor, array: Any, message: str) -> None:
    with pytest.raises(EchodepthError, match=message):
        eyes.infer(array)


def test_one_channel_is_grey_and_a_fourth_is_ignored(eyes: Predictor) -> None:
    grey = np.random.default_rng(0).integers(0, 255, (24, 40), dtype=np.uint8)
    expected = eyes.infer(np.stack([grey] * 3, axis=-1)).depth
    transparent = np.stack([grey] * 3 + [np.full_like(grey, 7)], axis=-1)
    for same in (grey, grey[..., None], torch.from_numpy(grey), torch.from_numpy(grey)[None], transparent):
        np.testing.assert_array_equal(eyes.infer(same).depth, expected)
    for close in (grey / 255, torch.from_numpy(transparent).permute(2, 0, 1) / 255):
        np.testing.assert_allclose(eyes.infer(close).depth, expected, atol=2e-3)

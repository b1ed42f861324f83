"""EXIF orientation: every command that opens an image sees it upright, and the doctor says which were on their side."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from echodepth.apps.convert.convert import _check_turned
from echodepth.apps.convert.pairing import FileTriple
from echodepth.apps.demo.backend import read_image as read_demo_image
from echodepth.apps.doctor.row_checks import check_row
from echodepth.core.errors import DataError
from echodepth.data.dataset import list_split, open_dataset
from echodepth.data.images import DepthMap, open_upright, read_image
from echodepth.data.records import StoredFile
from echodepth.inference.inputs import prepare_image
from tests.roots import v2, write_v2_root

TRANSPOSITIONS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""For each EXIF orientation, Pillow's transposition that makes an upright image the stored one."""
FORMATS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 100, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
}


def upright() -> Image.Image:
    """40 wide, 24 high; each quarter has its own colour, so that no turn or mirror image is the same."""
    pixels = np.zeros((24, 40, 3), np.uint8)
    pixels[:12, :20], pixels[:12, 20:], pixels[12:, :20] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return Image.fromarray(pixels)


def save_turned(path: Path, orientation: int, kind: str) -> Path:
    image, exif = upright(), Image.Exif()
    if orientation > 1:
        image = image.transpose(Image.Transpose(TRANSPOSITIONS[orientation]))
    exif[0x0112] = orientation
    image.save(path, kind, exif=exif, **FORMATS[kind])
    return path


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_reader_sees_the_same_upright_image(orientation: int, kind: str, tmp_path: Path) -> None:
    """Training took the pixels as they are stored, and predict turned them: a phone's images were learnt lying."""
    path = save_turned(tmp_path / "room", orientation, kind)
    expected = np.asarray(upright().resize((16, 16), Image.Resampling.BILINEAR), np.float32).transpose(2, 0, 1) / 255
    predicted = prepare_image(path, 16)
    assert predicted.size == (24, 40)
    readings = {
        "training": read_image(path, 16),
        "shards": read_image(StoredFile("room", path.read_bytes()), 16),
        "predict": predicted.raw.numpy(),
        "demo": np.asarray(read_demo_image(path, (16, 16)), np.float32).transpose(2, 0, 1) / 255,
    }
    for reader, image in readings.items():
        assert np.abs(image - expected).max() < 0.03, reader
    assert np.abs(np.asarray(open_upright(path), int) - np.asarray(upright(), int)).max() < 8


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_doctor_and_the_opening_of_a_split_name_turned_images(
    orientation: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The doctor found no fault in images on their side."""
    root = write_v2_root(tmp_path, ("Attic",))
    save_turned(root / "Attic/camera/camera_0.jpeg", orientation, "JPEG")
    records, decoder = list_split(v2(root), "train", ("image", "depth"))
    row = check_row(records[0], "train", decoder)
    assert row.image_size == (40, 24)
    assert [finding.kind for finding in row.findings] == (["orientation"] if orientation > 1 else [])
    with caplog.at_level(logging.WARNING):
        open_dataset(v2(root), "train", ("image",))
    assert ("camera_0.jpeg is turned upright, from EXIF orientation" in caplog.text) == (orientation > 1)
    if orientation > 1:
        assert f"camera_0.jpeg has EXIF orientation {orientation} and is 40x24 upright" in row.findings[0].what


def test_an_image_that_lies_across_its_depth_map_is_not_converted() -> None:
    triple = FileTriple(Path("a.wav"), Path("a.jpg"), Path("a.npy"))
    lying = DepthMap(np.ones((40, 24), np.float32), np.ones((40, 24), bool))
    with pytest.raises(DataError, match=r"a\.jpg is 40x24 upright, .* but .*a\.npy is 24x40: turn the depth map too"):
        _check_turned(triple, (24, 40), lying)
    _check_turned(triple, (40, 24), lying)

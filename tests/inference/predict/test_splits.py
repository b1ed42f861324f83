"""``echodepth predict`` on a dataset's split."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from echodepth.core.errors import DataError
from echodepth.inference.predictor import Predictor
from tests.inference.predict.command import run
from tests.roots import write_rgbd_root
from tests.tiny import SIDE, save_tiny


def test_a_split_is_predicted_and_shown_with_its_images(v2_root: Path) -> None:
    written = run(checkpoint="ears", split="test", save=("npy", "color", "sheet"))
    assert len(written) == 2 * 6 + 1
    number = written[0].stem.removesuffix("_depth")
    assert written[0].parent == Path("out/Attic")
    ears = Predictor(save_tiny(Path("checkpoints/ears"), v2_root))
    single = ears.infer(v2_root / "Attic" / "audio" / f"audio_{number}.wav").depth
    assert single.shape == np.load(written[0]).shape == (SIDE, SIDE)
    with Image.open("out/contact_sheet.png") as sheet:
        assert sheet.width > sheet.height  # six frames, three per line, each beside its image
    assert run(checkpoint="ears", split="test", save=("npy", "color", "sheet")) == []


def test_a_split_without_images_is_predicted(v2_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(v2_root, "no_images")
    for image in Path("no_images").rglob("*.png"):
        image.unlink()
    assert len(run(checkpoint="ears", data_dir=Path("no_images"), save=("npy", "sheet"))) == 7


def test_a_bad_row_of_a_split_is_named_and_skipped(v2_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(v2_root, "damaged")
    for broken in Path("damaged/Attic/camera").iterdir():
        broken.write_bytes(b"")
    with pytest.raises(DataError, match="3 of 6 could not be predicted"):
        run(checkpoint="eyes", dataset="batvisionv2", data_dir=Path("damaged"))
    assert "test.csv" in caplog.text
    assert len(list(Path("out").rglob("*.npy"))) == 3


def test_another_dataset_is_predicted(tmp_path: Path) -> None:
    write_rgbd_root(tmp_path / "desk")
    written = run(dataset="rgbd", data_dir=tmp_path / "desk", save=("npy",))
    assert written[0].name.endswith("_depth.npy")
    assert ".png" not in written[0].name
    assert np.load(written[0]).shape == (72, 128)

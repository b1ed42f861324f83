"""``echodepth predict`` on folders: what is searched, skipped, and not stopped by a bad file."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from echodepth import cli
from echodepth.core.errors import ConfigError, DataError
from echodepth.data.image_stream import MAX_BYTES
from echodepth.inference import results
from echodepth.inference.config import PredictConfig
from echodepth.inference.predict import predict
from tests.inference.predict.command import run
from tests.tiny import save_tiny_rgb


def test_folders_are_searched_recursively(photos: Path) -> None:
    assert run(photos) == [Path("out/a_depth.npy"), Path("out/deep/er/b_depth.npy")]
    assert np.load("out/deep/er/b_depth.npy").shape == (24, 40)


def test_up_to_date_results_are_skipped(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = run(photos)
    before = first.stat().st_mtime_ns
    second.unlink()
    with caplog.at_level("INFO", logger="echodepth"):
        assert run(photos) == [second]
    assert "1 of 2 are up to date and were skipped: --overwrite predicts them again" in caplog.text
    assert first.stat().st_mtime_ns == before
    assert run(photos, overwrite=True) == [first, second]


def test_results_of_another_model_are_not_mixed_in(photos: Path, v2_root: Path) -> None:
    run(photos)
    save_tiny_rgb(Path("checkpoints/other"), v2_root)
    expected = r"out holds results of another model \(eyes \w+; this is other \w+\): give another --out, or --overwrite"
    with pytest.raises(ConfigError, match=expected):
        run(photos, checkpoint="other")
    assert len(run(photos, checkpoint="other", overwrite=True)) == 2
    assert run(photos, checkpoint="other") == []


def test_results_below_the_input_folder_are_not_inputs(photos: Path) -> None:
    for _ in range(2):
        run(photos, out=photos / "depth", save=("png",), overwrite=True)
    assert sorted(path.name for path in (photos / "depth").rglob("*.png")) == ["a_depth.png", "b_depth.png"]
    with pytest.raises(ConfigError, match="--out photos is the input folder"):
        run(photos, out=photos)


def test_a_bad_file_does_not_stop_the_rest(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "0.png").write_bytes(b"broken")
    (photos / "1.jpg").touch()
    flags = ["--checkpoint", "eyes", "--out", "out", "--save", "npy", "--device", "cpu"]
    with pytest.raises(SystemExit) as stop:
        cli.main(["predict", "photos", "gone.png", *flags])
    assert stop.value.code == cli.USER_ERROR
    shown = capsys.readouterr().err
    assert "photos/0.png cannot be read as an image" in shown
    assert "gone.png does not exist" in shown
    assert shown.splitlines()[-1] == "echodepth: 3 of 5 could not be predicted: they are named above"
    assert "Traceback" not in shown
    assert Path("out/a_depth.npy").is_file()
    assert Path("out/deep/er/b_depth.npy").is_file()


def test_one_bad_file_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["predict", "gone.png", "--checkpoint", "eyes", "--device", "cpu"])
    assert capsys.readouterr().err.splitlines()[-1] == "echodepth: gone.png does not exist"


def test_a_file_has_a_size(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources are hashed before they are opened: a sparse file of 50 GB took a minute."""
    monkeypatch.setattr(results, "content_digest", lambda path: pytest.fail("it was read"))
    Path("sparse.png").touch()
    os.truncate("sparse.png", MAX_BYTES + 1)
    with pytest.raises(DataError, match=r"sparse\.png has more than 128 MB, which no image or recording needs"):
        predict(PredictConfig((Path("sparse.png"),), "eyes"))


def test_a_folder_without_inputs_is_refused(photos: Path) -> None:
    with pytest.raises(DataError, match=r"photos holds no file that the model takes: \.flac \.wav"):
        run(photos, checkpoint="ears")


def test_two_images_of_one_name_are_refused(photos: Path) -> None:
    shutil.copy(photos / "a.png", photos / "a.webp")
    with pytest.raises(
        ConfigError, match=r"photos/a\.png and photos/a\.webp: the result of one would replace the other"
    ):
        run(photos)

"""A result is reused only if the same input, model and settings made it; another input's is never taken for it."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from echodepth.core.errors import ConfigError, DataError
from echodepth.core.result_log import MADE_FROM, Origin, ResultLog
from echodepth.inference.config import PredictConfig
from echodepth.inference.predict import predict
from echodepth.inference.predictor import Predictor
from echodepth.inference.video import TimedFrame, write_video
from echodepth.models.checkpoint import load_depth_model, save_model
from tests.roots import recording
from tests.tiny import RATE, save_tiny, save_tiny_rgb


@pytest.fixture(autouse=True)
def models(tmp_path: Path, v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny_rgb(Path("checkpoints/eyes"), v2_root)
    save_tiny(Path("checkpoints/ears"), v2_root)


def run(*files: str, checkpoint: str = "ears", **flags: Any) -> list[str]:
    flags = {"out": Path("out"), "device": "cpu", "save": ("npy",), **flags}
    return [str(path) for path in predict(PredictConfig(tuple(map(Path, files)), checkpoint, **flags))]


def write_recording(path: str, metres: float) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, recording(metres, 0, 4000), RATE, subtype="PCM_24")


def write_photo(path: str, grey: int) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 24), (grey, 0, 0)).save(path)


def predicted(path: str, checkpoint: str = "ears") -> np.ndarray:
    return Predictor(load_depth_model(checkpoint)).infer(Path(path)).depth


def test_another_recording_of_the_same_name_is_refused() -> None:
    """B/rec.wav once got the depth of A/rec.wav, with the line that it is up to date."""
    write_recording("A/rec.wav", 2.0)
    write_recording("B/rec.wav", 6.0)
    run("A/rec.wav")
    before = np.load("out/rec_depth.npy")
    with pytest.raises(ConfigError, match=r"out/rec_depth\.npy is the result of \.\./A/rec\.wav: .* or --overwrite it"):
        run("B/rec.wav")
    np.testing.assert_array_equal(np.load("out/rec_depth.npy"), before)
    assert run("B/rec.wav", overwrite=True) == ["out/rec_depth.npy"]
    np.testing.assert_allclose(np.load("out/rec_depth.npy"), predicted("B/rec.wav"), atol=1e-4)
    with pytest.raises(ConfigError, match=r"is the result of \.\./B/rec\.wav"):
        run("A/rec.wav")


def test_a_copy_elsewhere_has_the_same_result() -> None:
    write_recording("A/rec.wav", 2.0)
    run("A/rec.wav")
    shutil.copytree("A", "B")
    assert run("B/rec.wav") == []


def test_an_image_of_another_format_and_the_same_name_is_refused() -> None:
    write_photo("rec.png", 50)
    write_photo("rec.bmp", 200)
    run("rec.png", checkpoint="eyes")
    with pytest.raises(ConfigError, match=r"is the result of \.\./rec\.png"):
        run("rec.bmp", checkpoint="eyes")


@pytest.mark.parametrize("age", [-7200, 0, 7200])
def test_a_replaced_recording_is_predicted_again_whatever_its_time(age: int, caplog: pytest.LogCaptureFixture) -> None:
    """cp -p, unzip and git checkout write files that are older than the result of the file they replace."""
    write_recording("a/rec.wav", 2.0)
    run("a", save=("npy", "png"))
    time = Path("out/rec_depth.npy").stat().st_mtime + age
    size = Path("a/rec.wav").stat().st_size
    write_recording("a/rec.wav", 6.0)
    os.utime("a/rec.wav", (time, time))
    assert Path("a/rec.wav").stat().st_size == size
    with caplog.at_level("INFO", logger="echodepth"):
        assert run("a") == ["out/rec_depth.npy"]
    np.testing.assert_allclose(np.load("out/rec_depth.npy"), predicted("a/rec.wav"), atol=1e-4)
    # The image of the first recording must not stay beside the second one's array.
    assert not Path("out/rec_depth.png").exists()
    assert "removed, because their input has changed since: out/rec_depth.png" in caplog.text
    assert run("a") == []


def test_a_file_that_only_got_another_time_is_skipped() -> None:
    write_recording("rec.wav", 2.0)
    run("rec.wav")
    os.utime("rec.wav", (2**32, 2**32))
    assert run("rec.wav") == []


def test_settings_make_only_the_files_anew_that_they_change() -> None:
    write_recording("rec.wav", 2.0)
    write_photo("rec.png", 50)
    formats = ("npy", "color", "ply")
    run("rec.wav", save=formats, fov=60.0)
    assert run("rec.wav", save=formats, fov=60.0) == []
    cloud = Path("out/rec_depth.ply").read_bytes()
    for change in ({"fov": 90.0}, {"fov": 90.0, "vertical_fov": 40.0}, {"intrinsics": (30.0, 30.0, 15.5, 15.5)}):
        # Files of one prediction are written together.
        assert "out/rec_depth.ply" in run("rec.wav", save=formats, **change)
        assert Path("out/rec_depth.ply").read_bytes() != cloud
        cloud = Path("out/rec_depth.ply").read_bytes()
    assert run("rec.wav", save=("npy", "color")) == []
    assert "out/rec_depth_color.png" in run("rec.wav", save=("npy", "color"), image=Path("rec.png"))
    write_photo("rec.png", 200)
    assert "out/rec_depth_color.png" in run("rec.wav", save=("npy", "color"), image=Path("rec.png"))
    assert run("rec.wav", image=Path("rec.png")) == []


def test_other_weights_under_the_same_name_are_another_model() -> None:
    """The record of training is the same: the weights alone tell a repeated training on another machine apart."""
    write_recording("rec.wav", 2.0)
    run("rec.wav")
    model = load_depth_model("ears")
    with torch.no_grad():
        next(model.parameters()).add_(0.5)
    save_model(model, Path("checkpoints/ears/best"))
    with pytest.raises(ConfigError, match="out holds results of another model"):
        run("rec.wav")
    assert run("rec.wav", overwrite=True) == ["out/rec_depth.npy"]


def test_a_file_of_unknown_origin_is_not_taken_for_a_result() -> None:
    write_recording("rec.wav", 2.0)
    Path("out").mkdir()
    np.save("out/rec_depth.npy", np.zeros(3))
    with pytest.raises(
        ConfigError, match=r"out/rec_depth\.npy exists, and out/made_from\.jsonl does not list what made"
    ):
        run("rec.wav")
    assert np.load("out/rec_depth.npy").shape == (3,)
    assert run("rec.wav", overwrite=True) == ["out/rec_depth.npy"]


def test_a_bad_replacement_leaves_an_error_not_the_old_answer() -> None:
    write_recording("rec.wav", 2.0)
    run("rec.wav")
    Path("rec.wav").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"rec\.wav"):
        run("rec.wav")


def grey_video(path: str, grey: int, frames: int) -> None:
    pixels = np.full((48, 64, 3), grey, np.uint8)
    write_video(Path(path), (TimedFrame(number / 5, pixels) for number in range(frames)))


def test_a_replaced_video_leaves_no_frame_of_the_first_one() -> None:
    grey_video("walk.mp4", 50, 6)
    run("walk.mp4", checkpoint="eyes", save=("npy", "color"), frame_stride=2)
    assert run("walk.mp4", checkpoint="eyes", save=("npy", "color"), frame_stride=2) == []
    # Another stride is another video; frames that both have stay.
    written = run("walk.mp4", checkpoint="eyes", save=("npy", "color"), frame_stride=4)
    assert written == ["out/walk_depth_color.mp4"]
    grey_video("walk.mp4", 200, 3)
    run("walk.mp4", checkpoint="eyes", save=("npy",), frame_stride=2)
    assert sorted(path.name for path in Path("out").rglob("*depth*")) == ["000000_depth.npy", "000002_depth.npy"]
    shutil.move("walk.mp4", "12:30.mp4")  # FFmpeg takes such a name for an address
    assert run("12:30.mp4", checkpoint="eyes", frame_stride=2)[0] == "out/12:30/000000_depth.npy"


def test_a_frame_and_a_photo_never_share_a_file() -> None:
    Path("in").mkdir()
    grey_video("in/walk.mp4", 50, 1)
    write_photo("in/walk/000000.png", 200)
    with pytest.raises(DataError, match="1 of 2 could not be predicted"):
        run("in", checkpoint="eyes")


def test_a_log_survives_half_a_line_and_other_things(tmp_path: Path) -> None:
    origin = Origin("rec", "../rec.wav", "input", "model", "settings")
    log = ResultLog(tmp_path)
    log.begin({tmp_path / "rec_depth.npy": origin})
    (tmp_path / "rec_depth.npy").touch()
    with (tmp_path / MADE_FROM).open("a") as file:
        file.write(
            '3\n[]\n{"file": 1}\n{"file": "a", "stem": "b"}\n' + "[" * 100_000 + '\n{"file": "rec_depth.npy", "st'
        )
    again = ResultLog(tmp_path)
    assert again.origin(tmp_path / "rec_depth.npy") == origin
    assert not again.needs(tmp_path / "rec_depth.npy", origin)
    again.begin({tmp_path / "next.npy": origin})
    assert ResultLog(tmp_path).origin(tmp_path / "next.npy") == origin


def test_a_file_that_was_not_written_is_listed_once(tmp_path: Path) -> None:
    """A kill between the line and its file left a log that differed from an undisturbed call's."""
    first, second = (Origin("a", "x", digest, "m", "s") for digest in "12")
    for origin, lines in ((first, 1), (first, 1), (second, 2), (first, 3)):
        ResultLog(tmp_path).begin({tmp_path / "a": origin})
        assert len((tmp_path / MADE_FROM).read_text().splitlines()) == lines
        assert ResultLog(tmp_path).origin(tmp_path / "a") == origin


def test_a_result_is_gone_before_the_log_names_what_replaces_it(tmp_path: Path) -> None:
    """A process that is killed in between must not leave the old file under the new one's line."""
    (tmp_path / "a").write_text("old")
    ResultLog(tmp_path).begin({tmp_path / "a": Origin("a", "x", "1", "m", "s")})
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["../precious", "/{}/precious", "sub/../../precious", "link/precious"])
def test_a_list_of_results_removes_nothing_elsewhere(name: str, tmp_path: Path) -> None:
    """``predict`` removes older results of an input, which a folder from elsewhere must not choose."""
    out, precious = tmp_path / "results", tmp_path / "precious"
    (out / "sub").mkdir(parents=True)
    (out / "link").symlink_to(tmp_path)
    precious.write_text("kept")
    new = Origin("rec", "../rec.wav", "new", "ears", "npy")
    lines = [{**vars(new), "file": file, "input": "old"} for file in (name.format(tmp_path), "rec_depth.ply")]
    (out / MADE_FROM).write_text("\n".join(map(json.dumps, lines)) + "\n")
    (out / "rec_depth.ply").touch()
    assert ResultLog(out).begin({out / "rec_depth.npy": new}) == [out / "rec_depth.ply"]
    assert precious.read_text() == "kept"


def test_a_list_of_results_is_a_file_of_moderate_size(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / MADE_FROM)
    with pytest.raises(DataError, match=r"made_from\.jsonl is a named pipe"):
        ResultLog(tmp_path)
    (tmp_path / MADE_FROM).unlink()
    (tmp_path / MADE_FROM).touch()
    os.truncate(tmp_path / MADE_FROM, 2**40)
    with pytest.raises(DataError, match=r"made_from\.jsonl has more than 128 MB"):
        ResultLog(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MADE_FROM).symlink_to(tmp_path / "precious")
    with pytest.raises(DataError, match=r"made_from\.jsonl is a link to a place outside"):  # lines were added there
        ResultLog(tmp_path / "out")

"""Conversion of own recordings to BatVision V2's format."""

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from scipy.signal import resample_poly

from echodepth import cli
from echodepth.apps.convert.config import ConvertConfig
from echodepth.apps.convert.convert import convert, read_recording
from echodepth.apps.live.capture import capture
from echodepth.apps.live.simulated_card import SimulatedCard
from echodepth.core.constants import V2_ONSET
from echodepth.data.audio import find_onset, read_wav
from echodepth.data.config import DataConfig
from echodepth.data.dataset import open_dataset


def raw_room(folder: Path, rate: int = 48000) -> Path:
    """Files of a recorder, a camera and a depth camera, with other names, sample rates and units than BatVision's."""
    rng = np.random.default_rng(0)
    card = SimulatedCard(1)
    for number in range(3):
        sound = resample_poly(capture(card, 1.0).audio, rate // 300, 147, axis=1)
        late = np.concatenate([1e-5 * rng.normal(size=(2, 5000)), sound], axis=1)
        for part in ("sound", "rgb", "range"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"sound/take_{number:03}.wav", late.T, rate, subtype="FLOAT")
        pixels = rng.integers(0, 255, (24, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"rgb/rgb-{number}.bmp")
        ground_truth = card.ground_truth()
        assert ground_truth is not None
        np.save(
            folder / f"range/range_{number}.npy", np.where(ground_truth > 12, np.nan, ground_truth).astype(np.float32)
        )
    return folder


def converted(folder: Path, **flags: Any) -> list[str]:
    given = {
        **{"out": "own", "location": "Kitchen", "depth_unit": "m"},
        **{"audio": f"{folder}/sound/*.wav", "camera": f"{folder}/rgb/*", "depth": f"{folder}/range/*.npy"},
        **flags,
    }
    return ["convert", *(word for name, value in given.items() for word in (f"--{name}", str(value)))]


@pytest.mark.parametrize("pair", ["stem", "order"])
def test_own_files_become_batvision_v2(pair: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    room = raw_room(tmp_path / "raw")
    cli.main(converted(room, pair=pair))
    dataset = open_dataset(DataConfig(data_dir=Path("own"), image_size=32), "train")
    assert [record.name for record in dataset.records] == ["Kitchen/0", "Kitchen/1", "Kitchen/2"]
    millimetres = np.load("own/Kitchen/depth/depth_1.npy")
    original = np.load(room / "range/range_1.npy")
    assert millimetres.dtype == np.uint16
    known = np.isfinite(original)
    assert np.array_equal(millimetres == 0, ~known)
    assert np.abs(millimetres[known] / 1000 - original[known]).max() <= 0.000501
    audio, rate = read_wav(Path("own/Kitchen/audio/audio_1.wav"))
    assert rate == 44100
    assert find_onset(audio) == pytest.approx(V2_ONSET, abs=8)
    assert len(dataset[1]["audio"][0]) == 7782
    assert not (tmp_path / "own/Kitchen/test.csv").exists()
    with pytest.raises(SystemExit) as stop:
        cli.main(converted(room))
    assert stop.value.code == cli.USER_ERROR


def test_files_are_paired_by_time_within_the_tolerance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    room = raw_room(tmp_path / "raw")
    times = {"take_000.wav": 10.0, "take_001.wav": 11.0, "take_002.wav": 12.0}
    times |= {"rgb-0.bmp": 10.98, "rgb-1.bmp": 12.03, "rgb-2.bmp": 9.99}
    times |= {"range_0.npy": 11.01, "range_1.npy": 12.2, "range_2.npy": 10.0}
    Path("times.csv").write_text("file,time\n" + "".join(f"{name},{time}\n" for name, time in times.items()))
    cli.main(converted(room, pair="time", times="times.csv", split="test"))
    with Path("own/Kitchen/test.csv").open() as file:
        rows = list(csv.DictReader(file))
    # The third recording has no depth map within 0.2 s.
    assert [row["audio time"] for row in rows] == ["10.0", "11.0"]
    first = np.load(room / "range/range_2.npy")
    assert np.load("own/Kitchen/depth/depth_0.npy").max() == pytest.approx(1000 * np.nanmax(first), abs=1)


@pytest.mark.parametrize(("gain", "rate"), [(2.5, 44100), (2.5, 48000), (1.0, 44100)])
def test_recordings_above_full_scale_keep_their_shape(
    gain: float, rate: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A float recording at 2.5 of full scale was flattened to 1: its loudest echoes were all alike."""
    room = raw_room(tmp_path / "raw", rate)
    for path in (room / "sound").iterdir():
        sound = read_wav(path)[0]
        soundfile.write(path, gain * (sound / np.abs(sound).max()).T, rate, subtype="FLOAT")
    original = read_recording(room / "sound/take_001.wav")[0]
    settings = {"audio": "sound/*", "camera": "rgb/*", "depth": "range/*"}
    patterns: dict[str, Any] = {kind: str(room / pattern) for kind, pattern in settings.items()}
    folder = convert(ConvertConfig(tmp_path / "own", "Kitchen", **patterns, depth_unit="m"))
    written = read_wav(folder / "audio/audio_1.wav")[0]
    np.testing.assert_allclose(written, original, atol=2**-23)
    assert np.abs(written).max() > 0.9 * gain
    assert ("3 recordings exceed full scale, by up to " in caplog.text) == (gain > 1)
    assert soundfile.info(folder / "audio/audio_1.wav").subtype == ("FLOAT" if gain > 1 else "PCM_24")


def test_images_are_stored_upright_and_numbers_for_nothing_as_0(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    room = raw_room(tmp_path / "raw")
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    for path in (room / "rgb").iterdir():
        pixels = np.asarray(Image.open(path))
        Image.fromarray(np.ascontiguousarray(pixels[::-1, ::-1])).save(path.with_suffix(".png"), exif=exif)
    upright = np.asarray(Image.open(room / "rgb/rgb-1.bmp"))
    depth = np.nan_to_num(np.load(room / "range/range_1.npy"), nan=1e10)
    np.save(room / "range/range_1.npy", depth)
    settings = {"audio": "sound/*", "camera": "rgb/*.png", "depth": "range/*"}
    patterns: dict[str, Any] = {kind: str(room / pattern) for kind, pattern in settings.items()}
    folder = convert(ConvertConfig(tmp_path / "own", "Kitchen", **patterns, depth_unit="m"))
    with Image.open(folder / "camera/camera_1.png") as stored:
        assert stored.getexif().get(0x0112, 1) == 1
        assert np.array_equal(np.asarray(stored), upright)
    assert np.array_equal(np.load(folder / "depth/depth_1.npy") == 0, depth == np.float32(1e10))
    assert "3 images were turned upright by their EXIF orientation" in caplog.text
    assert ("such as 1e+10 in" in caplog.text) == bool((depth == np.float32(1e10)).any())


def test_a_conversion_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    room = raw_room(tmp_path / "raw")

    def error(**flags: Any) -> str:
        with pytest.raises(SystemExit):
            cli.main(converted(room, **flags))
        assert not Path("own").exists()
        return capsys.readouterr().err.splitlines()[-1]

    assert "is it in --depth_unit m?" in error(depth_unit="mm")
    assert "--audio 'nowhere/*.wav' finds no file: there is no folder nowhere" in error(audio="nowhere/*.wav")
    assert "finds no file: quote the pattern" in error(audio=f"{room}/sound/*.flac")
    assert "--times is for --pair time" in error(times="times.csv")
    Path("few.csv").write_text("file,time\ntake_000.wav,1.0\n")
    assert "take_001.wav: --times does not list it" in error(pair="time", times="few.csv")
    assert "equal numbers of files" in error(pair="order", audio=f"{room}/sound/*0.wav")
    soundfile.write(room / "sound/take_002.wav", np.zeros((9000, 2)), 48000)
    assert "no direct sound found" in error()


def test_a_mark_of_simulated_rooms_is_a_small_file_of_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link in its place had any file of the user copied into the converted set."""
    monkeypatch.chdir(tmp_path)
    mark = raw_room(tmp_path / "raw") / "simulation.json"
    (tmp_path / "secret").write_text("secret")
    mark.symlink_to(tmp_path / "secret")
    with pytest.raises(SystemExit):
        cli.main(converted(tmp_path / "raw"))
    mark.unlink()
    mark.touch()
    os.truncate(mark, 2**40)
    with pytest.raises(SystemExit):
        cli.main(converted(tmp_path / "raw"))
    mark.write_text("{}")
    cli.main(converted(tmp_path / "raw"))
    assert Path("own/Kitchen/simulation.json").read_text() == "{}"

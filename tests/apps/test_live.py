"""``listen`` and ``record`` with a simulated sound card, and errors of a real one with a fake PortAudio."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from jaxtyping import Float

from echodepth import cli
from echodepth.apps.live.capture import DIRECT_RMS, CardCalibration, calibrate, capture, load_calibration
from echodepth.apps.live.config import CardConfig, ListenConfig
from echodepth.apps.live.listen import listen, predict_depth
from echodepth.apps.live.simulated_card import LATENCY, SimulatedCard
from echodepth.apps.live.sound_card import SoundDeviceCard
from echodepth.apps.live.terminal import depth_lines, half_blocks, scale_line
from echodepth.core.chirp import batvision_chirp
from echodepth.core.constants import V2_ONSET
from echodepth.core.errors import ConfigError, DataError
from echodepth.core.field_of_view import FieldOfView
from echodepth.data.audio import find_onset
from echodepth.inference.predictor import Predictor
from tests.tiny import save_tiny, save_tiny_rgb


class Loop:
    """A card that records the played signal after a delay, through a function of the test."""

    name = "loop"

    def __init__(self, change: Callable[[np.ndarray], np.ndarray], delay: int | None = 2000) -> None:
        self.change, self.delay = change, delay
        self.rng = np.random.default_rng(0)

    def play_and_record(self, signal: Float[np.ndarray, " n"], frames: int) -> Float[np.ndarray, "2 t"]:
        sound = 1e-4 * self.rng.normal(size=(2, frames))
        if self.delay is not None:
            sound[:, self.delay : self.delay + signal.size] += signal * [[0.5], [0.4]]
        return self.change(sound).astype(np.float32)

    def ground_truth(self) -> None:
        return None


def unchanged(sound: np.ndarray) -> np.ndarray:
    return sound


def test_a_chirp_is_detected_and_cut_as_in_batvision() -> None:
    recorded = capture(Loop(unchanged), 1.0)
    assert recorded.audio.shape == (2, 20000)
    assert recorded.latency == pytest.approx(2000 / 44100, abs=2e-4)
    assert find_onset(recorded.audio) == pytest.approx(V2_ONSET, abs=5)
    assert recorded.snr > 50


def test_the_chirp_is_batvisions() -> None:
    chirp = batvision_chirp()
    assert chirp.size == 132
    # Linear from 20 Hz to 20 kHz: the phase at time t is 2π(20 t + (19980 / 0.003) t² / 2).
    t = np.arange(132) / 44100
    assert np.allclose(chirp, -np.sin(2 * np.pi * (20 * t + 19980 / 0.003 * t**2 / 2)), atol=1e-9)


@pytest.mark.parametrize(
    ("change", "delay", "message"),
    [
        (lambda sound: np.clip(4 * sound, -1, 1), 2000, "clips at 1.00 of full scale: lower --volume"),
        (lambda sound: sound[[0, 0]], 2000, "loop gives one signal twice: two microphones are needed"),
        (lambda sound: sound * [[1.0], [0.0]], 2000, "loop gives one live channel"),
        (unchanged, None, "no chirp was detected: is the loudspeaker on"),
        (lambda sound: 0 * sound, None, "no chirp was detected"),
    ],
)
def test_a_failed_capture_is_one_line_with_a_remedy(
    change: Callable[[np.ndarray], np.ndarray], delay: int | None, message: str
) -> None:
    with pytest.raises(DataError, match=message) as error:
        capture(Loop(change, delay), 1.0)
    assert "\n" not in str(error.value)


def test_a_calibrated_card_rejects_other_sounds() -> None:
    known = CardCalibration("loop", 1.0, 1000 * 2000 / 44100, 0.0, -6.0, 60.0)
    assert capture(Loop(unchanged), 1.0, known).latency == pytest.approx(2000 / 44100, abs=2e-4)
    with pytest.raises(DataError, match="but the chirp is expected at 45 ms"):
        capture(Loop(unchanged, 2500), 1.0, known)


def test_calibration_measures_latency_and_peak(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    measured = calibrate(Loop(unchanged), 1.0, path)
    assert measured.latency_ms == pytest.approx(1000 * 2000 / 44100, abs=0.2)
    assert measured.peak_dbfs == pytest.approx(20 * np.log10(0.5), abs=0.1)
    assert json.loads(path.read_text())["card"] == "loop"
    assert load_calibration(Loop(unchanged), CardConfig(calibration=path)) == measured
    with pytest.raises(ConfigError, match="was measured with 'loop', not simulated rooms"):
        load_calibration(SimulatedCard(), CardConfig(calibration=path))
    path.write_text("{}")
    with pytest.raises(ConfigError, match=r"is no calibration .*--calibrate"):
        load_calibration(Loop(unchanged), CardConfig(calibration=path))
    drifting = Loop(unchanged)

    def drift(sound: np.ndarray) -> np.ndarray:
        drifting.delay = (drifting.delay or 0) + 300
        return sound

    drifting.change = drift
    with pytest.raises(DataError, match="5 chirps were recorded with latencies from"):
        calibrate(drifting, 1.0, path)


def test_the_simulated_card_is_a_room_with_a_latency() -> None:
    card, again = SimulatedCard(3), SimulatedCard(3)
    recorded = capture(card, 1.0)
    assert recorded.latency == pytest.approx(LATENCY / 44100, abs=3e-4)
    assert recorded.level == pytest.approx(DIRECT_RMS, rel=0.2)
    assert 25 < recorded.snr < 40
    assert np.array_equal(capture(again, 1.0).audio, recorded.audio)
    ground_truth = card.ground_truth()
    assert ground_truth is not None
    assert ground_truth.shape == (64, 64)
    softer = capture(SimulatedCard(3), 0.25)
    assert recorded.level / softer.level == pytest.approx(4, rel=0.05)


def test_listen_from_end_to_end(
    v2_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny(Path("checkpoints/ears"), v2_root)
    simulated = ["--card", "simulated"]
    cli.main(["listen", *simulated, "--calibrate"])
    assert json.loads(Path("calibration.json").read_text())["latency_ms"] == pytest.approx(100, abs=0.3)
    flags = ["--checkpoint", "ears", "--count", "2", "--interval", "0", "--save", "saved", "--device", "cpu"]
    cli.main(["listen", *simulated, *flags])
    lines = capsys.readouterr().out.splitlines()
    line_format = (
        r"chirp \d: \d+\.\d\d m ahead, \d+\.\d\d to \d+\.\d\d m in view, SNR \d+ dB, median ground truth \d+\.\d\d m"
    )
    assert len(lines) == 2
    assert all(re.fullmatch(line_format, line) for line in lines)
    assert sorted(path.name for path in Path("saved").iterdir()) == [
        *("audio_0.wav", "audio_1.wav", "depth_predicted_0.npy", "depth_predicted_1.npy")
    ]


def test_live_prediction_equals_prediction_from_the_saved_file(v2_root: Path, tmp_path: Path) -> None:
    save_tiny(tmp_path / "ears", v2_root)
    predictor = Predictor.from_pretrained(tmp_path / "ears" / "best", "cpu")
    recorded = capture(SimulatedCard(), 1.0)
    soundfile.write(tmp_path / "a.wav", recorded.audio.T, 44100, subtype="FLOAT")
    live = predict_depth(predictor, recorded, match_level=False)
    assert np.allclose(live, predictor.infer(tmp_path / "a.wav").depth, atol=1e-5)
    louder = predict_depth(predictor, capture(SimulatedCard(), 1.0))
    softer = predict_depth(predictor, capture(SimulatedCard(), 0.9))
    assert np.abs(louder - softer).max() < 0.05 * louder.max()


def test_listen_refuses_unusable_flags(v2_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny_rgb(Path("checkpoints/eyes"), v2_root)
    with pytest.raises(ConfigError, match="eyes takes images: give --checkpoint an audio model"):
        listen(ListenConfig(checkpoint="eyes", card="simulated", device="cpu"))
    with pytest.raises(ConfigError, match="--count must be at least 1"):
        listen(ListenConfig(card="simulated", checkpoint="eyes", count=0))
    with pytest.raises(ConfigError, match="--volume must be above 0"):
        load_calibration(SimulatedCard(), CardConfig(volume=0.0))


# --- the terminal ---


def test_a_character_is_two_pixels() -> None:
    rgb = np.array([[[1, 2, 3]], [[4, 5, 6]]], dtype=np.uint8)
    assert half_blocks(rgb) == ["\x1b[38;2;1;2;3;48;2;4;5;6m▀\x1b[0m"]
    # A camera of 86 by 57 degrees sees tan 43° / tan 28.5° = 1.72 times as much across: 28 rows, two to a line.
    lines = depth_lines(np.full((64, 64), 2.0), 5.0, 48, FieldOfView(86.0, 57.0))
    assert len(lines) == 14
    assert all(line.count("▀") == 48 for line in lines)
    assert scale_line(7.5, 10).startswith("0 m ")
    assert scale_line(7.5, 10).endswith(" 7.5 m")


def test_a_terminal_shows_each_map_over_the_previous_one(
    v2_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("echodepth.apps.live.listen._is_terminal", lambda: True)
    save_tiny(Path("checkpoints/ears"), v2_root)
    config = ListenConfig(checkpoint="ears", card="simulated", count=2, interval=0.0, columns=24, device="cpu")
    assert listen(config) == 2
    shown = capsys.readouterr().out
    assert shown.count("prediction" + " " * 16 + "ground truth") == 2
    assert shown.count("\x1b[10A") == 1  # 7 lines of depth map, and titles, scale and summary


# --- the sound card of this computer ---


class PortAudioError(Exception):
    pass


def portaudio(devices: list[dict[str, Any]], **others: Any) -> SimpleNamespace:
    """A fake of the parts of sounddevice that SoundDeviceCard uses; the first device is the system's default."""

    def query_devices(device: int | str | None = None, kind: str | None = None) -> Any:
        if kind is None:
            return devices
        found = [each for each in devices if device in (None, each["index"]) or str(device) in each["name"]]
        if not found:
            raise ValueError(f"No {kind} device matching {device!r}")
        return found[0]

    def playrec(played: np.ndarray, **_: Any) -> np.ndarray:
        return np.concatenate([np.zeros((1500, 2)), 0.5 * played.repeat(2, axis=1)])[: len(played)].astype(np.float32)

    made = {"query_devices": query_devices, "playrec": playrec, "PortAudioError": PortAudioError}
    checks = {f"check_{kind}_settings": lambda **_: None for kind in ("input", "output")}
    return SimpleNamespace(**{**made, **checks, **others})


def device(index: int, name: str, inputs: int) -> dict[str, Any]:
    return {"index": index, "name": name, "max_input_channels": inputs, "max_output_channels": 2}


def test_a_real_card_plays_and_records_through_sounddevice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", portaudio([device(0, "Webcam", 1), device(1, "Rode AI-1", 2)]))
    card = SoundDeviceCard("Rode", "1")
    assert card.name == "Rode AI-1"
    recorded = card.play_and_record(batvision_chirp(), 9000)
    assert recorded.shape == (2, 9000)
    assert np.allclose(recorded[:, 1500:1632], 0.5 * batvision_chirp(), atol=1e-6)


def refuse(**_: Any) -> None:
    raise PortAudioError("Invalid sample rate")


@pytest.mark.parametrize(
    ("library", "flags", "message"),
    [
        (portaudio([]), (None, None), r"this computer has no input device \(there are: none\).*--card simulated"),
        (portaudio([device(0, "Webcam", 1)]), ("Rode", None), r"no input device called 'Rode' \(there are: 'Webcam'\)"),
        (
            portaudio([device(0, "Webcam", 1), device(1, "Rode", 2)]),
            (None, None),
            r"'Webcam' has 1 input channel\(s\).*--input_device \(there are: 'Rode'\)",
        ),
        (portaudio([device(0, "Rode", 2)], check_input_settings=refuse), (None, None), "Rode cannot do 44100 Hz"),
        (None, (None, None), r"pip install 'echodepth\[live\]'"),
    ],
)
def test_a_missing_device_is_reported_with_a_remedy(
    library: SimpleNamespace | None,
    flags: tuple[str | None, str | None],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", library)
    with pytest.raises(ConfigError, match=message):
        SoundDeviceCard(*flags)


def test_a_missing_portaudio_is_a_plain_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    with pytest.raises(ConfigError, match=r"PortAudio, .* is not installed: .*--card simulated"):
        SoundDeviceCard()

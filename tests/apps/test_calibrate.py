"""The rig of a robot from its recordings: a hidden one recovered, single measurements, and what cannot be known."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from jaxtyping import Float
from numpy import ndarray

from benchmarks.calibrate import HIDDEN, Row, compare, read_found
from echodepth import cli
from echodepth.apps.calibrate import echoes, fit
from echodepth.apps.calibrate.calibrate import calibrate
from echodepth.apps.calibrate.config import CalibrateConfig
from echodepth.apps.calibrate.floor import fit_floor
from echodepth.apps.calibrate.noise import fit_noise, noise_power
from echodepth.apps.calibrate.recordings import open_source
from echodepth.apps.calibrate.reference import Reference, measure_reference, simulate_reference
from echodepth.apps.calibrate.sound import Sound, decay_time, measure_sound, octave_power
from echodepth.apps.calibrate.view import describe_view
from echodepth.core.errors import ConfigError, DataError
from echodepth.core.field_of_view import BATVISION_V2, FieldOfView
from echodepth.data.images import DepthMap
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.acoustics.propagation import propagate
from echodepth.simulate.acoustics.recording import background_noise, record
from echodepth.simulate.acoustics.scattering import draw_patches
from echodepth.simulate.camera.render import depth_map
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.rig import DEFAULT_RIG, NOISE_OCTAVES, Rig, read_rig
from echodepth.simulate.rooms.room_generator import draw_pose, draw_room
from tests.roots import write_rgbd_root

CAMERA = FieldOfView(90.0, 60.0)


def write_recordings(folder: Path, rig: Rig, count: int, depth: bool = True) -> Path:
    """A folder of recordings of a rig, each in another room, with depth maps of 48 x 48 pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "camera.json").write_text('{"field_of_view_degrees": [86, 57]}')
    for number in range(count):
        rng = np.random.default_rng([5, number])
        room = draw_room(rng)
        pose = draw_pose(rng, room, rig.height)
        arrivals = propagate(room, draw_patches(room, rng), pose, Loudspeaker(isolation=rig.isolation), rng)
        place = folder / f"room_{number}"
        place.mkdir()
        soundfile.write(place / f"audio_{number}.wav", record(arrivals, rng, rig).T, 44100, subtype="PCM_24")
        if depth:
            camera = replace(pose, pitch=pose.pitch + math.radians(rig.pitch))
            np.save(place / f"depth_{number}.npy", (1000 * depth_map(room, camera, 48)).astype(np.uint16))
    return folder


@pytest.fixture(scope="module")
def few_rooms() -> Reference:
    return simulate_reference(replace(DEFAULT_RIG, height=0.62, pitch=7.0), 8, BATVISION_V2)


@pytest.fixture(scope="module")
def few_sounds(few_rooms: Reference) -> list[Sound]:
    return measure_reference(few_rooms, DEFAULT_RIG)


@pytest.fixture
def quick(few_rooms: Reference, few_sounds: list[Sound], monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison with few rooms, measured once: for what does not depend on its accuracy."""
    monkeypatch.setattr(fit, "simulate_reference", lambda *_: few_rooms)
    monkeypatch.setattr(echoes, "measure_reference", lambda *_: few_sounds)


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recordings(tmp_path_factory.mktemp("recordings") / "hidden", HIDDEN, 8)


def run(recordings: Path, out: Path, **flags: Any) -> dict[str, Any]:
    """The file that the command writes."""
    calibrate(CalibrateConfig(recordings, out=out, **flags))
    content: dict[str, Any] = json.loads(out.read_text())
    return content


# --- a hidden rig ---


def test_a_hidden_rig_is_recovered_from_eight_recordings(
    hidden: Path, few_rooms: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten recordings, 96 rooms and tighter tolerances are in `python -m benchmarks.calibrate`."""
    monkeypatch.setattr(fit, "simulate_reference", lambda *_: few_rooms)
    monkeypatch.setattr(echoes, "_PASSES", 2)
    content = run(hidden, tmp_path / "rig.json")
    found = read_rig(tmp_path / "rig.json")
    rows = {row.parameter: row for row in compare(HIDDEN, read_found(tmp_path / "rig.json"))}

    def error(name: str) -> float:
        row: Row = rows[name]
        return abs(row.found - row.true)

    for name, tolerance in (("height, m", 0.015), ("pitch, degrees", 1.5), ("isolation, 500 Hz to 8 kHz, dB", 4.0)):
        assert error(name) < tolerance, rows[name]
    assert error("direct sound's level, dB full scale") < 1.5
    assert error("noise level, dB full scale") < 1.5
    assert error("onset, samples") < 12
    assert error("onset jitter, samples") < 10
    assert error("gain spread, dB") < 1
    assert np.median([error(name) for name in rows if name.startswith("noise, ")]) < 1.5
    direct = [error(name) for name in rows if name.startswith("direct sound, ")]
    assert max(direct) < 2.5
    assert np.median(direct) < 0.8
    body = np.array([each.direct_spectrum for each in (HIDDEN, found)])
    between = (body[:, 0] - body[:, 1])[:, 1:6]
    assert np.abs(between[0] - between[1]).max() < 3.5  # of eight rooms, some have more to the left
    assert np.abs(between[0] - between[1]).mean() < 2
    assert content["rig"]["emitter"] is None
    assert "metres forward, left and up" in content["reasons"]["emitter"]
    assert SimulateConfig(tmp_path, rig=tmp_path / "rig.json").robot.height == pytest.approx(0.62, abs=0.015)


def test_the_file_holds_no_path_and_says_what_was_measured(hidden: Path, quick: None, tmp_path: Path) -> None:
    content = run(hidden, tmp_path / "rig.json")
    assert set(content) == {"format", "rig", "standard_errors", "reasons", "measured", "version"}
    text = (tmp_path / "rig.json").read_text()
    assert not any(name in text for name in (str(hidden.parent), "hidden", "room_", "audio_", "rig.json"))
    measured = content["measured"]
    assert [measured[name] for name in ("recordings", "depth_maps", "rooms", "clipped_recordings")] == [8, 8, 8, 0]
    assert 0.2 < measured["decay_time_s"][3] < 3
    assert np.shape(measured["direct_sound_dbfs"]) == (2, 7)
    assert 0 < content["standard_errors"]["height"] < 0.01


def test_the_command_prints_every_field_and_what_is_not_known(
    hidden: Path, quick: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["calibrate", str(hidden), "--out", str(tmp_path / "own" / "rig.json"), "--count", "2"])
    printed = capsys.readouterr().out
    assert printed.startswith("2 recordings of 2 room(s), 2 depth maps, ")
    assert "camera's height, m                    0.6" in printed
    assert "gain spread, dB                       unknown: a spread takes 3 recordings, not 2\n" in printed
    assert "loudspeaker's place                   unknown: recordings do not tell where" in printed
    for title in ("isolation", "level, dB full scale", "microphones, dB, right", "noise spectrum", "decay time, s"):
        assert title in printed
    assert " Hz, sound decays by less than 15 dB to the noise\n" in printed


def test_reference_rooms_are_those_of_the_robot_and_its_depth_camera(
    hidden: Path, few_rooms: Reference, quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing pixels shift the mean distance by some per cent, so that reference views have them too."""
    asked: list[tuple[Rig, int, FieldOfView, float]] = []

    def simulate(*arguments: Any) -> Reference:
        asked.append(arguments)
        return few_rooms

    monkeypatch.setattr(fit, "simulate_reference", simulate)
    for folder, missing in (("exact", 0), ("holes", 5)):
        (tmp_path / folder).mkdir()
        depth = np.load(hidden / "room_0" / "depth_0.npy")
        depth[:, :missing] = 0
        np.save(tmp_path / folder / "depth_0.npy", depth)
        (tmp_path / folder / "audio_0.wav").write_bytes((hidden / "room_0" / "audio_0.wav").read_bytes())
        run(tmp_path / folder, tmp_path / "rig.json", field_of_view=(60.0, 70.0), reference_rooms=9)
    assert [holes for *_, holes in asked] == [0.0, 1.0]
    rig, rooms, crop, _ = asked[0]
    assert rooms == 9
    assert crop.degrees == (60.0, 57.0)
    assert rig.height != DEFAULT_RIG.height
    assert rig.snr == pytest.approx(HIDDEN.snr, abs=3)


# --- what cannot be known is null, with a reason ---


def test_recordings_without_depth_tell_neither_height_nor_pitch(quick: None, tmp_path: Path) -> None:
    folder = write_recordings(tmp_path / "wav", DEFAULT_RIG, 3, depth=False)
    content = run(folder, tmp_path / "rig.json")
    assert content["rig"]["height"] is None
    assert content["reasons"]["pitch"] == "there are no depth maps"
    assert content["rig"]["isolation"] is not None
    assert content["measured"]["views_described"] == 0


def test_depth_without_a_camera_tells_no_height(hidden: Path, quick: None, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    for name in ("audio_0.wav", "depth_0.npy"):
        (tmp_path / "one" / name).write_bytes((hidden / "room_0" / name).read_bytes())
    content = run(tmp_path / "one", tmp_path / "rig.json")
    assert content["reasons"]["height"].endswith("is not known: give --field_of_view, or camera.json")
    known = run(tmp_path / "one", tmp_path / "rig.json", field_of_view=(86.0, 57.0))
    assert known["rig"]["height"] == pytest.approx(0.62, abs=0.025)
    assert known["standard_errors"]["height"] is None


def test_a_dataset_without_sound_tells_height_and_pitch_alone(tmp_path: Path) -> None:
    root = write_rgbd_root(tmp_path / "rgbd")
    content = run(root, tmp_path / "rig.json", field_of_view=(90.0, 60.0))
    assert set(content["reasons"].values()) >= {"the dataset has no sound"}
    assert content["rig"]["isolation"] is None
    assert content["measured"]["recordings"] == 0
    assert read_rig(tmp_path / "rig.json").isolation == DEFAULT_RIG.isolation


def test_echoes_below_the_noise_leave_microphones_and_body_untold_apart(quick: None, tmp_path: Path) -> None:
    loud = (-120.0,) * 9 + (0.0,)
    folder = write_recordings(tmp_path / "wav", replace(DEFAULT_RIG, snr=20.0, noise_spectrum=loud), 3)
    content = run(folder, tmp_path / "rig.json")
    spectrum = content["rig"]["direct_spectrum"]
    assert spectrum[0][6] is None
    assert spectrum[0][3] is not None
    assert "at 16000 Hz, echoes are no 3 dB above the noise" in content["reasons"]["direct_spectrum"]


def test_a_value_that_the_simulator_cannot_take_is_null(quick: None, tmp_path: Path) -> None:
    folder = tmp_path / "late"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        audio = background_noise(rng)[:, :16_000]
        audio[:, 9000:9132] += np.sin(np.arange(132))
        soundfile.write(folder / f"{number}.wav", 0.5 * audio.T, 44100)
    content = run(folder, tmp_path / "rig.json")
    assert content["rig"]["onset"] is None
    assert "is outside the simulator's range, 0 to 4410 samples" in content["reasons"]["onset"]


def test_silence_around_the_sound_is_not_taken_for_noise(quick: None, tmp_path: Path) -> None:
    folder = tmp_path / "gated"
    folder.mkdir()
    audio = np.zeros((20_000, 2))
    audio[400:532] = 0.5 * np.sin(np.arange(132))[:, None]
    soundfile.write(folder / "1.wav", audio, 44100)
    content = run(folder, tmp_path / "rig.json")
    assert content["rig"]["snr"] is None
    assert content["reasons"]["snr"].startswith("there is no noise: digital silence")
    assert content["rig"]["isolation"] is None  # there are no echoes either


def test_the_latency_is_that_of_the_table_of_record(hidden: Path, quick: None, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "audio_0.wav").write_bytes((hidden / "room_0" / "audio_0.wav").read_bytes())
    assert "recordings.csv" in run(folder, tmp_path / "rig.json")["reasons"]["emission_to_direct_sound_ms"]
    with (folder / "recordings.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["index", "latency ms"], ["0", "104.0"], ["1", "100.0"], ["2", "101.5"]])
    assert run(folder, tmp_path / "rig.json")["measured"]["emission_to_direct_sound_ms"] == 101.5
    (folder / "recordings.csv").write_text("index\n3\n")
    with pytest.raises(DataError, match=r"recordings\.csv is no table of `echodepth record` \(KeyError"):
        run(folder, tmp_path / "rig.json")


# --- mistakes ---


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"count": 0}, "--count must be at least 1"),
        ({"reference_rooms": 2}, "--reference_rooms must be at least 8"),
        ({"field_of_view": (0.0, 57.0)}, "--field_of_view: a field of view of 0 x 57 degrees: give two angles"),
        ({"dataset": "lidar"}, "lidar"),
    ],
)
def test_a_flag_out_of_range_is_refused(flags: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, tmp_path / "rig.json", **flags)


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder: give the root of a dataset, or a folder of WAV files"):
        run(tmp_path / "nowhere", tmp_path / "rig.json")
    with pytest.raises(DataError, match="has neither WAV files nor the lists of a dataset"):
        run(tmp_path, tmp_path / "rig.json")
    soundfile.write(tmp_path / "mono.wav", np.ones(9000), 44100)
    with pytest.raises(DataError, match=r"none of 1 recordings can be used; the first: mono: .* has 1 channel"):
        run(tmp_path, tmp_path / "rig.json")
    assert not (tmp_path / "rig.json").exists()


def test_a_recording_that_cannot_be_used_is_left_out(
    hidden: Path, quick: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "audio_1.wav").write_bytes((hidden / "room_1" / "audio_1.wav").read_bytes())
    soundfile.write(folder / "audio_2.wav", np.random.default_rng(0).normal(0, 1e-3, (20_000, 2)), 44100)
    (folder / "audio_10.wav").write_bytes(b"no sound")
    content = run(folder, tmp_path / "rig.json")
    assert content["measured"]["recordings"] == 1
    assert "left out: audio_2: no direct sound found" in caplog.text
    assert "left out: audio_10: " in caplog.text


def test_datasets_are_opened_by_their_readers(v2_root: Path, tmp_path: Path) -> None:
    source = open_source(CalibrateConfig(v2_root))
    assert source.camera == BATVISION_V2
    assert all(record.audio and record.depth for record in source.records)
    assert len(source.records) == len([*v2_root.rglob("*.wav")])


# --- single measurements ---


def floor_map(height: float, pitch: float, roll: float, wall: float = 4.0, side: int = 72) -> Float[ndarray, "h w"]:
    """Depth of a floor and a wall, from the plane equation alone."""
    fx, fy = CAMERA.focal_lengths(side, side)
    x, y = np.meshgrid((np.arange(side) + 0.5 - side / 2) / fx, (np.arange(side) + 0.5 - side / 2) / fy)
    p, r = math.radians(pitch), math.radians(roll)
    down = np.array([math.cos(p) * math.sin(r), math.cos(p) * math.cos(r), math.sin(p)])
    slope = down[0] * x + down[1] * y + down[2]
    return np.asarray(np.minimum(np.where(slope > 1e-6, height / np.maximum(slope, 1e-6), np.inf), wall))


@pytest.mark.parametrize(("height", "pitch", "roll"), [(0.35, 0.0, 0.0), (0.35, -4.0, 2.0), (1.2, 25.0, -3.0)])
def test_height_pitch_and_roll_of_a_floor_with_noise_and_holes(height: float, pitch: float, roll: float) -> None:
    rng = np.random.default_rng(0)
    metres = floor_map(height, pitch, roll) * (1 + 0.003 * rng.standard_normal((72, 72)))
    metres[:, :20] = 0
    found = fit_floor(DepthMap(metres, metres > 0), CAMERA)
    assert found is not None
    assert found.height == pytest.approx(height, abs=0.005)
    assert found.pitch == pytest.approx(pitch, abs=0.3)
    assert found.roll == pytest.approx(roll, abs=0.3)


def test_a_table_top_is_not_taken_for_the_floor() -> None:
    """It has more pixels than the floor, but the floor lies below it."""
    floor, table = floor_map(1.2, 20.0, 0.0), floor_map(0.45, 20.0, 0.0)
    metres = np.where((table < 1.3) & (np.arange(72) < 56), table, floor)
    assert (metres == table).sum() > (metres == floor).sum() / 2
    found = fit_floor(DepthMap(metres, metres > 0), CAMERA)
    assert found is not None
    assert found.height == pytest.approx(1.2, abs=0.01)


def test_a_view_without_floor_has_none() -> None:
    wall = np.full((72, 72), 2.0)
    assert fit_floor(DepthMap(wall, wall > 0), CAMERA) is None
    empty = np.zeros((72, 72))
    assert fit_floor(DepthMap(empty, empty > 0), CAMERA) is None


@pytest.mark.parametrize(("seconds", "noise"), [(0.3, 0.0), (0.5, 1e-4), (1.2, 0.0), (0.4, 1e-3)])
def test_decay_time_of_an_exponential_decay(seconds: float, noise: float) -> None:
    """ISO 3382: the level falls by 60 dB in the decay time; noise must not lengthen it, nor the end shorten it."""
    rng = np.random.default_rng(0)
    time = np.arange(19_000) / 44100
    mean = np.exp(-time * 6 * math.log(10) / seconds) + noise
    energy = mean * rng.standard_normal((64, time.size)).__pow__(2).mean(axis=0)
    assert decay_time(energy, noise) == pytest.approx(seconds, rel=0.06)


def test_a_decay_of_less_than_15_decibels_is_not_measured() -> None:
    time = np.arange(19_000) / 44100
    assert math.isnan(decay_time(np.exp(-time * 6 * math.log(10) / 0.5) + 0.1, 0.1))
    assert math.isnan(decay_time(np.exp(-time * 6 * math.log(10) / 4.0), 0.0))


def test_octave_power_of_a_sine_is_half_its_squared_amplitude_in_its_octave() -> None:
    sine = 0.3 * np.sin(2 * np.pi * 2000 * np.arange(4410) / 44100)
    power = octave_power(np.stack([sine, 0 * sine]), (1000.0, 2000.0, 4000.0))
    assert power[0, 1] == pytest.approx(0.3**2 / 2, rel=0.01)
    assert power[0, 0] < 0.01 * power[0, 1]
    assert not power[1].any()


@pytest.mark.parametrize(
    ("onset", "every", "octaves"),
    [
        (60, 3, slice(0, 10)),  # nothing before the direct sound: the tails that still reverberate must not count
        (500, 1, slice(4, 10)),  # all tails reverberate: what is before the direct sound counts, from 500 Hz on
        (500, 99, slice(0, 10)),
    ],
)
def test_noise_is_measured_beside_reverberation(onset: int, every: int, octaves: slice) -> None:
    rig, rng = HIDDEN, np.random.default_rng(3)
    time = np.arange(20_000 - onset) / 44100
    recordings, alone = [], []
    for number in range(10):
        alone.append(background_noise(rng, rig))
        audio = alone[-1].copy()
        audio[:, onset : onset + 132] += 0.3 * np.sin(np.arange(132) ** 2 / 90)
        if number % every == 0:
            audio[:, onset:] += 0.05 * np.exp(-time * 3 * math.log(10) / 2.0) * rng.standard_normal((2, time.size))
        recordings.append(measure_sound(audio, with_decay=False))
    expected = 10 * np.log10(np.mean([octave_power(each, NOISE_OCTAVES) for each in alone], axis=(0, 1)))
    found = 10 * np.log10(noise_power(recordings).mean(axis=0))
    difference = (found - expected)[octaves]
    assert np.abs(difference).max() < 3
    assert np.median(np.abs(difference)) < 1


def test_a_spectrum_of_noise_is_fitted_to_octaves_that_its_slopes_reach_into() -> None:
    rig = HIDDEN
    noise = np.mean(
        [octave_power(background_noise(np.random.default_rng(seed), rig), NOISE_OCTAVES) for seed in range(8)], axis=0
    ).mean(axis=0)
    spectrum, rms = fit_noise(noise)
    expected = np.array(rig.noise_spectrum)
    np.testing.assert_allclose(spectrum - spectrum.mean(), expected - expected.mean(), atol=0.7)
    assert 20 * math.log10(rms / (rig.direct_rms * 10 ** (-rig.snr / 20))) == pytest.approx(0, abs=0.2)
    noise[3] = np.nan
    partial, rms = fit_noise(noise)
    assert np.isnan(partial).tolist() == [index == 3 for index in range(10)]
    assert 20 * math.log10(rms / (rig.direct_rms * 10 ** (-rig.snr / 20))) == pytest.approx(0, abs=0.3)


def test_spreads_of_many_recordings(few_sounds: list[Sound]) -> None:
    """The onset varies uniformly, the gain normally; what varies in simulated rooms as well is not counted."""
    rng, silent = np.random.default_rng(0), np.zeros((2, 7))
    sounds = [
        replace(each, onset=each.onset + round(rng.uniform(-30, 30)), direct=each.direct * 10 ** rng.normal(0, 0.2))
        for each in few_sounds * 25
    ]
    levels = echoes.levels_of(sounds, np.full((len(sounds), 5), np.nan), silent)
    rig = replace(DEFAULT_RIG, onset=500.0)
    found = fit._level_and_timing(sounds, levels, echoes.EchoFit(rig, 12.0, silent[0] == 0, silent[0], 1.0, few_sounds))
    for name, true, error in (("onset_jitter", 30, 1.5), ("gain_spread", 2, 0.15), ("onset", 500, 2.5)):
        estimate = found[name]
        assert estimate.value == pytest.approx(true, abs=error)
        assert estimate.error is not None
        assert 0 < estimate.error < error
    assert found["direct_rms"].value == pytest.approx(0.01, rel=0.03)


def test_noise_is_subtracted_from_levels(few_sounds: list[Sound]) -> None:
    power = np.full((2, 7), 0.011)
    sound = replace(few_sounds[0], direct=power, echo=0.0019 * np.ones((2, 7)))
    levels = echoes.levels_of([sound], np.zeros((1, 5)), np.full((2, 7), 0.001))
    assert levels.direct == pytest.approx(-20)
    assert np.isnan(levels.echo).all()  # less than 3 dB above the noise


def test_a_view_is_described_by_its_distances() -> None:
    """On a sphere of 2 m all distances are 2; a wider camera that is cropped sees the same."""
    side = 120
    tangent = np.tan(np.radians(np.array(CAMERA.degrees) / 2))
    across = (2 * (np.arange(side) + 0.5) / side - 1) * tangent[0]
    down = ((2 * (np.arange(side) + 0.5) / side - 1) * tangent[1])[:, None]
    sphere = 2 / np.sqrt(1 + across**2 + down**2)
    described = describe_view(DepthMap(sphere, sphere > 0), CAMERA, CAMERA)
    assert described == pytest.approx(np.log([0.25, 2, 2, 2, 2]), abs=1e-9)
    uneven = sphere * (1 + (np.abs(across) > 0.5))
    cropped = FieldOfView(2 * math.degrees(math.atan(0.5)), 60.0)
    assert describe_view(DepthMap(uneven, uneven > 0), CAMERA, cropped) == pytest.approx(described, abs=1e-9)
    assert describe_view(DepthMap(0 * sphere, sphere < 0), CAMERA, CAMERA) is None
    # The solid angle of a rectangular pyramid of opening angles a and b is 4 asin(sin(a / 2) sin(b / 2)).
    inner, all_ = (
        math.asin(math.sin(math.radians(a) / 2) * math.sin(math.radians(30))) for a in (cropped.horizontal, 90)
    )
    mean = (2 * inner + 4 * (all_ - inner)) / all_
    values = describe_view(DepthMap(uneven, uneven > 0), CAMERA, CAMERA)
    assert values is not None
    assert values[1] == pytest.approx(math.log(mean), abs=0.01)


# --- a genuine recording ---


@pytest.fixture
def genuine(real_data: Path) -> Path:
    folder = real_data / "batvision_v2_sample"
    if not folder.is_dir():
        pytest.skip(f"no {folder}: it holds BatVision V2's recording, image and depth map number 47")
    return folder


def test_one_genuine_recording_of_batvision(genuine: Path, quick: None, tmp_path: Path) -> None:
    content = run(genuine, tmp_path / "rig.json", field_of_view=(86.0, 57.0))
    rig = content["rig"]
    assert rig["height"] == pytest.approx(0.346, abs=0.01)
    assert abs(rig["pitch"]) < 1.5
    assert rig["direct_rms"] == pytest.approx(0.17, rel=0.2)
    assert rig["onset"] == pytest.approx(283, abs=12)
    assert rig["snr"] == pytest.approx(32, abs=4)
    assert content["measured"]["decay_time_s"][3] == pytest.approx(0.5, abs=0.12)
    assert rig["gain_spread"] is None
    assert rig["onset_jitter"] is None

"""The simulated robot's rig: its file, its errors, and what each field does to recordings and depth maps."""

import json
import math
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jaxtyping import Float
from numpy import ndarray

from echodepth.core.errors import ConfigError
from echodepth.data.audio import find_onset, read_wav
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.acoustics.propagation import Arrivals, propagate
from echodepth.simulate.acoustics.recording import background_noise, record
from echodepth.simulate.acoustics.scattering import draw_patches
from echodepth.simulate.camera.render import depth_map
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.dataset_card import create_or_verify_card
from echodepth.simulate.plan import plan
from echodepth.simulate.rig import BOUNDS, DEFAULT_RIG, FORMAT, Rig, is_in_range, read_rig
from echodepth.simulate.rig_variation import varied_rig
from echodepth.simulate.rooms.materials import Material
from echodepth.simulate.rooms.scene import Block, Pose, Room
from echodepth.simulate.writer import rig_of, write_room

QUIET = replace(DEFAULT_RIG, snr=math.inf, gain_spread=0.0, onset_jitter=0.0, direct_rms=0.02)
WOOD = Material("test", "plain", 1.0, (0.5, 0.5, 0.5), (0.05,) * 8, (0.2,) * 8)


def write_rig(path: Path, rig: dict[str, Any], **others: object) -> Path:
    path.write_text(json.dumps({"format": FORMAT, "rig": rig, **others}))
    return path


@pytest.fixture(scope="module")
def arrivals() -> Arrivals:
    """Sounds in a box of 5 x 4 x 3 m with the robot in its middle."""
    room, rng = (
        Room("office", Block((2.5, 2.0, 1.5), (2.5, 2.0, 1.5), 0.0, (WOOD,) * 6), (), ()),
        np.random.default_rng(0),
    )
    return propagate(room, draw_patches(room, rng), Pose((2.5, 2.0, 0.35), 0.0), Loudspeaker(), rng)


def levels(arrivals: Arrivals, rig: Rig) -> tuple[Float[ndarray, " 2"], Float[ndarray, " 2"]]:
    """Level of the direct sound (2 ms, before the first echo) and of the echoes (5 to 50 ms) per ear, dB."""
    audio = record(arrivals, np.random.default_rng(1), rig)
    onset = round(rig.onset)
    direct, echo = (audio[:, onset + first : onset + last] for first, last in ((0, 88), (220, 2205)))
    return 10 * np.log10((direct**2).mean(axis=1)), 10 * np.log10((echo**2).mean(axis=1))


def octave_level(audio: Float[ndarray, "2 t"], octave: float) -> Float[ndarray, " 2"]:
    frequency = np.fft.rfftfreq(audio.shape[1], 1 / 44100)
    band = (frequency > octave / 2**0.5) & (frequency < octave * 2**0.5)
    return np.asarray(10 * np.log10((np.abs(np.fft.rfft(audio)[:, band]) ** 2).mean(axis=1)))


def test_a_file_with_the_default_values_makes_the_bytes_of_the_default_set(tmp_path: Path) -> None:
    file = write_rig(tmp_path / "rig.json", asdict(DEFAULT_RIG), measured={"recordings": 10})
    assert read_rig(file) == DEFAULT_RIG
    assert read_rig(write_rig(tmp_path / "none.json", dict.fromkeys(asdict(DEFAULT_RIG)))) == DEFAULT_RIG
    written = []
    for name, rig in (("default", None), ("file", file)):
        config = SimulateConfig(tmp_path / name, rooms=3, poses=1, image_size=16, rig=rig)
        write_room(config, plan(config)[:1], {})
        written.append([path.read_bytes() for path in sorted(config.out.rglob("*_0000_000.*"))])
    assert len(written[0]) == 3
    assert written[0] == written[1]


def test_flags_replace_the_values_of_the_file(tmp_path: Path) -> None:
    file = write_rig(tmp_path / "rig.json", {"height": 0.5, "isolation": 20.0, "pitch": 3})
    config = SimulateConfig(tmp_path / "set", rig=file, isolation=6.0, snr=math.inf)
    assert config.robot == replace(DEFAULT_RIG, height=0.5, isolation=6.0, pitch=3.0, snr=math.inf)
    assert replace(config, robot_height=0.4).robot.height == 0.4


def test_an_octave_that_is_null_keeps_its_default(tmp_path: Path) -> None:
    noise = [-40.0, *[None] * 9]
    assert read_rig(write_rig(tmp_path / "rig.json", {"noise_spectrum": noise})).noise_spectrum == (
        -40.0,
        *DEFAULT_RIG.noise_spectrum[1:],
    )


def test_the_camera_is_at_the_rigs_height_and_pitch(tmp_path: Path) -> None:
    """Rows of a pitched camera see the floor where the cotangent law puts it."""
    file = write_rig(tmp_path / "rig.json", {"height": 0.8, "pitch": 20.0})
    config = SimulateConfig(tmp_path / "set", rooms=3, poses=1, image_size=64, depth_holes=0.0, rig=file)
    write_room(config, plan(config)[:1], {})
    metres = np.load(next(config.out.rglob("depth_0000_000.npy"))) / 1000
    row = 60  # 25.4 degrees below the optical axis
    below = math.atan((row + 0.5 - 32) / 32 * math.tan(math.radians(57 / 2)))
    depth = 0.8 / math.sin(math.radians(20) + below) * math.cos(below)
    assert np.median(metres[row]) == pytest.approx(depth, rel=0.12)  # tilt of 1.5 degrees, height within 2 cm
    box = Room("office", Block((20.0, 20.0, 5.0), (20.0, 20.0, 5.0), 0.0, (WOOD,) * 6), (), ())
    assert depth_map(box, Pose((20.0, 20.0, 0.8), 0.0, math.radians(20)), 64)[row, 32] == pytest.approx(depth, rel=1e-3)


def test_the_direct_sounds_spectrum_changes_the_direct_sound_alone_at_one_ear(arrivals: Arrivals) -> None:
    louder = replace(QUIET, direct_spectrum=((6.0,) * 7, (0.0,) * 7))
    (direct, echo), (flat, flat_echo) = levels(arrivals, louder), levels(arrivals, QUIET)
    assert (direct[0] - direct[1]) - (flat[0] - flat[1]) == pytest.approx(6, abs=0.1)
    assert echo[0] - echo[1] == pytest.approx(flat_echo[0] - flat_echo[1], abs=0.1)
    # The level of the direct sound over both ears is kept, so that the echoes lose what it gains: (4 + 1) / 2.
    assert (flat_echo - echo).mean() == pytest.approx(10 * math.log10((10**0.6 + 1) / 2), abs=0.2)


def test_the_direct_sounds_spectrum_holds_in_its_octave(arrivals: Arrivals) -> None:
    rig = replace(QUIET, direct_spectrum=(((0.0,) * 4 + (-20.0, 0.0, 0.0)),) * 2)
    at, far = {}, {}
    for name, each in (("flat", QUIET), ("shaped", rig)):
        direct = record(arrivals, np.random.default_rng(1), each)[:, 282 : 282 + 88]
        at[name], far[name] = octave_level(direct, 4000.0), octave_level(direct, 1000.0)
    assert ((at["flat"] - far["flat"]) - (at["shaped"] - far["shaped"])).mean() == pytest.approx(15, abs=4)


def test_a_microphones_response_changes_all_sound_at_its_ear(arrivals: Arrivals) -> None:
    flat = DEFAULT_RIG.microphones[1]
    louder = replace(QUIET, microphones=(tuple(level + 6 for level in flat), flat))
    for shaped, plain in zip(levels(arrivals, louder), levels(arrivals, QUIET), strict=True):
        assert (shaped[0] - shaped[1]) - (plain[0] - plain[1]) == pytest.approx(6, abs=0.05)


def test_level_onset_and_spreads_of_recordings(arrivals: Arrivals) -> None:
    rig = replace(DEFAULT_RIG, direct_rms=0.01, onset=900.0, onset_jitter=30.0, gain_spread=2.0, snr=80.0)
    rng = np.random.default_rng(2)
    recordings = [record(arrivals, rng, rig) for _ in range(24)]
    onsets = np.array([find_onset(each) for each in recordings])
    gains = np.array([10 * np.log10((each**2).mean()) for each in recordings])
    assert onsets.mean() == pytest.approx(900, abs=12)
    assert 40 < np.ptp(onsets) <= 66
    assert gains.std() == pytest.approx(2, rel=0.4)
    assert 20 * math.log10(np.mean([np.abs(each).max() for each in recordings])) == pytest.approx(-33, abs=6)


def test_noise_has_the_rigs_level_and_spectrum() -> None:
    rig = replace(DEFAULT_RIG, direct_rms=0.1, snr=20.0, noise_spectrum=(*(-60.0,) * 6, -40.0, *(-60.0,) * 3))
    noise = background_noise(np.random.default_rng(0), rig)
    assert 20 * math.log10(noise.std()) == pytest.approx(-40, abs=0.01)
    octaves = [octave_level(noise, octave).mean() + 10 * math.log10(octave) for octave in (500.0, 2000.0, 8000.0)]
    assert octaves[1] - octaves[0] == pytest.approx(octaves[1] - octaves[2], abs=0.5)
    assert 10 < octaves[1] - octaves[0] < 20  # the octave's edges fall off to the neighbours' level


@pytest.mark.parametrize(
    ("rig", "message"),
    [
        ({"heigth": 1}, r"rig\.json: rig has no field 'heigth'; its fields are height, pitch"),
        ({"height": "tall"}, r'rig\.json: height is "tall": give metres above the floor, 0\.3 to 1\.8, or null'),
        ({"height": True}, r"height is true"),
        ({"height": 0.1}, r"height is 0\.1"),
        ({"snr": float("nan")}, r"snr is NaN"),
        ({"isolation": float("inf")}, r"isolation is Infinity: give decibels, 0 to 60"),
        ({"onset": 10**400}, r"onset is 1000"),
        ({"emitter": [0.1, 0.2]}, r"emitter must be a list of 3 numbers \(metres forward, left and up\), or null"),
        ({"emitter": [0, 0, -0.4]}, r"emitter puts the loudspeaker -0\.05 m above the floor, for a head at 0\.35 m"),
        ({"microphones": [[0] * 7]}, r"microphones must be a list of 2 lists of 7 numbers"),
        ({"microphones": [[0] * 7, [0] * 6]}, r"microphones\[1\] must be a list of 7 numbers"),
        ({"direct_spectrum": [[0] * 7, [0, 0, 0, 99, 0, 0, 0]]}, r"direct_spectrum\[1\]\[3\] is 99: give decibels"),
        ({"noise_spectrum": {"250": 3}}, r"noise_spectrum must be a list of 10 numbers"),
    ],
)
def test_a_value_that_is_no_rigs_is_refused(rig: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read_rig(write_rig(tmp_path / "rig.json", rig))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"cannot be read \(No such file or directory\): make one with `echodepth calibrate"),
        ("{", r"is no rig \(it is not JSON"),
        ("[" * 100_000, r"is no rig \(it is not JSON"),
        (b"\xff\xfe{", r"is no rig \(it is not JSON"),
        ("[1]", r"is no rig: it needs \"format\": \"echodepth rig 1\""),
        ('{"format": "echodepth rig 9", "rig": {}}', r"is no rig"),
        ('{"format": "echodepth rig 1", "rig": []}', r"is no rig"),
        (" " * 2**20 + "{}", r"is no rig \(it has more than 1 MB\)"),
    ],
)
def test_a_file_that_is_no_rig_is_refused(text: str | bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "rig.json"
    if text is not None:
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError, match=rf"rig\.json {message}"):
        read_rig(path)


def test_a_robot_of_flags_has_its_loudspeaker_above_the_floor(tmp_path: Path) -> None:
    file = write_rig(tmp_path / "rig.json", {"height": 0.8, "emitter": [0, 0, -0.5]})
    assert SimulateConfig(tmp_path, rig=file).robot.emitter == (0.0, 0.0, -0.5)
    with pytest.raises(ConfigError, match=r"--robot_height puts the loudspeaker -0\.10 m above the floor"):
        plan(SimulateConfig(tmp_path, rig=file, robot_height=0.4))


def test_all_fields_have_bounds_that_the_default_is_within() -> None:
    assert [*BOUNDS] == [field.name for field in fields(Rig)]
    for name, bounds in BOUNDS.items():
        values = np.array(getattr(DEFAULT_RIG, name))
        assert (values >= bounds.least).all()
        assert (values <= bounds.most).all()


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ({}, {"onset": 300}, r"rig None \(requested: {'onset': 300\.0}\)"),
        ({"onset": 300}, {}, r"rig {'onset': 300\.0} \(requested: None\)"),
        ({"isolation": 20}, {"isolation": 21}, r"isolation 20\.0 \(requested: 21\.0\)"),
    ],
)
def test_a_set_of_another_rig_is_not_resumed(
    first: dict[str, Any], second: dict[str, Any], named: str, tmp_path: Path
) -> None:
    def config(rig: dict[str, Any]) -> SimulateConfig:
        return SimulateConfig(tmp_path / "set", rooms=3, poses=1, rig=write_rig(tmp_path / "rig.json", rig))

    create_or_verify_card(config(first))
    create_or_verify_card(config(first))
    with pytest.raises(ConfigError, match=named):
        create_or_verify_card(config(second))


def test_the_card_of_a_set_records_the_rig_and_that_of_a_default_set_its_old_settings(tmp_path: Path) -> None:
    """A set without --rig can be resumed that was begun before there were rigs."""
    card = create_or_verify_card(SimulateConfig(tmp_path / "default", rooms=3, poses=1))
    assert card["settings"] == {
        **{"simulator": 3, "rooms": 3, "poses": 1, "image_size": 256, "seed": 0, "robot_height": 0.35},
        **{"isolation": 12.0, "depth_holes": 1.0, "keep_exact": False, "snr": 32.0, "speed_of_sound": 343.0},
    }
    file = write_rig(tmp_path / "rig.json", {"pitch": 5, "height": 0.5})
    create_or_verify_card(SimulateConfig(tmp_path / "own", rooms=3, poses=1, rig=file))
    own = json.loads((tmp_path / "own" / "simulation.json").read_text())
    assert own["conventions"]["rig"]["pitch"] == 5.0
    assert own["settings"]["robot_height"] == 0.5
    assert own["settings"]["rig"] == {"pitch": 5.0}
    assert "rig.json" not in json.dumps(own)


def test_recordings_of_a_rig_are_written(tmp_path: Path) -> None:
    file = write_rig(tmp_path / "rig.json", {"onset": 700, "direct_rms": 0.02, "snr": 50})
    config = SimulateConfig(tmp_path / "set", rooms=3, poses=1, image_size=16, rig=file)
    write_room(config, plan(config)[:1], {})
    audio, _ = read_wav(next(config.out.rglob("*.wav")))
    onset = find_onset(audio)
    assert onset == pytest.approx(700, abs=12)
    assert np.sqrt((audio[:, onset : onset + 132] ** 2).mean()) == pytest.approx(0.02, rel=0.35)


def test_a_variation_draws_a_robot_a_room_within_the_bounds_and_none_draws_the_rig_itself() -> None:
    assert varied_rig(DEFAULT_RIG, 0.0, np.random.default_rng(3)) == DEFAULT_RIG
    drawn = [varied_rig(DEFAULT_RIG, 1.0, np.random.default_rng(number)) for number in range(300)]
    for name in BOUNDS:
        assert all(is_in_range(name, value) for rig in drawn for value in np.ravel(getattr(rig, name)).tolist()), name
    assert min(rig.height + rig.emitter[2] for rig in drawn) >= 0.1 - 1e-9
    heights, levels_db = [rig.height for rig in drawn], [20 * np.log10(rig.direct_rms) for rig in drawn]
    assert (min(heights), max(heights)) == pytest.approx((0.3, 1.05), abs=0.02)
    # -10 to +4 dB around the rig's level.
    assert (min(levels_db), max(levels_db)) == pytest.approx((-25.4, -11.4), abs=0.3)
    ears = np.array([rig.microphones for rig in drawn])
    assert ears.std(axis=0) == pytest.approx(np.hypot(3.0, 0.5), rel=0.15)
    assert (ears[:, 0] - ears[:, 1]).std() == pytest.approx(0.5 * 2**0.5, rel=0.1)


def test_all_recordings_of_a_room_have_one_robot_and_rooms_have_others(tmp_path: Path) -> None:
    config = SimulateConfig(tmp_path, rooms=3, poses=1, image_size=16, rig_variation=0.5)
    assert rig_of(config, 1) == rig_of(config, 1) != rig_of(config, 2)
    assert rig_of(replace(config, rig_variation=0.0), 1) == config.robot == DEFAULT_RIG
    card = create_or_verify_card(config)
    assert isinstance(settings := card["settings"], dict)
    assert settings["rig_variation"] == 0.5
    with pytest.raises(ConfigError, match=r"rig_variation 0.5 \(requested: None\)"):
        create_or_verify_card(replace(config, rig_variation=0.0))
    with pytest.raises(ConfigError, match=r"--rig_variation is 2\.0: give 0"):
        plan(replace(config, rig_variation=2.0))

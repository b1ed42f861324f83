"""The simulator against physics: arrival times, levels, direction, depth; and its files against their promises."""

import csv
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyroomacoustics
import pytest
import soundfile
from PIL import Image

from echodepth.data.audio import find_onset
from echodepth.errors import ConfigError
from echodepth.simulate import acoustics, hearing, render, scene, writer
from echodepth.simulate.acoustics import Arrivals, Patches, Rig
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.hearing import SAMPLE_RATE
from echodepth.simulate.scene import Block, Material, Pose, Room, Vector
from echodepth.simulate.writer import simulate

C = 343.0
OMNI = Rig(directivity=0.0)
HARD = Material("mottle", 0.15, (0.7, 0.7, 0.7), absorption=0.0, scattering=0.0)
NO_PATCHES = Patches(np.zeros((3, 0)), np.zeros((3, 0)), np.zeros(0))


def bare_room(length: float, width: float, height: float, *boxes: Block, material: Material = HARD) -> Room:
    half = (length / 2, width / 2, height / 2)
    return Room(Block(half, half, 0.0, (material,) * 6), boxes, ((length / 2, width / 2, height - 0.3),))


def box(x: float, y: float, half: Vector, yaw: float = 0.0, material: Material = HARD) -> Block:
    return Block((x, y, half[2]), half, yaw, (material,) * 6)


def random_room(seed: int, furnished: bool = False) -> tuple[Room, Pose]:
    rng = np.random.default_rng(seed)
    room = scene.draw_room(rng)
    if not furnished:
        room = replace(room, boxes=())
    return room, scene.draw_pose(rng, room)


def from_(*sources: Vector) -> Arrivals:
    return Arrivals(np.array(sources).T, np.zeros(len(sources)), np.ones(len(sources)))


def energy_in(response: np.ndarray, start: float, stop: float) -> np.ndarray:
    """Per ear, in decibels, between two ways travelled in metres."""
    first, last = int(start / C * SAMPLE_RATE), int(stop / C * SAMPLE_RATE)
    return np.asarray(10 * np.log10((response[:, first:last] ** 2).sum(axis=1) + 1e-30))


# ---- hearing ----


@pytest.mark.parametrize("seed", range(4))
def test_direct_sound_comes_first_and_at_once_in_both_ears(seed: int) -> None:
    room, pose = random_room(seed, furnished=True)
    patches = acoustics.draw_patches(room, np.random.default_rng(seed))
    rig = Rig()
    sounds = acoustics.arrivals(room, patches, pose, rig)
    straight = math.dist(rig.emitter, (0.0, rig.head_radius, 0.0)) / C * SAMPLE_RATE
    for side in (1, -1):
        delay, _, _ = hearing.at_ear(sounds, pose, rig, side)
        assert delay[0] * SAMPLE_RATE == pytest.approx(straight, abs=1)
        assert delay.argmin() == 0
    response = hearing.impulse_responses(sounds, pose, rig)
    assert np.abs(response[:, :60]).argmax(axis=1) == pytest.approx([straight] * 2, abs=2)


@pytest.mark.parametrize("seed", range(6))
def test_first_wall_echo_comes_at_the_hand_worked_sample(seed: int) -> None:
    room, pose = random_room(seed)
    head, emitter = np.array(pose.position), pose.to_world(OMNI.emitter)[:, 0]
    ways = []
    for axis in range(3):
        for wall in (0.0, room.size[axis]):
            image = emitter.copy()
            image[axis] = 2 * wall - emitter[axis]
            ways.append(math.dist(head, image))
    first = min(ways) / C * SAMPLE_RATE
    with_walls = acoustics.image_sources(room, pose, OMNI, order=1)
    direct = acoustics.image_sources(room, pose, OMNI, order=0)
    echo = hearing.impulse_responses(with_walls, pose, OMNI) - hearing.impulse_responses(direct, pose, OMNI)
    # The ears stand up to 9 cm nearer or farther than the head's centre; a path from straight ahead reaches both
    # at the centre's time, one from the side reaches one ear before and one after it.
    start = int(first - OMNI.head_radius / C * SAMPLE_RATE) - 20
    window = np.abs(echo[:, : int(first) + 40])
    assert window[:, :start].max() < 0.02 * window.max()
    expected = [hearing.at_ear(with_walls, pose, OMNI, side)[0][1:].min() * SAMPLE_RATE for side in (1, -1)]
    found = [int(np.flatnonzero(ear > 0.6 * ear.max())[0]) for ear in window]
    assert found == pytest.approx(expected, abs=2)
    assert np.mean(expected) == pytest.approx(first, abs=4)


def test_wall_ahead_answers_after_twice_its_distance() -> None:
    room, pose = bare_room(9, 7, 3.5), Pose((5.0, 3.5, 1.75), 0.0)
    ahead = acoustics.image_sources(room, pose, OMNI, order=1)
    only = int(np.flatnonzero(ahead.source[0] > room.size[0])[0])
    sounds = Arrivals(ahead.source[:, [only]], ahead.before[[only]], ahead.gain[[only]])
    response = hearing.impulse_responses(sounds, pose, OMNI)
    way = math.hypot(2 * 4.0 - 0.1, 0.1)  # the emitter stands 10 cm ahead of the head's centre and 10 cm below
    assert np.abs(response).argmax(axis=1) == pytest.approx([way / C * SAMPLE_RATE] * 2, abs=2)


def test_pressure_falls_as_one_over_the_way() -> None:
    room, pose = random_room(3)
    room = replace(room, shell=replace(room.shell, materials=(HARD,) * 6))
    sounds = acoustics.image_sources(room, pose, OMNI)
    way = np.linalg.norm(sounds.source - np.array(pose.position)[:, None], axis=0)
    np.testing.assert_allclose(sounds.gain * way, 1, atol=1e-12)
    near, far = from_((2.0, 0, 0)), from_((4.0, 0, 0))
    at = Pose((0.0, 0.0, 0.0), 0.0)
    level = [
        energy_in(hearing.impulse_responses(replace(s, gain=s.gain / d), at, OMNI), 0, 8)
        for s, d in ((near, 2), (far, 4))
    ]
    assert level[0] - level[1] == pytest.approx([6.02, 6.02], abs=0.05)


def test_lateral_source_reaches_its_own_ear_first_by_woodworths_time() -> None:
    pose, rig = Pose((0.0, 0.0, 0.0), 0.3), Rig()
    sounds = Arrivals(pose.to_world((0.0, 500.0, 0.0)), np.zeros(1), np.ones(1))
    left, right = (hearing.at_ear(sounds, pose, rig, side)[0][0] for side in (1, -1))
    assert right - left == pytest.approx(0.09 / C * (math.pi / 2 + 1), rel=1e-3)  # 0.67 ms
    near = replace(sounds, source=pose.to_world((0.0, 5.0, 0.0)))
    peaks = np.abs(hearing.impulse_responses(near, pose, rig)).argmax(axis=1)
    assert peaks[1] - peaks[0] == pytest.approx((right - left) * SAMPLE_RATE, abs=6)


def test_head_shadow_follows_brown_and_duda() -> None:
    pose = Pose((0.0, 0.0, 0.0), 0.0)
    left, right = np.abs(np.fft.rfft(hearing.impulse_responses(from_((0.0, 100.0, 0.0)), pose, OMNI)))
    frequency = np.fft.rfftfreq(hearing.FRAMES, 1 / SAMPLE_RATE)
    for hertz in (50.0, 1000.0, 10000.0):
        s = 1j * math.pi * hertz * 0.09 / C
        nearest = int(np.abs(frequency - hertz).argmin())
        for ear, alpha in ((left, 2.0), (right, 1.05 + 0.95 * math.cos(math.radians(216)))):
            assert ear[nearest] == pytest.approx(abs((1 + alpha * s) / (1 + s)), rel=0.02)


def mirrored(room: Room, patches: Patches, pose: Pose) -> tuple[Room, Patches, Pose]:
    """The same seen in a mirror that swaps left and right: y becomes width - y."""
    width = room.size[1]
    minus_x, plus_x, minus_y, plus_y, floor, ceiling = room.shell.materials
    shell = replace(room.shell, materials=(minus_x, plus_x, plus_y, minus_y, floor, ceiling))
    boxes = tuple(replace(b, centre=(b.centre[0], width - b.centre[1], b.centre[2]), yaw=-b.yaw) for b in room.boxes)
    points = patches.points * [[1], [-1], [1]] + [[0], [width], [0]]
    x, y, z = pose.position
    return (
        Room(shell, boxes, room.lights),
        Patches(points, patches.normals * [[1], [-1], [1]], patches.weight),
        Pose((x, width - y, z), -pose.yaw),
    )


@pytest.mark.parametrize("seed", range(3))
def test_mirrored_world_swaps_the_ears_and_mirrors_the_view(seed: int) -> None:
    room, pose = random_room(seed, furnished=True)
    patches = acoustics.draw_patches(room, np.random.default_rng(seed))
    other = mirrored(room, patches, pose)
    here = hearing.record(room, patches, pose, np.random.default_rng(1), snr=math.inf)
    there = hearing.record(*other, np.random.default_rng(1), snr=math.inf)
    assert np.abs(here[0] - here[1]).max() > 0.01
    np.testing.assert_allclose(there, here[::-1], atol=1e-9)
    depth, reflected = render.depth_map(room, pose, 33), render.depth_map(other[0], other[2], 33)
    np.testing.assert_allclose(reflected, depth[:, ::-1], atol=1e-9)


def test_object_on_the_left_is_heard_on_the_left() -> None:
    pose, wooden = Pose((2.0, 4.0, 0.9), 0.0), replace(HARD, scattering=0.3)
    gains = []
    for seed in range(8):  # the sign of each patch is drawn, so one draw alone may cancel
        levels = []
        for boxes in ((), (box(3.2, 5.2, (0.3, 0.3, 0.6), yaw=0.4, material=wooden),)):
            room = bare_room(12, 8, 3.5, *boxes)
            patches = acoustics.draw_patches(room, np.random.default_rng(seed))
            sounds = acoustics.arrivals(room, patches, pose, Rig())
            levels.append(energy_in(hearing.impulse_responses(sounds, pose, Rig()), 2.2, 3.6))
        gains.append(levels[1] - levels[0])
    left, right = np.mean(gains, axis=0)
    assert left > right + 2
    assert left > 3


# ---- paths ----


@pytest.mark.parametrize("seed", range(3))
def test_image_sources_agree_with_pyroomacoustics(seed: int) -> None:
    room, pose = random_room(seed)
    absorption = np.random.default_rng(seed).uniform(0.02, 0.6, 6)
    materials = tuple(replace(HARD, absorption=float(value)) for value in absorption)
    room = replace(room, shell=replace(room.shell, materials=materials))
    sounds = acoustics.image_sources(room, pose, OMNI)
    names = ("west", "east", "south", "north", "floor", "ceiling")
    reference = pyroomacoustics.ShoeBox(
        room.size,
        fs=SAMPLE_RATE,
        max_order=3,
        materials={n: pyroomacoustics.Material(float(a)) for n, a in zip(names, absorption, strict=True)},
    )
    reference.add_source(pose.to_world(OMNI.emitter)[:, 0])
    reference.add_microphone(np.array(pose.position))
    reference.image_source_model()
    their = reference.sources[0]
    their_way = np.linalg.norm(their.images - np.array(pose.position)[:, None], axis=0)
    our_way = np.linalg.norm(sounds.source - np.array(pose.position)[:, None], axis=0)
    assert our_way.size == their_way.size == 63
    ours, theirs = np.argsort(our_way), np.argsort(their_way)
    np.testing.assert_allclose(our_way[ours] / C, their_way[theirs] / C, atol=1 / SAMPLE_RATE)
    our_level = np.sort(20 * np.log10(sounds.gain))
    np.testing.assert_allclose(our_level, np.sort(20 * np.log10(their.damping[0] / their_way)), atol=1)
    total = 10 * np.log10((sounds.gain[1:] ** 2).sum() / ((their.damping[0] / their_way)[theirs][1:] ** 2).sum())
    assert abs(total) < 1


def test_furniture_hides_the_wall_behind_it_and_answers_itself() -> None:
    pose = Pose((2.0, 3.0, 0.9), 0.0)
    screen = box(4.0, 3.0, (0.1, 1.0, 1.0))
    empty, hidden = bare_room(8, 6, 3), bare_room(8, 6, 3, screen)
    through = [acoustics.image_sources(room, pose, OMNI, order=1) for room in (empty, hidden)]
    assert (through[0].source[0] > 8).sum() == 1
    assert (through[1].source[0] > 8).sum() == 0
    face = acoustics.face_reflections(hidden, pose, OMNI)
    assert face.source == pytest.approx(np.array([[2 * 3.9 - 2.1], [3.0], [0.8]]))
    assert face.gain == pytest.approx([1 / math.hypot(5.7 - 2.0, 0.1)])
    assert acoustics.face_reflections(bare_room(8, 6, 3, box(4.0, 4.5, (0.1, 0.3, 1.0))), pose, OMNI).gain.size == 0


def test_scattered_energy_of_a_wall_matches_the_integral() -> None:
    # Lambert's law over an infinite wall at distance d, heard where it is sent: diffuse share / (2 d^2).
    material = replace(HARD, absorption=0.2, scattering=0.5)
    room, rig = bare_room(40, 40, 40, material=material), Rig(emitter=(0.0, 0.0, 0.0), directivity=0.0)
    patches = acoustics.draw_patches(room, np.random.default_rng(0))
    near_wall = patches.normals[0] == 1
    wall = Patches(patches.points[:, near_wall], patches.normals[:, near_wall], patches.weight[near_wall])
    sounds = acoustics.scattering(room, wall, Pose((1.5, 20.0, 20.0), 0.0), rig)
    assert (sounds.gain**2).sum() == pytest.approx(0.8 * 0.5 / (2 * 1.5**2), rel=0.05)
    assert (sounds.before >= 1.5).all()


def test_surface_energy_is_split_between_mirror_and_patches() -> None:
    for material in (*scene.WALLS, *scene.FLOORS, *scene.CEILINGS, *scene.FURNITURE):
        assert material.specular**2 + material.diffuse == pytest.approx(1 - material.absorption)


# ---- recording ----


def test_recording_starts_like_a_genuine_one_and_has_the_stated_noise() -> None:
    for seed in range(4):
        room, pose = random_room(seed, furnished=True)
        patches = acoustics.draw_patches(room, np.random.default_rng(seed))
        sound = hearing.record(room, patches, pose, np.random.default_rng(seed), snr=35.0)
        assert sound.shape == (2, 20000)
        assert find_onset(sound) == pytest.approx(282, abs=9)
        assert 0.1 < np.abs(sound).max() <= 1
        tail = 20 * math.log10(sound[:, 12000:].std() / 0.17)
        assert tail == pytest.approx(-35, abs=1.5)


# ---- seeing ----


def test_depth_equals_geometry_to_a_millimetre() -> None:
    room, pose = bare_room(8, 6, 3, box(5.0, 3.0, (0.5, 0.4, 0.35))), Pose((2.0, 3.0, 0.9), 0.0)
    size = 65
    depth = render.depth_map(room, pose, size)
    focal = size / 2 / math.tan(math.radians(43))
    assert depth[0, 32] == pytest.approx(2.1 * focal / 32, abs=1e-3)  # ceiling, 2.1 m above the camera
    assert depth[64, 0] == pytest.approx(0.9 * focal / 32, abs=1e-3)  # floor
    assert depth[32, 32] == pytest.approx(6.0, abs=1e-3)  # over the box to the wall
    row = 32 + math.ceil(0.2 / 2.5 * focal) + 1  # below the box's top edge
    assert depth[row, 32] == pytest.approx(2.5, abs=1e-3)
    # A face turned by 0.3: on the axis it is half / cos(0.3) nearer than the centre, wherever one looks from.
    for yaw in (0.0, 1.0, -2.2):
        seen_from = Pose((4.0, 3.0, 0.9), yaw)
        x, y, _ = seen_from.to_world((2.0, 0.0, 0.0))[:, 0]
        turned = bare_room(8, 6, 3, box(float(x), float(y), (0.3, 0.5, 0.5), yaw=yaw + 0.3))
        assert render.depth_map(turned, seen_from, size)[32, 32] == pytest.approx(2 - 0.3 / math.cos(0.3), abs=1e-3)


def test_shadows_fall_behind_what_stands_in_the_light() -> None:
    table = box(3.5, 3.0, (0.4, 0.4, 0.4))
    lamp: Vector = (2.0, 3.0, 2.5)
    views = []
    for boxes in ((), (table,)):
        room = replace(bare_room(8, 6, 3, *boxes), lights=(lamp,))
        points = np.array([[4.4, 3.0, 0.0], [1.0, 3.0, 0.0]]).T
        views.append(render._illuminate(room, points, np.array([[0, 0, 1.0], [0, 0, 1.0]]).T))
    assert views[0][0] > views[1][0] == render._AMBIENT
    assert views[0][1] == views[1][1]


def test_measured_depth_misses_what_the_second_eye_cannot_see() -> None:
    depth = np.full((40, 200), 4.0)
    depth[:, 100:] = 1.0
    exact = render.depth_as_measured(depth, 0.0, np.random.default_rng(0))
    assert exact.dtype == np.uint16
    assert (exact == 1000 * depth).all()
    holes = render.depth_as_measured(depth, 1.0, np.random.default_rng(0)) == 0
    disparity = 0.06 * render.focal_length(200)  # at 1 m, in pixels
    assert holes.all(axis=0)[100 - round(0.75 * disparity) + 1 : 99].all()
    assert holes.all(axis=0)[: int(disparity / 4)].all()
    assert holes.mean() < 0.2


@pytest.mark.parametrize("seed", range(20))
def test_rooms_and_poses_keep_their_promises(seed: int) -> None:
    room, pose = random_room(seed, furnished=True)
    length, width, height = room.size
    assert 1.8 <= width <= 7
    assert 3 <= length <= 20
    assert 2.5 <= height <= 3.5
    assert 2 <= len(room.boxes) <= 6
    assert 2 <= len(room.lights) <= 4
    assert scene.clearance(room, np.array(pose.position)[:, None])[0] > 0.4
    for piece in room.boxes:
        assert piece.centre[2] == piece.half[2]  # stands on the floor
        corners = piece.to_world(np.array([[x, y, 0] for x in (-1, 1) for y in (-1, 1)]).T * np.array([piece.half]).T)
        assert (corners[:2] > 0).all()
        assert (corners[:2] < room.size[:2, None]).all()


# ---- files ----


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[SimulateConfig, Path]:
    config = SimulateConfig(tmp_path_factory.mktemp("simulated") / "set", rooms=4, poses=2, image_size=32, workers=1)
    return config, simulate(config)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_bytes_do_not_depend_on_the_workers(small: tuple[SimulateConfig, Path], tmp_path: Path) -> None:
    config, root = small
    assert contents(simulate(replace(config, out=tmp_path / "two", workers=2))) == contents(root)


def test_interrupted_run_ends_with_the_same_bytes(small: tuple[SimulateConfig, Path], tmp_path: Path) -> None:
    config, root = small
    again = tmp_path / "again"
    shutil.copytree(root, again)
    deleted = [*again.rglob("*_0001_*"), *again.rglob("depth_0003_000.npy"), *again.rglob("*.csv")]
    for path in deleted:
        path.unlink()
    kept = next(again.rglob("audio_0000_000.wav"))
    untouched = kept.stat().st_mtime_ns
    simulate(replace(config, out=again))
    assert len(deleted) == 6 + 1 + 3
    assert contents(again) == contents(root)
    assert kept.stat().st_mtime_ns == untouched


def test_a_longer_set_begins_with_the_same_samples(small: tuple[SimulateConfig, Path], tmp_path: Path) -> None:
    config, root = small
    other = replace(config, out=tmp_path, rooms=7, poses=3)
    instance = next(i for i in writer.plan(other) if (i.room, i.pose) == (2, 1))
    writer.write_sample(other, instance)
    for part in ("audio", "camera", "depth"):
        assert instance.path(other.out, part).read_bytes() == instance.path(root, part).read_bytes()


def test_files_are_in_batvision_format(small: tuple[SimulateConfig, Path]) -> None:
    _, root = small
    header = (
        "index,time,left audio time,right audio time,audio path,audio file name,"
        "camera time,camera path,camera file name,depth time,depth path,depth file name"
    )
    rows: list[dict[str, str]] = []
    for split in ("train", "val", "test"):
        table = root / "simulated_00" / f"{split}.csv"
        assert table.read_text().splitlines()[0] == header
        with table.open(newline="") as file:
            rows += csv.DictReader(file)
    assert len(rows) == 8
    for row in rows:
        assert row["audio path"] == "simulated_00/audio/"
        sound = soundfile.info(str(root / (row["audio path"] + row["audio file name"])))
        assert (sound.subtype, sound.channels, sound.frames, sound.samplerate) == ("PCM_32", 2, 20000, 44100)
        image = Image.open(root / (row["camera path"] + row["camera file name"]))
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (32, 32))
        depth = np.load(root / (row["depth path"] + row["depth file name"]))
        assert (depth.dtype, depth.shape) == (np.uint16, (32, 32))
        assert 200 < depth[depth > 0].min() < depth.max() < 21000
        assert (depth == 0).any()
    raw, _ = soundfile.read(str(root / (rows[0]["audio path"] + rows[0]["audio file name"])), dtype="int32")
    assert (raw % 256 == 0).all()  # 24 bits in 32
    assert (root / "contact_sheet.png").stat().st_size > 10_000


@pytest.mark.parametrize("rooms", [3, 10, 24, 57])
def test_splits_share_no_room_and_every_location_has_all_three(rooms: int) -> None:
    instances = writer.plan(SimulateConfig(Path("unused"), rooms=rooms, poses=2))
    assert len({(i.room, i.pose) for i in instances}) == 2 * rooms
    split_of: dict[int, set[str]] = {}
    for instance in instances:
        split_of.setdefault(instance.room, set()).add(instance.split)
    assert all(len(splits) == 1 for splits in split_of.values())
    for location in {i.location for i in instances}:
        assert {i.split for i in instances if i.location == location} == {"train", "val", "test"}
    if rooms >= 10:
        train = sum(i.split == "train" for i in instances) / len(instances)
        assert 0.6 < train < 0.8


def test_other_settings_in_the_same_root_are_refused(small: tuple[SimulateConfig, Path]) -> None:
    config, root = small
    with pytest.raises(ConfigError) as refused:
        simulate(replace(config, seed=5, poses=3))
    message = str(refused.value)
    assert str(root) in message
    assert "poses 2 (asked for: 3), seed 0 (asked for: 5)" in message
    assert "another --out" in message


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"not empty and holds no simulation\.json"):
        simulate(SimulateConfig(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: replace(c, rooms=2), "rooms is 2: .* at least 3"),
        (lambda c: replace(c, poses=0), "poses is 0"),
        (lambda c: replace(c, workers=0), "workers is 0"),
        (lambda c: replace(c, seed=-1), "seed is -1"),
        (lambda c: replace(c, depth_holes=-0.1), "depth_holes is -0.1"),
        (lambda c: replace(c, speed_of_sound=34.0), "speed_of_sound is 34.0"),
    ],
)
def test_senseless_settings_are_refused(
    change: Callable[[SimulateConfig], SimulateConfig], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate(change(SimulateConfig(tmp_path / "set")))
    assert not (tmp_path / "set").exists()

"""Simulated camera: geometry to a millimetre, edges, light, textures, and the holes of the depth camera."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from echodepth.simulate.camera import render
from echodepth.simulate.camera.depth_camera import measure_depth
from echodepth.simulate.camera.render import RenderedView, focal_lengths
from echodepth.simulate.rooms import room_generator
from echodepth.simulate.rooms.materials import GLASS, Material, Vector
from echodepth.simulate.rooms.scene import Block, Pose, Room

GREY = Material("test", "plain", 1.0, (0.5, 0.5, 0.5), (0.1,) * 8, (0.1,) * 8)
RED = replace(GREY, colour=(0.8, 0.05, 0.05))


def room_of(*boxes: Block, walls: Material = GREY, lamp: Vector = (4.0, 3.0, 2.5)) -> Room:
    half = (4.0, 3.0, 1.5)
    return Room("office", Block(half, half, 0.0, (walls,) * 6), tuple((box,) for box in boxes), (lamp,))


def box(x: float, y: float, half: Vector, yaw: float = 0.0, of: Material = GREY) -> Block:
    return Block((x, y, half[2]), half, yaw, (of,) * 6)


def test_depth_of_a_room_equals_geometry_to_a_millimetre() -> None:
    room, pose, size = room_of(box(5.0, 3.0, (0.5, 0.4, 0.35))), Pose((2.0, 3.0, 0.9), 0.0), 65
    depth = render.depth_map(room, pose, size)
    across, upward = size / 2 / math.tan(math.radians(43)), size / 2 / math.tan(math.radians(28.5))
    assert focal_lengths(size) == pytest.approx((across, upward))
    assert depth[0, 32] == pytest.approx(2.1 * upward / 32, abs=1e-3)  # ceiling, 2.1 m above the camera
    assert depth[64, 0] == pytest.approx(0.9 * upward / 32, abs=1e-3)  # floor
    assert depth[32, 0] == pytest.approx(3.0 * across / 32, abs=1e-3)  # the wall to the left
    assert depth[32, 32] == pytest.approx(6.0, abs=1e-3)  # over the box to the wall
    row = 32 + math.ceil(0.2 / 2.5 * upward) + 1  # below the box's top edge
    assert depth[row, 32] == pytest.approx(2.5, abs=1e-3)


@pytest.mark.parametrize("yaw", [0.0, 0.7, -2.5])
def test_depth_of_every_pixel_equals_the_analytic_ray_box_intersection(yaw: float) -> None:
    pose, size = Pose((1.3, 2.2, 0.9), yaw, 0.04, -0.03), 48
    cuboid = box(3.0, 3.6, (0.5, 0.4, 0.7), 0.4)
    across, upward = focal_lengths(size)
    middle = (np.arange(size) + 0.5 - size / 2) / np.array([[across], [upward]])
    left, up = np.broadcast_arrays(-middle[0][None, :], -middle[1][:, None])
    rays = np.stack([np.ones_like(left), left, up], axis=-1) @ pose.axes.T  # as long as a step of 1 m in depth

    def slabs(block: Block) -> tuple[np.ndarray, np.ndarray]:
        """Depths at which each ray enters and leaves a block."""
        cosine, sine = math.cos(block.yaw), math.sin(block.yaw)
        rotation = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
        start, direction = rotation @ (np.array(pose.position) - np.array(block.centre)), rays @ rotation.T
        ends = np.sort([(side * np.array(block.half) - start) / direction for side in (-1, 1)], axis=0)
        return ends[0].max(axis=-1), ends[1].min(axis=-1)

    enter, leave = slabs(cuboid)
    room = room_of(cuboid)
    _, wall = slabs(room.shell)
    expected = np.where((enter < leave) & (enter > 0), enter, wall)
    assert np.abs(render.depth_map(room, pose, size) - expected).max() < 1e-3
    assert ((enter < leave) & (enter > 0)).any() == (yaw > -1)


def test_face_of_a_rotated_box_has_the_computed_depth() -> None:
    # On the optical axis a face rotated by 0.3 is half / cos(0.3) closer than the centre, for any heading.
    for yaw in (0.0, 1.0, -2.2):
        pose = Pose((4.0, 3.0, 0.9), yaw)
        x, y, _ = (float(value) for value in pose.to_room((2.0, 0.0, 0.0)))
        turned = room_of(box(x, y, (0.3, 0.5, 0.5), yaw=yaw + 0.3))
        assert render.depth_map(turned, pose, 65)[32, 32] == pytest.approx(2 - 0.3 / math.cos(0.3), abs=1e-3)


def test_pitch_and_roll_rotate_the_view() -> None:
    pitch = math.radians(20)
    down = render.depth_map(room_of(), Pose((1.0, 3.0, 0.9), 0.0, pitch=pitch), 65)
    assert down[32, 32] == pytest.approx(0.9 / math.sin(pitch), abs=1e-3)  # the axis meets the floor
    level = render.depth_map(room_of(), Pose((2.0, 3.0, 0.9), 0.0), 65)
    leaning = render.depth_map(room_of(), Pose((2.0, 3.0, 0.9), 0.0, roll=0.2), 65)
    assert leaning[32, 32] == pytest.approx(level[32, 32], abs=1e-3)
    # With a roll to the right, the edge of the floor is lower in the left half of the image.
    rows = np.arange(65)[:, None]
    floor = [(rows > 32) & (depth < 5.9) & (np.abs(np.arange(65) - 32) < 12) for depth in (level, leaning)]
    assert floor[1][:, 22].sum() < floor[0][:, 22].sum() < floor[1][:, 42].sum()


def test_mirrored_room_has_a_mirrored_depth_map() -> None:
    boxes = (box(5.0, 4.0, (0.5, 0.3, 0.6), 0.3), box(4.5, 1.0, (0.2, 0.6, 0.4), 1.0))
    turned = tuple(replace(b, centre=(b.centre[0], 6.0 - b.centre[1], b.centre[2]), yaw=-b.yaw) for b in boxes)
    original = render.depth_map(room_of(*boxes), Pose((2.0, 2.5, 0.9), 0.3, 0.02, 0.03), 33)
    mirrored = render.depth_map(room_of(*turned), Pose((2.0, 3.5, 0.9), -0.3, 0.02, -0.03), 33)
    np.testing.assert_allclose(mirrored, original[:, ::-1], atol=1e-9)


def test_colour_and_depth_change_at_the_same_pixels() -> None:
    room = room_of(box(4.5, 3.0, (0.3, 0.6, 0.6), 0.4, RED))
    view = render.render(room, Pose((2.0, 3.0, 0.9), 0.1), 96, np.random.default_rng(0))
    red = view.image[..., 0].astype(int) - view.image[..., 1] > 40
    rays = render.depth_map(room_of(), Pose((2.0, 3.0, 0.9), 0.1), 96)
    nearer = view.depth < rays - 1e-6
    assert nearer.sum() > 200
    assert (red == nearer).mean() == 1.0


def test_object_in_front_of_a_lamp_casts_a_shadow() -> None:
    lamp, pose = (2.0, 3.0, 2.5), Pose((1.0, 3.0, 1.6), 0.0, pitch=0.6)
    lit, shaded = (
        render._illumination(room_of(*boxes, lamp=lamp).scene, (4.4, 3.0, 0.0), np.array([0.0, 0.0, 1.0]), 0.0, 0.0)
        for boxes in ((), (box(3.5, 3.0, (0.4, 0.4, 0.4)),))
    )
    assert lit - shaded == pytest.approx(3 * 2.5 / math.hypot(2.4, 2.5) / (2.4**2 + 2.5**2 + 1))
    views = [
        render.render(room_of(*boxes, lamp=lamp), pose, 64, np.random.default_rng(1)).image.mean()
        for boxes in ((), (box(3.5, 3.0, (0.4, 0.4, 0.4)),))
    ]
    assert abs(views[0] - views[1]) < 25  # the automatic exposure compensates the rest


def test_textures_have_their_size_in_metres() -> None:
    # Stripes of 0.4 m on the wall ahead: at 2 m a period spans twice the pixels that it spans at 4 m.
    wall = replace(GREY, pattern="stripes", period=0.4)
    periods = []
    for x in (6.0, 4.0):
        view = render.render(room_of(walls=wall), Pose((x, 3.0, 1.5), 0.0), 256, np.random.default_rng(0))
        middle = view.image[118:138, 78:178].mean(axis=(0, 2))
        spectrum = np.abs(np.fft.rfft(middle - middle.mean(), 4096))
        periods.append(4096 / spectrum.argmax())
    focal = focal_lengths(256)[0]
    assert periods == pytest.approx([0.4 / 2 * focal, 0.4 / 4 * focal], rel=0.06)


def test_same_draw_gives_the_same_bytes_and_another_does_not() -> None:
    rng = np.random.default_rng(5)
    room = room_generator.draw_room(rng)
    pose = room_generator.draw_pose(rng, room)
    views = [render.render(room, pose, 48, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert views[0].image.tobytes() == views[1].image.tobytes() != views[2].image.tobytes()
    assert views[0].depth.tobytes() == views[2].depth.tobytes()
    assert 40 < views[0].image.mean() < 200


def flat(depth: float | np.ndarray, gloss: float = 0.0, size: int = 200) -> RenderedView:
    metres = np.broadcast_to(np.asarray(depth, dtype=np.float64), (size, size)).copy()
    return RenderedView(np.zeros((size, size, 3), np.uint8), metres, np.full((size, size), gloss))


def test_depth_camera_has_holes_where_the_second_lens_is_occluded() -> None:
    steps = np.full((200, 200), 4.0)
    steps[:, 100:] = 1.0
    exact = measure_depth(flat(steps), 0.0, np.random.default_rng(0))
    assert exact.dtype == np.uint16
    np.testing.assert_array_equal(exact, 1000 * steps)
    holes = measure_depth(flat(steps), 1.0, np.random.default_rng(0)) == 0
    shift = focal_lengths(200)[0] * 0.12
    # The hole left of the near half is as wide as the difference in disparity; another lies at the left border.
    width = round(shift / 1.0 - shift / 4.0)
    assert holes[:, 100 - width + 1 : 100].mean() > 0.99
    assert holes[:, : int(shift / 4.0)].mean() > 0.99
    assert holes[:, 101:].mean() < 0.2


@pytest.mark.parametrize(
    ("view", "low", "high"),
    [
        (lambda: flat(3.0), 0.02, 0.15),
        (lambda: flat(3.0, gloss=1.0), 0.7, 1.0),
        (lambda: flat(25.0), 0.4, 0.8),
    ],
    ids=["plain", "glass", "far"],
)
def test_depth_camera_fails_on_glass_and_at_large_distance(
    view: Callable[[], RenderedView], low: float, high: float
) -> None:
    shares = [(measure_depth(view(), 1.0, np.random.default_rng(seed)) == 0).mean() for seed in range(4)]
    assert low < np.mean(shares) < high


def test_windows_are_bright_and_glossy() -> None:
    pane = Block((7.99, 3.0, 1.5), (0.01, 0.8, 0.6), 0.0, (GLASS,) * 6)
    view = render.render(room_of(pane), Pose((4.0, 3.0, 1.5), 0.0), 64, np.random.default_rng(0))
    window = view.gloss > 0.9
    assert 50 < window.sum() < 2000
    assert view.image[window].mean() > 1.3 * view.image[~window].mean()

"""Random rooms: sizes, furniture, free distances, and the robot's poses."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pyroomacoustics
import pytest

from echodepth.simulate.camera import render
from echodepth.simulate.rooms import furniture, materials, room_generator
from echodepth.simulate.rooms.materials import Material
from echodepth.simulate.rooms.ray_casting import first_hit, is_occluded
from echodepth.simulate.rooms.scene import Block, Piece, Room, corners_of

SEEDS = range(40)
ALL = [material for value in vars(materials).values() for material in (value if isinstance(value, tuple) else (value,))]
MATERIALS = [material for material in ALL if isinstance(material, Material)]


def drawn(seed: int) -> tuple[Room, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return room_generator.draw_room(rng), rng


def of_kind(kind: str, count: int = 3) -> list[Room]:
    return [room for room in (drawn(seed)[0] for seed in range(60)) if room.kind == kind][:count]


def test_every_kind_of_room_occurs_and_keeps_its_size() -> None:
    rooms = [drawn(seed)[0] for seed in SEEDS]
    assert {room.kind for room in rooms} == {"office", "corridor", "hall", "l-room", "two rooms"}
    for room in rooms:
        length, width, height = room.size
        assert 4 <= length <= 30
        assert 1.8 <= width <= 16
        assert 2.5 <= height <= 6
        assert 5 <= len(room.boxes) <= 95
        assert len(room.lights) >= 2


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_lies_in_the_room(seed: int) -> None:
    room, _ = drawn(seed)
    for block in room.boxes:
        corners = corners_of(block)
        assert corners.min() > -1e-6
        assert (corners <= room.size[:, None] + 1e-6).all()
        assert min(block.half) > 0.004


@pytest.mark.parametrize("seed", SEEDS)
def test_poses_have_free_floor_around_them_and_a_small_tilt(seed: int) -> None:
    room, rng = drawn(seed)
    for _ in range(4):
        pose = room_generator.draw_pose(rng, room)
        x, y, z = pose.position
        assert 0.33 <= z <= 0.37
        assert room_generator.clearance(room.scene, x, y, z) > 0.4
        assert max(abs(pose.pitch), abs(pose.roll)) < math.radians(8)


@pytest.mark.parametrize("height", [0.35, 1.2])
def test_the_head_is_within_2_cm_of_its_height(height: float) -> None:
    room, rng = drawn(1)
    heights = [room_generator.draw_pose(rng, room, height).position[2] for _ in range(60)]
    assert height - 0.02 <= min(heights) < height - 0.015
    assert height + 0.015 < max(heights) <= height + 0.02


def test_a_table_stands_in_the_way_of_all_robots_and_a_shelf_of_tall_ones() -> None:
    wood = materials.WOODS[0]
    shelf = Block((2.0, 2.0, 1.5), (0.5, 0.5, 0.02), 0.0, (wood,) * 6)
    table = Block((6.0, 2.0, 0.7), (0.5, 0.5, 0.02), 0.0, (wood,) * 6)
    room = Room("office", Block((4.0, 2.0, 1.5), (4.0, 2.0, 1.5), 0.0, (wood,) * 6), ((shelf,), (table,)), ())
    assert room_generator.clearance(room.scene, 2.0, 2.0, 0.35) == pytest.approx(2.0)
    assert room_generator.clearance(room.scene, 2.0, 2.0, 1.2) == 0
    assert room_generator.clearance(room.scene, 6.0, 2.0, 0.35) == 0


def test_clearance_is_the_distance_to_walls_and_rotated_blocks() -> None:
    wood = materials.WOODS[0]
    turned = Block((3.0, 3.0, 0.5), (0.5, 0.2, 0.5), math.pi / 2, (wood,) * 6)
    beam = Block((6.0, 3.0, 2.5), (0.2, 3.0, 0.2), 0.0, (wood,) * 6)
    room = Room("office", Block((4.0, 3.0, 1.5), (4.0, 3.0, 1.5), 0.0, (wood,) * 6), ((turned,), (beam,)), ())
    assert room_generator.clearance(room.scene, 1.0, 3.0, 0.35) == pytest.approx(1.0)
    assert room_generator.clearance(room.scene, 4.0, 3.0, 0.35) == pytest.approx(0.8)
    assert room_generator.clearance(room.scene, 3.2 + 0.3, 3.5 + 0.4, 0.35) == pytest.approx(0.5)
    assert room_generator.clearance(room.scene, 3.0, 3.2, 0.35) == 0
    assert room_generator.clearance(room.scene, 6.0, 3.0, 0.35) == pytest.approx(2.0)  # the robot passes below a beam


def test_corner_of_an_l_room_is_solid() -> None:
    for room in of_kind("l-room"):
        corner = room.pieces[0][0]
        assert corner.half[2] == pytest.approx(room.size[2] / 2)
        x, y, _ = corner.centre
        assert room_generator.clearance(room.scene, x, y, 0.35) == 0
        assert is_occluded(room.scene, (x - corner.half[0] - 0.1, y, 1.0), (x + corner.half[0] - 0.1, y, 1.0))


def test_doorway_is_open_and_its_wall_occludes() -> None:
    for room in of_kind("two rooms"):
        low, high, lintel = room.pieces[0]
        x = low.centre[0]
        door = (low.centre[1] + low.half[1] + high.centre[1] - high.half[1]) / 2
        assert high.centre[1] - high.half[1] - low.centre[1] - low.half[1] >= 0.9
        assert not is_occluded(room.scene, (x - 0.3, door, 1.0), (x + 0.05, door, 1.0))
        assert is_occluded(room.scene, (x - 0.3, low.centre[1], 1.0), (x + 0.3, low.centre[1], 1.0))
        assert is_occluded(room.scene, (x - 0.3, door, lintel.centre[2]), (x + 0.3, door, lintel.centre[2]))


def test_ceilings_are_stepped_in_some_rooms_of_every_kind_and_never_lower_than_a_door() -> None:
    stepped, rooms = set(), [drawn(seed)[0] for seed in range(120)]
    for room in rooms:
        for piece in room.pieces:
            low, high = (min(b.centre[2] + side * b.half[2] for b in piece) for side in (-1, 1))
            across = 2 * piece[0].half[1] == pytest.approx(room.size[1])
            if low > 1.0 and high == pytest.approx(room.size[2]) and across:
                assert low > furniture.DOOR_HEIGHT
                stepped.add(id(room))
    assert 0.2 < len(stepped) / len(rooms) < 0.5
    assert {room.kind for room in rooms if id(room) in stepped} == {room.kind for room in rooms}


def test_every_piece_of_furniture_occurs_in_some_room(monkeypatch: pytest.MonkeyPatch) -> None:
    makers = ["table", "chair", "desk", "bookcase", "cupboard", "sofa"]
    makers += ["pillar", "door", "open_door", "window", "picture", "radiator"]
    made: dict[str, list[list[float]]] = {name: [] for name in makers}

    def recorded(name: str) -> Callable[..., Piece]:
        make = getattr(furniture, name)

        def maker(*arguments: Any) -> Piece:
            piece: Piece = make(*arguments)
            made[name].append([half for block in piece for half in block.half])
            return piece

        return maker

    for name in makers:
        monkeypatch.setattr(furniture, name, recorded(name))
    kept = [[h for block in piece for h in block.half] for seed in SEEDS for piece in drawn(seed)[0].pieces]
    for name, shapes in made.items():
        assert any(shape in kept for shape in shapes), name


def test_depths_are_those_of_public_buildings() -> None:
    depth = []
    for seed in range(60):
        room, rng = drawn(seed)
        depth += [render.depth_map(room, room_generator.draw_pose(rng, room), 32) for _ in range(3)]
    low, median, high = np.percentile(depth, (5, 50, 95))
    # At 0.35 m above the floor, the floor in the lower half of the image is at most 3.5 m away up to 6 degrees down.
    assert low > 0.5
    assert 1.5 < median < 3
    assert high > 8
    assert 20 < np.max(depth) < 31


def test_same_seed_gives_the_same_room_and_another_does_not() -> None:
    assert drawn(4)[0] == drawn(4)[0] != drawn(5)[0]


def test_absorption_is_the_published_table() -> None:
    table = {
        name: row["coeffs"]
        for group in pyroomacoustics.materials_data["absorption"].values()
        for name, row in group.items()
    }
    assert len(MATERIALS) > 20
    for material in MATERIALS:
        published = table[material.name]
        assert material.absorption[: len(published)] == pytest.approx(published)
        assert set(material.absorption[len(published) :]) <= {published[-1]}


def test_coefficients_are_shares() -> None:
    for material in MATERIALS:
        assert len(material.absorption) == len(material.scattering) == len(materials.OCTAVES)
        assert all(0 <= share <= 1 for share in (*material.absorption, *material.scattering, material.gloss))


def test_table_stands_on_its_legs() -> None:
    top, *legs = furniture.table(np.random.default_rng(0))
    assert len(legs) == 4
    for leg in legs:
        assert leg.centre[2] - leg.half[2] == 0
        assert leg.centre[2] + leg.half[2] == pytest.approx(top.centre[2] - top.half[2])
        assert abs(leg.centre[0]) + leg.half[0] <= top.half[0] + 1e-9


def test_first_hit_is_the_nearest_block() -> None:
    rng = np.random.default_rng(0)
    room, _ = drawn(3)
    scene = room.scene
    for _ in range(200):
        start = rng.uniform(0.05, 0.95, 3) * room.size
        direction = rng.normal(size=3)
        distance, block, face = first_hit(scene, start, direction)
        distances = [_enter(b, start, direction) for b in room.boxes]
        shell = _leave(room.shell, start, direction)
        nearest = min([each for each in distances if each > 0] + [shell])
        assert distance == pytest.approx(nearest, rel=1e-9)
        assert 0 <= block <= len(room.boxes)
        assert 0 <= face <= 5


def _slabs(block: Block, start: np.ndarray, direction: np.ndarray) -> tuple[float, float]:
    cosine, sine = math.cos(block.yaw), math.sin(block.yaw)
    rotation = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    origin, heading = rotation @ (start - np.array(block.centre)), rotation @ direction
    sides = np.sort(np.stack([(s * np.array(block.half) - origin) / heading for s in (-1, 1)]), axis=0)
    return float(sides[0].max()), float(sides[1].min())


def _enter(block: Block, start: np.ndarray, direction: np.ndarray) -> float:
    enter, leave = _slabs(block, start, direction)
    return enter if enter < leave else math.inf


def _leave(block: Block, start: np.ndarray, direction: np.ndarray) -> float:
    return _slabs(block, start, direction)[1]

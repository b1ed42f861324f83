"""Samples a second and core of the simulator, against pyroomacoustics' sound in the same furnished rooms.

    python -m benchmarks.simulate

Ours is the whole sample: picture, depth, sound at two ears, three files. Theirs is the sound alone, without a head or
a chirp: its hybrid of image sources (of order 1; ours has up to 3) and as many rays as ours, over as long a time, with
the same materials in the same octaves.
"""

import tempfile
from itertools import cycle, groupby
from pathlib import Path

import numpy as np
import pyroomacoustics as pra

from benchmarks.timing import in_turn, keep, processor_seconds
from echodepth.simulate.acoustics.hrtf import SAMPLE_RATE
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.acoustics.propagation import LONGEST, RAYS
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.plan import Instance, plan
from echodepth.simulate.rooms.materials import OCTAVES, Material
from echodepth.simulate.rooms.room_generator import draw_pose, draw_room
from echodepth.simulate.rooms.scene import Block, Pose, Room, corners_of
from echodepth.simulate.writer import write_room

ROOMS, POSES, RUNS = 12, 4, 5
EAR = 0.0875  # metres beside the middle of the head
PACKAGES = ("numba", "numpy", "scipy", "pyroomacoustics")
# Corners of each face in `corners_of`'s order, counter-clockwise seen from outside of the block.
FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def material_of(material: Material) -> pra.Material:
    def banded(values: tuple[float, ...]) -> dict[str, object]:
        return {"coeffs": list(values), "center_freqs": list(OCTAVES)}

    return pra.Material(banded(material.absorption), banded(material.scattering))


def walls_of(block: Block, outwards: bool) -> list[pra.Wall]:
    corners = corners_of(block)
    order = 1 if outwards else -1
    return [
        pra.wall_factory(
            corners[:, list(face)[::order]],
            material_of(material).energy_absorption["coeffs"],
            material_of(material).scattering["coeffs"],
        )
        for face, material in zip(FACES, block.materials, strict=True)
    ]


def hear_with_pyroomacoustics(room: Room, pose: Pose) -> list[np.ndarray]:
    """Impulse responses at two points where the ears would be."""
    walls = walls_of(room.shell, outwards=True)
    for block in room.boxes:
        walls += walls_of(block, outwards=False)
    there = pra.Room(walls, fs=SAMPLE_RATE, max_order=1, ray_tracing=True, air_absorption=True)
    seconds = LONGEST / Loudspeaker().speed_of_sound
    there.set_ray_tracing(n_rays=RAYS, receiver_radius=0.4, time_thres=seconds, hist_bin_size=0.004)
    there.add_source(pose.to_world(Loudspeaker().emitter))
    there.add_microphone_array(np.stack([pose.to_world((0.0, side, 0.0)) for side in (EAR, -EAR)], axis=1))
    there.compute_rir()
    return [responses[0] for responses in there.rir]


def furnished(config: SimulateConfig, number: int) -> tuple[Room, Pose]:
    """A room and the first pose in it, drawn as the writer draws them."""
    room = draw_room(np.random.default_rng([config.seed, number, 0]))
    return room, draw_pose(np.random.default_rng([config.seed, number, 1]), room)


def measure(image_size: int, scratch: Path) -> None:
    config = SimulateConfig(scratch, rooms=ROOMS, poses=POSES, image_size=image_size, workers=1)
    rooms = [list(members) for _, members in groupby(plan(config), key=lambda instance: instance.room)]
    turns = cycle(rooms)

    def write_all() -> None:
        for members in rooms:
            for instance in members:
                remove(config, instance)
            write_room(config, members)

    def ours() -> float:
        return ROOMS * POSES / processor_seconds(write_all)

    def other() -> float:
        several = [furnished(config, next(turns)[0].room) for _ in range(ROOMS)]
        return ROOMS / processor_seconds(lambda: [hear_with_pyroomacoustics(*each) for each in several])

    keep(f"simulate_{image_size}_throughput", in_turn(ours, other, RUNS, "samples/s a core"), PACKAGES)


def remove(config: SimulateConfig, instance: Instance) -> None:
    for part in ("audio", "camera", "depth"):
        instance.path(config.out, part).unlink(missing_ok=True)


def main() -> None:
    for image_size in (128, 256):
        with tempfile.TemporaryDirectory() as scratch:
            measure(image_size, Path(scratch))


if __name__ == "__main__":
    main()

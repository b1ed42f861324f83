"""Throughput of the simulator against pyroomacoustics' room impulse responses in the same furnished rooms.

    python -m benchmarks.simulate

The simulator makes a whole sample: image, depth, binaural recording, three files. pyroomacoustics makes the impulse
responses alone, without HRTF and chirp: its hybrid of image sources (of order 1; the simulator uses up to 3) and ray
tracing, with the same number of rays, the same duration, and the same materials in the same octave bands.
"""

import tempfile
from itertools import cycle, groupby
from pathlib import Path

import numpy as np
import pyroomacoustics as pra

from benchmarks.timing import in_turn, keep, processor_seconds
from echodepth.core.constants import SAMPLE_RATE
from echodepth.simulate.acoustics.loudspeaker import Loudspeaker
from echodepth.simulate.acoustics.propagation import LONGEST_PATH, RAYS
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.plan import file_kinds, plan
from echodepth.simulate.rooms.materials import OCTAVES, Material
from echodepth.simulate.rooms.room_generator import draw_pose, draw_room
from echodepth.simulate.rooms.scene import Block, Pose, Room, corners_of
from echodepth.simulate.writer import write_room

ROOMS, POSES, RUNS = 12, 4, 5
EAR_OFFSET = 0.0875  # metres from the centre of the head
PACKAGES = ("numba", "numpy", "scipy", "pyroomacoustics")
# Corners of each face in the order of `corners_of`, counter-clockwise seen from outside the block.
FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def convert_material(material: Material) -> pra.Material:
    def banded(values: tuple[float, ...]) -> dict[str, object]:
        return {"coeffs": list(values), "center_freqs": list(OCTAVES)}

    return pra.Material(banded(material.absorption), banded(material.scattering))


def walls_of(block: Block, outwards: bool) -> list[pra.Wall]:
    corners = corners_of(block)
    order = 1 if outwards else -1
    return [
        pra.wall_factory(
            corners[:, list(face)[::order]],
            convert_material(material).energy_absorption["coeffs"],
            convert_material(material).scattering["coeffs"],
        )
        for face, material in zip(FACES, block.materials, strict=True)
    ]


def pyroomacoustics_responses(room: Room, pose: Pose) -> list[np.ndarray]:
    """Impulse responses at the positions of the two ears."""
    walls = walls_of(room.shell, outwards=True)
    for block in room.boxes:
        walls += walls_of(block, outwards=False)
    reference = pra.Room(walls, fs=SAMPLE_RATE, max_order=1, ray_tracing=True, air_absorption=True)
    seconds = LONGEST_PATH / Loudspeaker().speed_of_sound
    reference.set_ray_tracing(n_rays=RAYS, receiver_radius=0.4, time_thres=seconds, hist_bin_size=0.004)
    reference.add_source(pose.to_room(Loudspeaker().emitter))
    ears = [pose.to_room((0.0, offset, 0.0)) for offset in (EAR_OFFSET, -EAR_OFFSET)]
    reference.add_microphone_array(np.stack(ears, axis=1))
    reference.compute_rir()
    return [responses[0] for responses in reference.rir]


def furnished(config: SimulateConfig, number: int) -> tuple[Room, Pose]:
    """A room and its first pose, drawn as the writer draws them."""
    room = draw_room(np.random.default_rng([config.seed, number, 0]))
    return room, draw_pose(np.random.default_rng([config.seed, number, 1]), room)


def measure(image_size: int, scratch: Path) -> None:
    config = SimulateConfig(scratch, rooms=ROOMS, poses=POSES, image_size=image_size, workers=1)
    rooms = [list(members) for _, members in groupby(plan(config), key=lambda instance: instance.room)]
    turns = cycle(rooms)

    def write_all() -> None:
        for members in rooms:
            for instance in members:
                for kind in file_kinds(config):
                    instance.path(config.out, kind).unlink(missing_ok=True)
            write_room(config, members, {})

    def ours() -> float:
        return ROOMS * POSES / processor_seconds(write_all)

    def reference() -> float:
        several = [furnished(config, next(turns)[0].room) for _ in range(ROOMS)]
        return ROOMS / processor_seconds(lambda: [pyroomacoustics_responses(*each) for each in several])

    keep(f"simulate_{image_size}_throughput", in_turn(ours, reference, RUNS, "samples/s a core"), PACKAGES)


def main() -> None:
    for image_size in (128, 256):
        with tempfile.TemporaryDirectory() as scratch:
            measure(image_size, Path(scratch))


if __name__ == "__main__":
    main()

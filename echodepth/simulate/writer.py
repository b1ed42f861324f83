"""Writer of simulated sets in BatVision V2's format, which the reader of real recordings reads too.

ROOT/<location>/{train,val,test}.csv lie beside audio/, camera/ and depth/; a location holds about ten rooms. The split
is by room, not by frame. A sample depends on (seed, room, pose) alone and its files are written atomically, so that an
interrupted run can be resumed and gives the same bytes. The CSV files are written last: a set without them is
incomplete.
"""

import logging
import math
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed, parallel_config
from PIL import Image
from tqdm import tqdm

from echodepth.core.atomic_io import atomic_write, remove_unfinished
from echodepth.core.batvision_tables import V2_COLUMNS, table_row, write_table
from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import ConfigError
from echodepth.core.wav_writer import write_wav
from echodepth.core.workers import exit_with_parent
from echodepth.simulate.acoustics.propagation import propagate
from echodepth.simulate.acoustics.recording import record
from echodepth.simulate.acoustics.scattering import Patches, draw_patches
from echodepth.simulate.camera.depth_camera import measure_depth
from echodepth.simulate.camera.render import render
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.dataset_card import complete_card, create_or_verify_card, make_loudspeaker
from echodepth.simulate.plan import LISTED_KINDS, SPLITS, FileKind, Instance, Split, file_kinds, plan
from echodepth.simulate.rooms.room_generator import draw_pose, draw_room
from echodepth.simulate.rooms.scene import Room

_24_BITS = 2**23 - 1


def simulate(config: SimulateConfig) -> Path:
    """Simulate a set, or resume one that was interrupted.

    Args:
        config: settings of the set.

    Returns:
        The root, as ``--dataset simulated --data_dir`` takes it.

    Raises:
        ConfigError: a setting is out of range, the root holds other files, or the backend is not installed.
    """
    instances = plan(config)
    rooms = [list(members) for _, members in groupby(instances, key=lambda instance: instance.room)]
    _connect_backend(config)
    card = create_or_verify_card(config)
    room_kinds: dict[int, str] = {}
    with tqdm(total=len(instances), unit="sample", desc="simulate") as progress:
        for number, kind, count in _write_rooms(config, rooms):
            room_kinds[number] = kind
            progress.update(count)
    complete_card(config, card, instances, room_kinds)
    remove_unfinished(config.out)
    _write_tables(config, instances)
    return config.out


def _connect_backend(config: SimulateConfig) -> None:
    """Register Ray or Dask with joblib; an environment variable of theirs holds the cluster's address."""
    try:
        if config.backend == "ray":
            from ray.util.joblib import register_ray

            register_ray()
        elif config.backend == "dask":
            from distributed import Client

            logging.getLogger("distributed").setLevel(logging.WARNING)
            Client(set_as_default=True)
    except ImportError as error:
        package = "ray" if config.backend == "ray" else "distributed"
        raise ConfigError(
            f"--backend {config.backend} needs the package {package}: pip install {package}, or use --backend loky"
        ) from error
    except OSError as error:
        raise ConfigError(f"--backend {config.backend}: no scheduler answers: {error}") from error


def _write_rooms(config: SimulateConfig, rooms: list[list[Instance]]) -> Iterator[tuple[int, str, int]]:
    """Write all rooms and yield what `write_room` returns, in the order of completion."""
    # The first room is written by this process, so that the loops are compiled and cached once, not by every worker.
    first, *others = rooms
    yield write_room(config, first)
    if config.workers == 1 and config.backend == "loky":
        for room in others:
            yield write_room(config, room)
        return
    parent = os.getpid() if config.backend == "loky" else None
    # The working directory of a worker on another machine is a different one.
    absolute = replace(config, out=config.out.absolute())
    _ = absolute.robot  # read here and sent along: that machine may not have the file
    jobs = [delayed(_write_room_in_worker)(absolute, room, parent) for room in others]
    with parallel_config(config.backend, n_jobs=config.workers):
        if config.backend == "ray":
            # joblib supports no generator with Ray: short lists of jobs keep the progress bar moving.
            chunk = 4 * config.workers
            for start in range(0, len(jobs), chunk):
                yield from Parallel(batch_size=1)(jobs[start : start + chunk])
        else:
            yield from Parallel(return_as="generator_unordered", batch_size=1)(jobs)


def _write_room_in_worker(config: SimulateConfig, room: list[Instance], parent: int | None) -> tuple[int, str, int]:
    """Write a room in a worker process, which exits when its parent process has been killed."""
    if parent is not None:
        exit_with_parent(parent)
    return write_room(config, room)


def write_room(config: SimulateConfig, instances: list[Instance]) -> tuple[int, str, int]:
    """Simulate those recordings of one room whose files are missing.

    Args:
        config: settings of the set.
        instances: recordings of the room, all or some.

    Returns:
        The room's number, its kind, and the number of ``instances``.
    """
    number = instances[0].room
    # The third number of the seed is 0 for the room itself and pose + 1 for a recording.
    rng = np.random.default_rng([config.seed, number, 0])
    room = draw_room(rng)
    patches = None
    for instance in instances:
        if all(instance.path(config.out, kind).exists() for kind in file_kinds(config)):
            continue
        patches = patches or draw_patches(room, rng)
        _write_sample(config, instance, room, patches)
    return number, room.kind, len(instances)


def _write_sample(config: SimulateConfig, instance: Instance, room: Room, patches: Patches) -> None:
    rng = np.random.default_rng([config.seed, instance.room, instance.pose + 1])
    pose = draw_pose(rng, room, config.robot.height)
    camera = replace(pose, pitch=pose.pitch + math.radians(config.robot.pitch))
    view = render(room, camera, config.amount.image_size, rng)
    measured = measure_depth(view, config.depth_holes, rng)
    arrivals = propagate(room, patches, pose, make_loudspeaker(config), rng)
    recording = record(arrivals, rng, config.robot, config.speed_of_sound)
    # BatVision V2 stores 24-bit samples in the upper bits of 32-bit integers.
    samples = np.round(recording.T * _24_BITS).astype(np.int32) << 8
    write_wav(instance.path(config.out, "audio"), samples, SAMPLE_RATE, "PCM_32")
    with atomic_write(instance.path(config.out, "camera")) as unfinished:
        Image.fromarray(view.image).save(unfinished, format="JPEG", quality=92)
    depth_maps: dict[FileKind, np.ndarray] = {"depth": measured, "depth_exact": view.depth.astype(np.float32)}
    for kind, depth in depth_maps.items():
        if kind in file_kinds(config):
            with atomic_write(instance.path(config.out, kind)) as unfinished, unfinished.open("wb") as file:
                np.save(file, depth)


def _write_tables(config: SimulateConfig, instances: list[Instance]) -> None:
    tables: dict[str, dict[Split, list[Instance]]] = defaultdict(lambda: {split: [] for split in SPLITS})
    for instance in instances:
        tables[instance.location][instance.split].append(instance)
    for location, splits in sorted(tables.items()):
        for split, members in splits.items():
            write_table(
                config.out / location / f"{split}.csv", (_row(member, config.amount.poses) for member in members)
            )


def _row(instance: Instance, poses: int) -> dict[str, object]:
    index = instance.room * poses + instance.pose
    file_names: dict[str, str] = {kind: instance.file_name(kind) for kind in LISTED_KINDS}
    times = {column: f"{index}.0" for column in V2_COLUMNS if column.endswith("time")}
    return table_row(index, instance.location, file_names, times)

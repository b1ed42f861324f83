"""Write simulated rooms in BatVision V2's format, so that one reader serves simulated and real recordings.

ROOT/<location>/{train,val,test}.csv beside audio/, camera/ and depth/; a location holds about ten rooms. Rooms
are split, never frames. Samples depend on (seed, room, pose) alone and are written whole or not at all: a run that
was interrupted is run again and ends with the same bytes. The CSV files come last, so that a set without them is
known to be unfinished.
"""

import csv
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from threading import Thread

import numpy as np
import soundfile
from joblib import Parallel, delayed, parallel_config
from PIL import Image
from tqdm import tqdm

from echodepth.core.atomic_io import atomic_write, remove_unfinished
from echodepth.core.errors import ConfigError
from echodepth.simulate.acoustics.hrtf import SAMPLE_RATE
from echodepth.simulate.acoustics.propagation import arrivals
from echodepth.simulate.acoustics.recording import record
from echodepth.simulate.acoustics.scattering import Patches, draw_patches
from echodepth.simulate.camera.depth_camera import depth_as_measured
from echodepth.simulate.camera.render import render
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.dataset_card import claim, finish, rig_of
from echodepth.simulate.plan import Instance, Part, parts_of, plan
from echodepth.simulate.rooms.room_generator import draw_pose, draw_room
from echodepth.simulate.rooms.scene import Room

COLUMNS = (
    "index",
    "time",
    "left audio time",
    "right audio time",
    "audio path",
    "audio file name",
    "camera time",
    "camera path",
    "camera file name",
    "depth time",
    "depth path",
    "depth file name",
)
"""Of a BatVision V2 CSV file."""

_LISTED: tuple[Part, ...] = ("audio", "camera", "depth")
_24_BITS = 2**23 - 1


def simulate(config: SimulateConfig) -> Path:
    """Make a simulated set, or finish one that was interrupted.

    Args:
        config: what to make and where.

    Returns:
        The root, ready for ``--dataset simulated --data_dir``.

    Raises:
        ConfigError: a setting makes no sense, the root holds something else, or the backend is not installed.
    """
    instances = plan(config)
    rooms = [list(members) for _, members in groupby(instances, key=lambda instance: instance.room)]
    _join_cluster(config)
    card = claim(config)
    kinds: dict[int, str] = {}
    with tqdm(total=len(instances), unit="sample", desc="simulate") as progress:
        for number, kind, count in _made(config, rooms):
            kinds[number] = kind
            progress.update(count)
    finish(config, card, instances, kinds)
    remove_unfinished(config.out)
    _write_tables(config, instances)
    return config.out


def _join_cluster(config: SimulateConfig) -> None:
    """Make joblib know a cluster's engine; its address is where that engine's own variable points."""
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


def _made(config: SimulateConfig, rooms: list[list[Instance]]) -> Iterator[tuple[int, str, int]]:
    """Make rooms as they come: their number, their kind, and how many recordings each has."""
    # The first room is made here, so that its loops are compiled, and kept on disk, once and not by every worker.
    first, *others = rooms
    yield write_room(config, first)
    if config.workers == 1 and config.backend == "loky":
        for room in others:
            yield write_room(config, room)
        return
    parent = os.getpid() if config.backend == "loky" else None
    # A worker on another machine has another working directory.
    everywhere = replace(config, out=config.out.absolute())
    work = [delayed(_work)(everywhere, room, parent) for room in others]
    with parallel_config(config.backend, n_jobs=config.workers):
        if config.backend == "ray":
            # joblib takes results from Ray's engine in lists only: short ones, so that progress shows.
            at_a_time = 4 * config.workers
            for start in range(0, len(work), at_a_time):
                yield from Parallel(batch_size=1)(work[start : start + at_a_time])
        else:
            yield from Parallel(return_as="generator_unordered", batch_size=1)(work)


def _work(config: SimulateConfig, room: list[Instance], parent: int | None) -> tuple[int, str, int]:
    """Make a room in a worker, which ends when the process that it works for has been killed."""
    if parent is not None and parent not in _watched:
        _watched.add(parent)
        Thread(target=_end_with, args=(parent,), daemon=True).start()
    return write_room(config, room)


_watched: set[int] = set()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def write_room(config: SimulateConfig, instances: list[Instance]) -> tuple[int, str, int]:
    """Simulate the recordings of one room that are not there yet.

    Args:
        config: of the set.
        instances: some of the room's recordings, or all.

    Returns:
        The room's number, its kind, and how many recordings there are now.
    """
    number = instances[0].room
    # Numbers after the room's: 0 is the room itself, so poses count from 1.
    of_room = np.random.default_rng([config.seed, number, 0])
    room = draw_room(of_room)
    patches = None
    for instance in instances:
        if all(instance.path(config.out, part).exists() for part in parts_of(config)):
            continue
        patches = patches or draw_patches(room, of_room)
        _write_sample(config, instance, room, patches)
    return number, room.kind, len(instances)


def _write_sample(config: SimulateConfig, instance: Instance, room: Room, patches: Patches) -> None:
    rng = np.random.default_rng([config.seed, instance.room, instance.pose + 1])
    pose = draw_pose(rng, room)
    view = render(room, pose, config.amount.image_size, rng)
    measured = depth_as_measured(view, config.depth_holes, rng)
    sounds = arrivals(room, patches, pose, rig_of(config), rng)
    recording = record(sounds, rng, config.snr, config.speed_of_sound)
    # BatVision V2 stores 24 bits in the upper part of 32.
    samples = np.round(recording.T * _24_BITS).astype(np.int32) << 8
    with atomic_write(instance.path(config.out, "audio")) as unfinished:
        soundfile.write(str(unfinished), samples, SAMPLE_RATE, subtype="PCM_32", format="WAV")
    with atomic_write(instance.path(config.out, "camera")) as unfinished:
        Image.fromarray(view.image).save(unfinished, format="JPEG", quality=92)
    depth_maps: dict[Part, np.ndarray] = {"depth": measured, "depth_exact": view.depth.astype(np.float32)}
    for part, depth in depth_maps.items():
        if part in parts_of(config):
            with atomic_write(instance.path(config.out, part)) as unfinished, unfinished.open("wb") as file:
                np.save(file, depth)


def _write_tables(config: SimulateConfig, instances: list[Instance]) -> None:
    for location in sorted({instance.location for instance in instances}):
        for split in ("train", "val", "test"):
            mine = (i for i in instances if (i.location, i.split) == (location, split))
            path = config.out / location / f"{split}.csv"
            with atomic_write(path) as unfinished, unfinished.open("w", newline="") as file:
                table = csv.DictWriter(file, COLUMNS)
                table.writeheader()
                table.writerows(_row(instance, config.amount.poses) for instance in mine)


def _row(instance: Instance, poses: int) -> dict[str, object]:
    index = instance.room * poses + instance.pose
    row: dict[str, object] = {column: f"{index}.0" for column in COLUMNS if column.endswith("time")}
    row["index"] = index
    for part in _LISTED:
        row[f"{part} path"] = f"{instance.location}/{part}/"
        row[f"{part} file name"] = instance.file_name(part)
    return row

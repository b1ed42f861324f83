"""Writer of simulated sets in BatVision V2's format, which the reader of real recordings reads too.

ROOT/<location>/{train,val,test}.csv lie beside audio/, camera/ and depth/; a location holds about ten rooms. The split
is by room, not by frame. A sample depends on (seed, room, pose) alone and its files are written atomically, so that an
interrupted run can be resumed and gives the same bytes. ROOT/SHA256SUMS grows by the digests of every finished room: a
file that differs from its digest, or has none, is simulated again. The CSV files are written last: a set without them
is incomplete.
"""

import logging
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
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
from echodepth.core.integrity import append_sums, file_digest, read_sums, write_sums
from echodepth.core.wav_writer import write_wav
from echodepth.core.workers import worker_life
from echodepth.simulate.acoustics.propagation import propagate
from echodepth.simulate.acoustics.recording import record
from echodepth.simulate.acoustics.scattering import Patches, draw_patches
from echodepth.simulate.camera.depth_camera import measure_depth
from echodepth.simulate.camera.render import render
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.dataset_card import (
    CARD_NAME,
    complete_card,
    create_or_verify_card,
    make_loudspeaker,
    settings_line,
)
from echodepth.simulate.plan import LISTED_KINDS, SPLITS, FileKind, Instance, Split, file_kinds, plan
from echodepth.simulate.rig import Rig
from echodepth.simulate.rig_variation import varied_rig
from echodepth.simulate.rooms.room_generator import draw_pose, draw_room
from echodepth.simulate.rooms.scene import Room

log = logging.getLogger(__name__)
_24_BITS = 2**23 - 1


@dataclass(frozen=True)
class WrittenRoom:
    """A room whose recordings are complete.

    Attributes:
        number: of the room.
        kind: such as office.
        samples: number of its recordings.
        digests: SHA-256 by path relative to the root, of all its files.
        mended: those of the paths whose files were damaged.
    """

    number: int
    kind: str
    samples: int
    digests: dict[str, str]
    mended: list[str]


def simulate(config: SimulateConfig) -> Path:
    """Simulate a set, or resume one that was interrupted; damaged files of a complete one are written again.

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
    remove_unfinished(config.out)
    digests, room_kinds, mended = read_sums(config.out) or {}, dict[int, str](), list[str]()
    # Half a line of an interrupted run would spoil the next one.
    write_sums(config.out, digests, settings_line(config))
    with tqdm(total=len(instances), unit="sample", desc="simulate") as progress:
        for room in _write_rooms(config, rooms, digests):
            append_sums(config.out, room.digests)
            digests |= room.digests
            room_kinds[room.number] = room.kind
            mended += room.mended
            progress.update(room.samples)
    if mended:
        log.warning("%s: damaged and simulated again: %s", config.out, ", ".join(mended))
    complete_card(config, card, instances, room_kinds)
    tables = [CARD_NAME, *_write_tables(config, instances)]
    listed = [_relative(instance, kind) for instance in instances for kind in file_kinds(config)]
    own = {name: file_digest(config.out / name) or "" for name in tables}
    write_sums(config.out, {name: digests[name] for name in listed} | own, settings_line(config))
    return config.out


def _relative(instance: Instance, kind: FileKind) -> str:
    return instance.path(Path(), kind).as_posix()


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


def _write_rooms(
    config: SimulateConfig, rooms: list[list[Instance]], digests: Mapping[str, str]
) -> Iterator[WrittenRoom]:
    """Write all rooms and yield what `write_room` returns, in the order of completion."""

    def known(room: list[Instance]) -> dict[str, str]:
        paths = [_relative(instance, kind) for instance in room for kind in file_kinds(config)]
        return {path: digests[path] for path in paths if path in digests}

    # The first room is written by this process, so that the loops are compiled and cached once, not by every worker.
    first, *others = rooms
    yield write_room(config, first, known(first))
    if config.workers == 1 and config.backend == "loky":
        for room in others:
            yield write_room(config, room, known(room))
        return
    # The working directory of a worker on another machine is a different one.
    absolute = replace(config, out=config.out.absolute())
    _ = absolute.robot  # read here and sent along: that machine may not have the file
    jobs = [delayed(write_room)(absolute, room, known(room)) for room in others]
    with parallel_config(config.backend, n_jobs=config.workers):
        if config.backend == "ray":
            # joblib supports no generator with Ray: short lists of jobs keep the progress bar moving.
            chunk = 4 * config.workers
            for start in range(0, len(jobs), chunk):
                yield from Parallel(batch_size=1)(jobs[start : start + chunk])
        else:
            life = worker_life() if config.backend == "loky" else {}
            yield from Parallel(return_as="generator_unordered", batch_size=1, **life)(jobs)


def write_room(config: SimulateConfig, instances: list[Instance], digests: Mapping[str, str]) -> WrittenRoom:
    """Simulate those recordings of one room whose files are missing or damaged, and write these files.

    Args:
        config: settings of the set.
        instances: recordings of the room, all or some.
        digests: of files that were complete, by path relative to the root.
    """
    number = instances[0].room
    # The third number of the seed is 0 for the room itself and pose + 1 for a recording.
    rng = np.random.default_rng([config.seed, number, 0])
    room = draw_room(rng)
    rig = rig_of(config, number)
    patches: Patches | None = None
    found, mended = dict[str, str](), list[str]()
    for instance in instances:
        paths = {kind: _relative(instance, kind) for kind in file_kinds(config)}
        before = {kind: file_digest(config.out / path) for kind, path in paths.items()}
        lost = [kind for kind, path in paths.items() if before[kind] is None or before[kind] != digests.get(path)]
        if lost:
            patches = patches or draw_patches(room, rng)
            _write_sample(config, instance, room, rig, patches, lost)
            mended += [paths[kind] for kind in lost if before[kind] is not None and paths[kind] in digests]
        for kind, path in paths.items():
            found[path] = (file_digest(config.out / path) if kind in lost else before[kind]) or ""
    return WrittenRoom(number, room.kind, len(instances), found, mended)


def rig_of(config: SimulateConfig, room: int) -> Rig:
    """The robot in a room: the set's, or with ``--rig_variation`` one that is drawn for the room."""
    if not config.rig_variation:
        return config.robot
    return varied_rig(config.robot, config.rig_variation, np.random.default_rng([config.seed, room, 0, 1]))


def _write_sample(
    config: SimulateConfig, instance: Instance, room: Room, rig: Rig, patches: Patches, kinds: Collection[FileKind]
) -> None:
    rng = np.random.default_rng([config.seed, instance.room, instance.pose + 1])
    pose = draw_pose(rng, room, rig.height)
    camera = replace(pose, pitch=pose.pitch + math.radians(rig.pitch))
    view = render(room, camera, config.amount.image_size, rng)
    measured = measure_depth(view, config.depth_holes, rng)
    arrivals = propagate(room, patches, pose, make_loudspeaker(rig, config), rng)
    recording = record(arrivals, rng, rig, config.speed_of_sound)
    # BatVision V2 stores 24-bit samples in the upper bits of 32-bit integers.
    samples = np.round(recording.T * _24_BITS).astype(np.int32) << 8
    depth_maps: dict[FileKind, np.ndarray] = {"depth": measured, "depth_exact": view.depth.astype(np.float32)}
    for kind in kinds:
        if kind == "audio":
            write_wav(instance.path(config.out, kind), samples, SAMPLE_RATE, "PCM_32")
            continue
        with atomic_write(instance.path(config.out, kind)) as unfinished:
            if kind == "camera":
                Image.fromarray(view.image).save(unfinished, format="JPEG", quality=92)
            else:
                with unfinished.open("wb") as file:
                    np.save(file, depth_maps[kind])


def _write_tables(config: SimulateConfig, instances: list[Instance]) -> list[str]:
    """Write the tables of all locations and return their paths relative to the root."""
    tables: dict[str, dict[Split, list[Instance]]] = defaultdict(lambda: {split: [] for split in SPLITS})
    for instance in instances:
        tables[instance.location][instance.split].append(instance)
    written = []
    for location, splits in sorted(tables.items()):
        for split, members in splits.items():
            written.append(f"{location}/{split}.csv")
            write_table(config.out / written[-1], (_row(member, config.amount.poses) for member in members))
    return written


def _row(instance: Instance, poses: int) -> dict[str, object]:
    index = instance.room * poses + instance.pose
    file_names: dict[str, str] = {kind: instance.file_name(kind) for kind in LISTED_KINDS}
    times = {column: f"{index}.0" for column in V2_COLUMNS if column.endswith("time")}
    return table_row(index, instance.location, file_names, times)

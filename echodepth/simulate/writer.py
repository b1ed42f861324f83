"""Write simulated rooms in BatVision V2's format, so that one reader serves simulated and real recordings.

ROOT/<location>/{train,val,test}.csv beside audio/, camera/ and depth/; a location holds about ten rooms. Rooms
are split, never frames. Samples depend on (seed, room, pose) alone and are written whole or not at all: a run that
was interrupted is run again and ends with the same bytes. The CSV files come last, so that a set without them is
known to be unfinished.
"""

import csv
import json
import os
import platform
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Literal

import numpy as np
import PIL
import scipy
import soundfile
from PIL import Image
from scipy.signal import stft
from tqdm import tqdm

import echodepth
from echodepth.errors import ConfigError
from echodepth.files import written_whole
from echodepth.simulate.acoustics import Rig, draw_patches
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.hearing import SAMPLE_RATE, record
from echodepth.simulate.render import FIELD_OF_VIEW, depth_as_measured, render
from echodepth.simulate.scene import ROBOT_HEIGHT, draw_pose, draw_room

Split = Literal["train", "val", "test"]

VERSION = 1
"""Of the simulated world: a higher one makes other samples of the same seed."""

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

_SUFFIXES = {"audio": ".wav", "camera": ".jpeg", "depth": ".npy"}
_ROOMS_PER_LOCATION = 10
_CARD, _CONTACT_SHEET = "simulation.json", "contact_sheet.png"
_24_BITS = 2**23 - 1


@dataclass(frozen=True)
class Instance:
    """One recording to be made.

    Attributes:
        room: number of its room, from 0.
        pose: number of the place in that room, from 0.
        location: name of its folder.
        split: its room's split.
    """

    room: int
    pose: int
    location: str
    split: Split

    def file_name(self, part: str) -> str:
        """Name of its audio, camera or depth file."""
        return f"{part}_{self.room:04d}_{self.pose:03d}{_SUFFIXES[part]}"

    def path(self, root: Path, part: str) -> Path:
        """Where its audio, camera or depth file lies."""
        return root / self.location / part / self.file_name(part)


def plan(config: SimulateConfig) -> list[Instance]:
    """List all recordings of a set: each location has at least one room in every split.

    Raises:
        ConfigError: a setting makes no sense, or there are fewer rooms than splits.
    """
    _check(config)
    order = np.random.default_rng(config.seed).permutation(config.rooms)
    instances = []
    for number, rooms in enumerate(np.array_split(order, max(1, config.rooms // _ROOMS_PER_LOCATION))):
        val, test = max(1, round(0.1 * rooms.size)), max(1, round(0.2 * rooms.size))
        for place, room in enumerate(rooms):
            split: Split = "val" if place < val else "test" if place < val + test else "train"
            location = f"simulated_{number:02d}"
            instances += [Instance(int(room), pose, location, split) for pose in range(config.poses)]
    return sorted(instances, key=lambda instance: (instance.room, instance.pose))


def _check(config: SimulateConfig) -> None:
    if config.rooms < 3:
        raise ConfigError(f"rooms is {config.rooms}: train, val and test need a room each, so give at least 3")
    for name, least in (("poses", 1), ("workers", 1), ("image_size", 16), ("seed", 0)):
        if (value := getattr(config, name)) < least:
            raise ConfigError(f"{name} is {value}: it must be at least {least}")
    if not 0 <= config.depth_holes <= 5:
        raise ConfigError(f"depth_holes is {config.depth_holes}: give 0 (exact depth) to 5")
    if not 300 <= config.speed_of_sound <= 400:
        raise ConfigError(f"speed_of_sound is {config.speed_of_sound}: give metres per second, 300 to 400")


def simulate(config: SimulateConfig) -> Path:
    """Make a simulated set, or finish one that was interrupted.

    Args:
        config: what to make and where.

    Returns:
        The root, ready for ``--dataset batvisionv2 --data_dir``.

    Raises:
        ConfigError: a setting makes no sense, or the root holds something else.
    """
    instances = plan(config)
    card = _claim(config)
    make = partial(write_sample, config)
    if config.workers == 1:
        _follow(map(make, instances), len(instances))
    else:
        # Spawned, not forked: a fork of a process with threads (torch's, BLAS's) may hang.
        with ProcessPoolExecutor(config.workers, get_context("spawn"), initializer=_end_with_parent) as pool:
            _follow(pool.map(make, instances, chunksize=4), len(instances))
    _draw_contact_sheet(config, instances)
    with written_whole(config.out / _CARD) as unfinished:
        unfinished.write_text(json.dumps(card | _statistics(config, instances), indent=2) + "\n")
    _write_tables(config, instances)
    return config.out


def _end_with_parent() -> None:
    """Without this, the workers of a run that was killed would wait for work for ever."""

    def wait() -> None:
        if (parent := parent_process()) is not None:
            parent.join()
            os._exit(1)

    Thread(target=wait, daemon=True).start()


def _follow(made: Iterable[None], total: int) -> None:
    for _ in tqdm(made, total=total, unit="sample", desc="simulate"):
        pass


def write_sample(config: SimulateConfig, instance: Instance) -> None:
    """Simulate one recording and write its three files, unless all of them are there."""
    audio, camera, depth = (instance.path(config.out, part) for part in _SUFFIXES)
    if audio.exists() and camera.exists() and depth.exists():
        return
    # Numbers after the room's: 0 is the room itself, so poses count from 1.
    of_room = np.random.default_rng([config.seed, instance.room, 0])
    room = draw_room(of_room)
    patches = draw_patches(room, of_room)
    rng = np.random.default_rng([config.seed, instance.room, instance.pose + 1])
    pose = draw_pose(rng, room)
    image, exact = render(room, pose, config.image_size, rng)
    measured = depth_as_measured(exact, config.depth_holes, rng)
    sound = record(room, patches, pose, rng, config.snr, Rig(speed_of_sound=config.speed_of_sound))
    # BatVision V2 stores 24 bits in the upper part of 32.
    samples = np.round(sound.T * _24_BITS).astype(np.int32) << 8
    with written_whole(audio) as unfinished:
        soundfile.write(str(unfinished), samples, SAMPLE_RATE, subtype="PCM_32", format="WAV")
    with written_whole(camera) as unfinished:
        Image.fromarray(image).save(unfinished, format="JPEG", quality=92)
    with written_whole(depth) as unfinished, unfinished.open("wb") as file:
        np.save(file, measured)


def _settings(config: SimulateConfig) -> dict[str, object]:
    """What decides the samples' bytes."""
    settings = {name: value for name, value in asdict(config).items() if name not in ("out", "workers")}
    return {"simulator": VERSION, **settings}


def _claim(config: SimulateConfig) -> dict[str, object]:
    """Put a card with the settings into the root, or see that the card there has the same."""
    wanted = _settings(config)
    path = config.out / _CARD
    if path.exists():
        there = json.loads(path.read_text())["settings"]
        if changed := [name for name in wanted if there.get(name) != wanted[name]]:
            differences = ", ".join(f"{name} {there.get(name)} (asked for: {wanted[name]})" for name in changed)
            raise ConfigError(
                f"{config.out} was simulated with {differences}: give those settings again to finish it, "
                "another --out, or delete the folder"
            )
    elif config.out.exists() and any(config.out.iterdir()):
        raise ConfigError(f"{config.out} is not empty and holds no {_CARD}: give --out a new or empty folder")
    card: dict[str, object] = {
        "what": "Simulated binaural echoes, images and depth in BatVision V2's format",
        "settings": wanted,
        "conventions": {
            "field_of_view_degrees": FIELD_OF_VIEW,
            "robot_height_m": ROBOT_HEIGHT,
            "rig": asdict(Rig(speed_of_sound=config.speed_of_sound)),
        },
        "versions": {
            "echodepth": echodepth.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "pillow": PIL.__version__,
        },
    }
    if not path.exists():
        with written_whole(path) as unfinished:
            unfinished.write_text(json.dumps(card, indent=2) + "\n")
    return card


def _statistics(config: SimulateConfig, instances: list[Instance]) -> dict[str, object]:
    # Every fourth row and column: a large set's depth would not fit in memory.
    maps = [np.load(i.path(config.out, "depth"), mmap_mode="r")[::4, ::4].ravel() for i in instances]
    depth = np.concatenate(maps) / 1000
    low, median, high = np.percentile(depth[depth > 0], (5, 50, 95))
    return {
        "samples": dict(Counter(instance.split for instance in instances)),
        "depth": {
            "median_m": round(float(median), 3),
            "percentile_5_m": round(float(low), 3),
            "percentile_95_m": round(float(high), 3),
            "largest_m": round(float(depth.max()), 3),
            "invalid_share": round(float((depth == 0).mean()), 4),
        },
    }


def _write_tables(config: SimulateConfig, instances: list[Instance]) -> None:
    for location in sorted({instance.location for instance in instances}):
        for split in ("train", "val", "test"):
            mine = (i for i in instances if (i.location, i.split) == (location, split))
            path = config.out / location / f"{split}.csv"
            with written_whole(path) as unfinished, unfinished.open("w", newline="") as file:
                table = csv.DictWriter(file, COLUMNS)
                table.writeheader()
                table.writerows(_row(instance, config.poses) for instance in mine)


def _row(instance: Instance, poses: int) -> dict[str, object]:
    index = instance.room * poses + instance.pose
    row: dict[str, object] = {column: f"{index}.0" for column in COLUMNS if column.endswith("time")}
    row["index"] = index
    for part in _SUFFIXES:
        row[f"{part} path"] = f"{instance.location}/{part}/"
        row[f"{part} file name"] = instance.file_name(part)
    return row


def _draw_contact_sheet(config: SimulateConfig, instances: list[Instance], columns: int = 6) -> None:
    """Image, depth (grey where invalid) and left ear's spectrogram of a few samples, side by side."""
    from matplotlib.figure import Figure

    chosen = [instances[int(at)] for at in np.linspace(0, len(instances) - 1, min(columns, len(instances)))]
    figure = Figure(figsize=(2.3 * len(chosen) + 0.6, 7.2), layout="constrained")
    axes = figure.subplots(3, len(chosen), squeeze=False)
    for column, instance in zip(axes.T, chosen, strict=True):
        audio, camera, depth = (instance.path(config.out, part) for part in _SUFFIXES)
        column[0].imshow(Image.open(camera))
        column[0].set_title(f"room {instance.room}, pose {instance.pose} ({instance.split})", fontsize=9)
        metres = np.load(depth) / 1000
        column[1].set_facecolor("0.6")
        shown = column[1].imshow(np.where(metres > 0, metres, np.nan), cmap="magma_r", vmin=0)
        figure.colorbar(shown, ax=column[1], location="bottom", label="depth (m)", shrink=0.9)
        left = soundfile.read(str(audio))[0][:4410, 0]
        frequency, time, spectrum = stft(left, SAMPLE_RATE, nperseg=256, noverlap=224)
        level = 20 * np.log10(np.abs(spectrum) + 1e-6)
        column[2].pcolormesh(1000 * time, frequency / 1000, level, vmin=-95, vmax=-30, rasterized=True)
        column[2].set(xlabel="left ear, time (ms)", ylabel="kHz" if column is axes.T[0] else "")
        for cell in column[:2]:
            cell.set(xticks=[], yticks=[])
    with written_whole(config.out / _CONTACT_SHEET) as unfinished:
        figure.savefig(unfinished, format="png", dpi=110)

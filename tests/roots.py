"""Small datasets in the formats on disk, for the tests of the readers: V2, V1 and a TUM-like folder."""

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from echodepth.data.config import DataConfig

SPLITS = ("train", "val", "test")
V2_COLUMNS = (
    ",time,left audio time,right audio time,audio path,audio file name,"
    "camera time,camera path,camera file name,depth time,depth path,depth file name"
)
CHIRP = np.sin(np.pi * (20e3 - 20) / 0.003 * (np.arange(132) / 44100) ** 2)
"""BatVision's: 3 ms, linear up to 20 kHz."""


def v2(root: Path, **flags: object) -> DataConfig:
    return DataConfig(**{"data_dir": root, "image_size": 32, "max_depth": 10.0, **flags})  # type: ignore[arg-type]


def v1(root: Path, **flags: object) -> DataConfig:
    return v2(root, **{"dataset": "batvisionv1", "max_depth": None, **flags})


def recording(depth: float, seed: int, samples: int = 20_000, onset: int = 282) -> np.ndarray:
    """[samples, 2]: the direct sound, one echo from ``depth`` metres that the right ear hears later, and noise."""
    audio = np.random.default_rng(seed).normal(0, 1e-3, (samples, 2))
    echo = onset + round(2 * depth / 340 * 44100)
    for gain, ear, start in ((0.5, 0, onset), (0.5, 1, onset), (0.25, 0, echo), (0.25, 1, echo + 20)):
        audio[start : start + 132, ear] += gain * CHIRP
    return audio


def wall(depth: float, seed: int, height: int = 72, width: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """A wall that recedes to the right, in millimetres with a hole of 0, and a picture that darkens with depth."""
    metres = np.broadcast_to(depth * (1 + np.linspace(0, 0.5, width)), (height, width))
    picture = (255 / (1 + metres[..., None] * [0.2, 0.3, 0.4])).astype(np.uint8)
    millimetres = (1000 * metres).astype(np.uint16)
    top = int(np.random.default_rng(seed).integers(height // 2))
    millimetres[top : top + height // 8, : width // 4] = 0
    return millimetres, picture


def write_v2_root(
    root: Path, locations: Sequence[str] = ("Attic", "Salle_Chevalier"), rows: int = 2, splits: Sequence[str] = SPLITS
) -> Path:
    """A BatVision V2 root with ``rows`` instances per location and split, numbered through each location."""
    for place, location in enumerate(locations):
        for part in ("audio", "camera", "depth"):
            (root / location / part).mkdir(parents=True)
        for block, split in enumerate(splits):
            lines = [V2_COLUMNS]
            for number in range(block * rows, (block + 1) * rows):
                depth = 2.0 + place + 0.5 * number
                millimetres, picture = wall(depth, number)
                soundfile.write(
                    root / location / f"audio/audio_{number}.wav", recording(depth, number), 44100, subtype="PCM_32"
                )
                Image.fromarray(picture).save(root / location / f"camera/camera_{number}.jpeg", quality=95)
                np.save(root / location / f"depth/depth_{number}.npy", millimetres)
                lines.append(v2_row(location, number))
            (root / location / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return root


def v2_row(location: str, number: int) -> str:
    return (
        f"{number},0,0,0,{location}/audio/,audio_{number}.wav,0,{location}/camera/,camera_{number}.jpeg,"
        f"0,{location}/depth/,depth_{number}.npy"
    )


def write_real_v2_root(
    root: Path, real_data: Path, locations: Sequence[str] = ("Attic",), training_rows: int = 1
) -> Path:
    """The one genuine BatVision V2 instance, laid out as a root: every split of every location lists copies of it.

    The test split lists instance 47, the validation split 48, and the training split ``training_rows`` from 49 on.
    """
    sample = real_data / "batvision_v2_sample"
    numbers = {"test": [47], "val": [48], "train": list(range(49, 49 + training_rows))}
    for location in locations:
        for part, suffix in (("audio", ".wav"), ("camera", ".jpeg"), ("depth", ".npy")):
            (root / location / part).mkdir(parents=True)
            for number in itertools.chain(*numbers.values()):
                name = f"{part}_{number}{suffix}"
                shutil.copyfile(sample / f"{part}_47{suffix}", root / location / part / name)
        for split in SPLITS:
            rows = [v2_row(location, number) for number in numbers[split]]
            (root / location / f"{split}.csv").write_text("\n".join([V2_COLUMNS, *rows]) + "\n")
    return root


def write_v1_root(root: Path, days: Sequence[str] = ("2019-04-01", "2019-04-02"), rows: int = 2) -> Path:
    """A BatVision V1 root: int16 ears of 0.1 s; depth of floats with NaN, infinity and negatives in one corner."""
    for day in days:
        (root / day).mkdir(parents=True)
    for block, split in enumerate(SPLITS):
        lines = ["depth path,audio path left,audio path right,camera path left"]
        for day in days:
            for number in range(block * rows, (block + 1) * rows):
                millimetres, picture = wall(2.0, number)
                broken = millimetres.astype(np.float32)
                broken[-24:-16, -16:], broken[-16:-8, -16:], broken[-8:, -16:] = np.nan, np.inf, -7.0
                ears = np.round(32767 * recording(2.0, number, 4410, 970)).astype(np.int16)
                np.save(root / day / f"depth_{number}.npy", broken)
                np.save(root / day / f"left_{number}.npy", ears[:, 0])
                np.save(root / day / f"right_{number}.npy", ears[:, 1])
                Image.fromarray(picture).save(root / day / f"camera_{number}.png")
                names = (f"depth_{number}.npy", f"left_{number}.npy", f"right_{number}.npy", f"camera_{number}.png")
                lines.append(",".join(f"{day}/{name}" for name in names))
        (root / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return root


def write_rgbd_root(
    root: Path, frames: int = 20, depth_first: bool = False, folders: tuple[str, str] = ("rgb", "depth")
) -> Path:
    """A TUM-like folder; depth in 1/5000 m. ``folders`` are the picture's and the depth's, whatever comes first."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
    lines = ["# time file time file"]
    for number in range(frames):
        millimetres, picture = wall(1.0 + 0.1 * number, number)
        rgb, depth = (f"{folder}/{number:03}.png" for folder in folders)
        Image.fromarray(picture).save(root / rgb)
        Image.fromarray(5 * millimetres).save(root / depth)
        pair = [f"{number}.10 {rgb}", f"{number}.12 {depth}"]
        lines.append(" ".join(reversed(pair) if depth_first else pair))
    (root / "assoc.txt").write_text("\n".join(lines) + "\n")
    return root

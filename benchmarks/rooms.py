"""Datasets for benchmarks of loading, in the format of BatVision V2; their contents are random."""

import os
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from echodepth.core.batvision_tables import FILE_COLUMNS, table_row, write_table
from echodepth.core.constants import SAMPLE_RATE, V2_RECORDING_SAMPLES
from echodepth.data.config import DataConfig

HEIGHT, WIDTH = 720, 1280
_ONSET, _CHIRP = 200, 132  # samples


def write_rooms(root: Path, frames: int) -> Path:
    """Write a set of one location whose train and val splits hold the same rows.

    A frame is a 720x1280 depth map of 16 bits, a JPEG image, and a stereo recording of 32 bits.

    Args:
        root: folder of the set.
        frames: number of frames.
    """
    location, rng = root / "Hall", np.random.default_rng(0)
    for kind in FILE_COLUMNS:
        (location / kind).mkdir(parents=True)
    rows = []
    for number in range(frames):
        names = {"audio": f"audio_{number}.wav", "camera": f"camera_{number}.jpeg", "depth": f"depth_{number}.npy"}
        ramp = np.linspace(1000, 2000 + 20_000 * rng.uniform(), WIDTH) * np.linspace(1, 0.6, HEIGHT)[:, None]
        noisy = (ramp + 20 * rng.standard_normal(ramp.shape)).astype(np.uint16)
        np.save(location / "depth" / names["depth"], noisy)
        image = np.clip(ramp[..., None] / [90, 110, 130] + 4 * rng.standard_normal((*ramp.shape, 3)), 0, 255)
        Image.fromarray(image.astype(np.uint8)).save(location / "camera" / names["camera"], quality=90)
        audio = 1e-3 * rng.standard_normal((V2_RECORDING_SAMPLES, 2))
        audio[_ONSET : _ONSET + _CHIRP] += 0.5 * rng.standard_normal((_CHIRP, 2))
        tail = V2_RECORDING_SAMPLES - _ONSET
        audio[_ONSET:] += 0.05 * rng.standard_normal((tail, 2)) * np.exp(-np.arange(tail) / 4000)[:, None]
        soundfile.write(location / "audio" / names["audio"], audio, SAMPLE_RATE, subtype="PCM_32")
        rows.append(table_row(number, "Hall", names, {}))
    for split in ("train", "val"):
        write_table(location / f"{split}.csv", rows)
    return root


def write_many(root: Path, frames: int, per_location: int | None = None, originals: int = 16) -> DataConfig:
    """Write a training split of many tiny frames: hard links to a few files.

    Args:
        root: folder of the set.
        frames: number of frames.
        per_location: frames of a location; None puts all of them into one.
        originals: number of different files of each kind.

    Returns:
        Settings that read it: 32x32 pixels, 20 ms of audio.
    """
    rng = np.random.default_rng(0)
    root.mkdir(parents=True)
    suffixes = {"audio": ".wav", "camera": ".png", "depth": ".npy"}
    for original in range(originals):
        audio = 1e-3 * rng.standard_normal((2000, 2))
        audio[_ONSET : _ONSET + _CHIRP] += rng.uniform(-0.5, 0.5, (_CHIRP, 2))
        soundfile.write(root / f"{original}.wav", audio, SAMPLE_RATE, subtype="PCM_32")
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(root / f"{original}.png")
        np.save(root / f"{original}.npy", rng.integers(1000, 3000, (32, 32), dtype=np.uint16))
    per_location = per_location or frames
    for number, start in enumerate(range(0, frames, per_location)):
        location, rows = "Hall" if per_location == frames else f"Hall_{number:04d}", []
        for kind in suffixes:
            (root / location / kind).mkdir(parents=True)
        for frame in range(start, min(start + per_location, frames)):
            names = {kind: f"{kind}_{frame}{suffix}" for kind, suffix in suffixes.items()}
            for kind, suffix in suffixes.items():
                os.link(root / f"{frame % originals}{suffix}", root / location / kind / names[kind])
            rows.append(table_row(frame, location, names, {}))
        write_table(root / location / "train.csv", rows)
    return DataConfig(data_dir=root, image_size=32, audio_seconds=0.02)

"""Files of BatVision V2's sizes, for benchmarks of the loader; their contents are random."""

from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from echodepth.core.batvision_tables import FILE_COLUMNS, table_row, write_table
from echodepth.core.constants import SAMPLE_RATE, V2_RECORDING_SAMPLES

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

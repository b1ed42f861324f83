"""Files in the shape of BatVision V2's, for benchmarks of reading: what they hold does not matter, their sizes do."""

from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

HEIGHT, WIDTH, SAMPLES, RATE = 720, 1280, 20_000, 44_100
COLUMNS = "audio path,audio file name,camera path,camera file name,depth path,depth file name"


def write_rooms(root: Path, frames: int) -> Path:
    """A set of one location: 720x1280 depth of 16 bits, a JPEG picture, 32-bit stereo sound; train and val alike."""
    location, rng = root / "Hall", np.random.default_rng(0)
    rows = [COLUMNS]
    for part in ("audio", "camera", "depth"):
        (location / part).mkdir(parents=True)
    for number in range(frames):
        ramp = np.linspace(1000, 2000 + 20_000 * rng.uniform(), WIDTH) * np.linspace(1, 0.6, HEIGHT)[:, None]
        np.save(location / f"depth/depth_{number}.npy", (ramp + 20 * rng.standard_normal(ramp.shape)).astype(np.uint16))
        picture = np.clip(ramp[..., None] / [90, 110, 130] + 4 * rng.standard_normal((*ramp.shape, 3)), 0, 255)
        Image.fromarray(picture.astype(np.uint8)).save(location / f"camera/camera_{number}.jpeg", quality=90)
        sound = 1e-3 * rng.standard_normal((SAMPLES, 2))
        sound[200:332] += 0.5 * rng.standard_normal((132, 2))
        sound[200:] += (
            0.05 * rng.standard_normal((SAMPLES - 200, 2)) * np.exp(-np.arange(SAMPLES - 200) / 4000)[:, None]
        )
        soundfile.write(location / f"audio/audio_{number}.wav", sound, RATE, subtype="PCM_32")
        rows.append(f"Hall/audio,audio_{number}.wav,Hall/camera,camera_{number}.jpeg,Hall/depth,depth_{number}.npy")
    for split in ("train", "val"):
        (location / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return root

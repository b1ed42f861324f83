"""Make the example recordings in echodepth/examples from the simulator.

    python scripts/make_examples.py

Three rooms of a seed that no training set uses, in the default rig: a recording in 16 bits, as long as models need for
30 m, the image, and the exact depth in millimetres. Each has the name of its kind of room.
"""

import tempfile
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from echodepth.core.packaged import EXAMPLE_FOLDER
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.plan import plan
from echodepth.simulate.writer import simulate

SEED = 7716
NAMES = ("corridor", "hall", "office")
"""Names of the rooms 0, 1 and 2 of this seed."""
SAMPLES = 8192
"""Of 20,000 of a recording: the direct sound is near sample 282, and 7782 samples follow it."""


def write_examples(folder: Path) -> None:
    """Write ``<name>.wav``, ``<name>.jpg`` and ``<name>_depth.png`` of every room."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary) / "rooms"
        config = SimulateConfig(root, rooms=len(NAMES), poses=1, image_size=256, seed=SEED, workers=1, depth_holes=0.0)
        simulate(config)
        for name, instance in zip(NAMES, plan(config), strict=True):
            audio, rate = soundfile.read(instance.path(root, "audio"))
            soundfile.write(folder / f"{name}.wav", audio[:SAMPLES], rate, subtype="PCM_16")
            (folder / f"{name}.jpg").write_bytes(instance.path(root, "camera").read_bytes())
            Image.fromarray(np.load(instance.path(root, "depth"))).save(folder / f"{name}_depth.png", optimize=True)


if __name__ == "__main__":
    write_examples(EXAMPLE_FOLDER)

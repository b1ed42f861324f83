"""What the packaged model says of one genuine frame of BatVision V2: an anecdote, no measurement.

    python -m benchmarks.genuine_frame_model --frame data/batvisionv2 --data_dir data/echodepth_light

``--frame`` is a V2 root whose test split lists the frame, and ``--data_dir`` the rooms that the model was trained on,
whose mean depth map is the control.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from echodepth import DataConfig, load_model, open_dataset
from echodepth.core.packaged import DEFAULT_MODEL

SIDE = 128  # pixels of its maps
LEAST = 0.5  # metres, as in the protocol `valid`


def figures(prediction: np.ndarray, depth: np.ndarray) -> str:
    """RMSE, MAE, ABS REL and δ1 over valid pixels."""
    ratio = np.maximum(prediction / depth, depth / prediction)
    errors = prediction - depth
    return (
        f"RMSE {np.sqrt((errors**2).mean()):.3f} m, MAE {np.abs(errors).mean():.3f} m, "
        f"ABS REL {(np.abs(errors) / depth).mean():.3f}, δ1 {(ratio < 1.25).mean():.3f}"
    )


def mean_map(data_dir: Path) -> np.ndarray:
    """Mean over the training rooms of each pixel's known depth."""
    total, known = torch.zeros(SIDE, SIDE), torch.zeros(SIDE, SIDE)
    for sample in open_dataset(DataConfig("simulated", data_dir, image_size=SIDE), "train", ("depth",)):
        total += torch.where(sample["valid"][0], sample["depth"][0], 0.0)
        known += sample["valid"][0]
    return (total / known).numpy()


def main() -> None:
    """Print the model's figures, its expected error, and the control's figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frame", type=Path, required=True)
    parser.add_argument("--data_dir", type=Path, required=True)
    given = parser.parse_args()
    model = load_model(DEFAULT_MODEL)
    dataset = open_dataset(DataConfig("batvisionv2", given.frame, image_size=SIDE), "test")
    sample, recording = dataset[0], dataset.records[0].audio[0]
    depth = sample["depth"][0].numpy()
    scored = sample["valid"][0].numpy() & (depth >= LEAST)
    estimate = model.infer(recording)
    assert estimate.uncertainty is not None
    inside = np.abs(estimate.depth - depth)[scored] <= np.log(5) * estimate.uncertainty[scored]  # Laplace, 80 %
    print(f"model:   {figures(estimate.depth[scored], depth[scored])}")
    expected = f"{estimate.uncertainty[scored].mean():.3f} m"
    print(f"         expected MAE {expected}, {inside.mean():.0%} of the pixels within their 80 % interval")
    print(f"control: {figures(mean_map(given.data_dir)[scored], depth[scored])}")


if __name__ == "__main__":
    main()

"""The networks on one device: training, inference, the latency of one frame, and what the device reaches at most.

    python -m benchmarks.devices --device cuda

Writes docs/results/benchmarks-<device>.json, figure by figure, and takes five minutes on one GPU. ``python -m
benchmarks.report`` makes the tables of docs/devices.md from it. 256x256, 64 base channels. Inputs are random, and the
gates of the attention are open. Times are medians of runs that each wait for the device.

- ``ceiling``: TFLOP/s of a large convolution and a large matrix product.
- ``training``: frames/s of forward, L1, backward and AdamW; 16 frames in bf16 and channels-last, TF32, or float32.
- ``inference``: frames/s of the network alone, for 1 and 16 frames.
- ``latency``: from a recording or an image in memory to depth in memory, one frame, ``load_model(compile="latency")``
  against the plain model; on a CPU also with two threads and by ONNX Runtime and OpenVINO.
- ``attention``: error in each precision, against the same layer in double precision.
- ``determinism``: whether two trainings with ``--deterministic`` end bit-equal, and what their steps cost.
"""

import argparse
import os
from pathlib import Path

import torch

from benchmarks.devices.checks import attention, determinism
from benchmarks.devices.latency import latency
from benchmarks.devices.networks import ceiling, inference, training
from benchmarks.devices.run import BASE, BATCH, MODELS, SIZE, Run
from benchmarks.timing import KEPT

PARTS = {part.__name__: part for part in (ceiling, training, latency, inference, attention, determinism)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=480.0, help="time limit; later figures are left out")
    parser.add_argument("--out", type=Path, help="default: docs/results/benchmarks-<device>.json")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--base", type=int, default=BASE)
    given = parser.parse_args()
    device = torch.device(given.device)
    path = given.out or KEPT.with_name(f"benchmarks-{device.type}.json")
    # cuBLAS reads it when it starts: its own workspaces make sums depend on what else runs.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    batch = BATCH if device.type == "cuda" else 1
    run = Run(device, path, given.seconds, size=given.size, base=given.base, batch=batch)
    for name in MODELS.keys() - {*given.models}:
        del MODELS[name]
    for part in given.parts:
        PARTS[part](run)


if __name__ == "__main__":
    main()

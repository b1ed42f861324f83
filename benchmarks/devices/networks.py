"""What the device reaches at most, and what training and inference of the networks reach."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.devices.run import (
    MODELS,
    PRECISIONS,
    TRAINED_IN_ALL,
    Run,
    flop,
    input_shape,
    peak_megabytes,
    precision,
)
from echodepth.models.layers import DepthNet


def ceiling(run: Run) -> None:
    """The most that this device reaches."""
    side = 8192 if run.on_cuda else 2048
    maps = torch.randn(64 if run.on_cuda else 1, 256, 64, 64, device=run.device).to(memory_format=torch.channels_last)
    kernels = torch.randn(256, 256, 3, 3, device=run.device).to(memory_format=torch.channels_last)
    matrix = torch.randn(side, side, device=run.device)
    for name in PRECISIONS if run.on_cuda else ("fp32",):
        dtype = torch.bfloat16 if name == "bf16" else torch.float32
        m, k, a = maps.to(dtype), kernels.to(dtype), matrix.to(dtype)

        def rates(name: str = name, m: Tensor = m, k: Tensor = k, a: Tensor = a) -> dict[str, float]:
            with precision(name, run) if name != "bf16" else nullcontext():
                convolution = run.seconds_of(lambda: F.conv2d(m, k, padding=1))
                product = run.seconds_of(lambda: a @ a)
            operations = 2 * 9 * 256**2 * m.shape[0] * 64 * 64
            return {
                "convolution_tflops": operations / convolution / 1e12,
                "product_tflops": 2 * side**3 / product / 1e12,
            }

        run.keep("ceiling", name, rates)


def stepping(run: Run, network: DepthNet, kind: str) -> Callable[[], None]:
    """A training step on a batch that is on the device already."""
    torch.manual_seed(1)
    channels = 3 if network.modality == "image" else 2
    x = torch.rand(run.batch, channels, run.size, run.size, device=run.device)
    depth = 10 * torch.rand(run.batch, 1, run.size, run.size, device=run.device)
    network.train()
    if run.on_cuda:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = x.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, fused=run.on_cuda)

    def step() -> None:
        with precision(kind, run):
            loss = F.l1_loss(network(x).float(), depth)
            optimizer.zero_grad(set_to_none=True)
        with nullcontext() if kind == "bf16" else precision(kind, run):
            loss.backward()
        optimizer.step()

    return step


def training(run: Run) -> None:
    """Frames per second of training steps."""
    for name in MODELS:
        kinds = PRECISIONS if name in TRAINED_IN_ALL else PRECISIONS[:1]
        for kind in kinds if run.on_cuda else ("fp32",):
            torch.backends.cudnn.benchmark = run.on_cuda

            def frames(name: str = name, kind: str = kind) -> dict[str, float]:
                network = run.model(name).network
                operations = 3 * run.batch * flop(run, name)
                took, peak = peak_megabytes(run, lambda: run.seconds_of(stepping(run, network, kind)))
                return {"frames_per_second": run.batch / took, "tflops": operations / took / 1e12, "peak_mb": peak}

            run.keep("training", f"{name}, {kind}", frames)
    torch.backends.cudnn.benchmark = False


def inference(run: Run) -> None:
    """Frames per second of networks alone, and the share of arithmetic."""
    for name in MODELS:
        for kind in ("bf16", "fp32") if run.on_cuda else ("fp32",):
            for batch in (1, run.batch) if run.on_cuda else (1,):

                def frames(name: str = name, kind: str = kind, batch: int = batch) -> dict[str, float]:
                    network = run.model(name).network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
                    x = torch.rand(batch, *input_shape(run, network), device=run.device)
                    x = x.contiguous(memory_format=torch.channels_last)
                    operations = batch * flop(run, name)
                    with torch.inference_mode(), precision(kind, run):
                        took = run.seconds_of(partial(network, x), limit=1.0)
                    return {"frames_per_second": batch / took, "tflops": operations / took / 1e12}

                run.keep("inference", f"{name}, {kind}, {batch} frames", frames)

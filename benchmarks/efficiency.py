"""Arithmetic a second of the networks, against the most that this machine's convolutions and matrix products reach.

    python -m benchmarks.efficiency

``ratio`` is the share of the attainable rate that a network achieves at 256x256, batch 1, on one core: of one
inference, and of one training step (forward, L1, backward). Attainable is the faster of a large convolution (256 to
256 channels, 3x3, 64x64) and a large matrix product (2048 cubed), measured in turn with the network. Floating-point
operations are those that torch counts as they run, so attention's second computation in the backward pass counts too.

What limits a network is what is not convolution with many channels. At full resolution the first and last levels have
few channels, so that memory, not arithmetic, sets their pace: each value read is used for few products there. Norms,
ReLUs, pooling, upsampling and concatenation read and write whole feature maps and hardly compute. Softmax over the
attention's matrix, 268 million exponentials a direction at level 2, counts for nothing here and takes its time. In
training the backward pass keeps and reads all of these maps again.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import conv2d, l1_loss
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import in_turn, keep, processor_seconds
from echodepth.models.layers import DepthNet
from echodepth.models.networks.binaural_attention import create_binaural_attention_model
from echodepth.models.networks.rgb_depth import create_rgb_depth_model

SIZE, BASE, THREADS, RUNS = 256, 64, 1, 3
PACKAGES = ("torch",)


def flop(work: Callable[[], object]) -> float:
    """Floating-point operations of doing it once; a multiplication and its addition are two."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def attainable() -> float:
    """GFLOP/s of the faster of a large convolution and a large matrix product."""
    maps, kernels = torch.rand(1, 256, 64, 64), torch.rand(256, 256, 3, 3)
    matrix = torch.rand(2048, 2048)
    with torch.inference_mode():
        works: list[tuple[Callable[[], Tensor], int]] = [
            (lambda: conv2d(maps, kernels, padding=1), 2 * 256 * 256 * 9 * 64 * 64),
            (lambda: matrix @ matrix, 2 * 2048**3),
        ]
        # The better of three: this is what the machine can do, not what it does on average.
        return max(operations / processor_seconds(work) / 1e9 for work, operations in works for _ in range(3))


def inference(network: DepthNet, x: Tensor) -> None:
    with torch.inference_mode():
        network.eval()(x)


def training_step(network: DepthNet, x: Tensor) -> None:
    network.train().zero_grad()
    l1_loss(network(x), torch.ones(1, 1, SIZE, SIZE)).backward()


def measure(name: str, network: DepthNet, channels: int) -> None:
    x = torch.rand(1, channels, SIZE, SIZE)
    for mode, step in (("inference", inference), ("train", training_step)):
        operations = flop(lambda step=step: step(network, x))  # type: ignore[misc]

        def achieved(step: Callable[[DepthNet, Tensor], None] = step, operations: float = operations) -> float:
            return operations / processor_seconds(lambda: step(network, x)) / 1e9

        keep(f"efficiency_{name}_{mode}", in_turn(achieved, attainable, RUNS, "GFLOP/s"), PACKAGES)


def main() -> None:
    torch.set_num_threads(THREADS)
    measure("rgb", create_rgb_depth_model(BASE), 3)
    measure("binaural", create_binaural_attention_model(BASE), 2)


if __name__ == "__main__":
    main()

"""How long the light student takes for a depth map, against the standard student and BatVision's U-Net.

    python -m benchmarks.light

Inference at 256x256, batch 1, 64 base channels, each network with the attention that it has by default. What the light
student loses in accuracy is measured by ``echodepth experiment light``.

``inference_light`` is the time against the standard student, both in plain PyTorch. ``inference_light_unet`` is the
time against the U-Net, both as ``predict`` runs them: with fused batch norms and channels last; ``..._plain`` both in
plain PyTorch. One thread, in processor time; ``..._two_threads`` is the wait with two threads, which is left out unless
the machine is idle. ``light_operations`` counts the operations that one frame starts, views excluded. On a GPU each is
at least one kernel, and starting them takes longer than computing them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.timing import Outcome, in_turn, is_idle, keep, processor_seconds, wall_seconds
from echodepth.models.conv_bn_fusion import fused_copy
from echodepth.models.layers import DepthNet
from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet
from echodepth.models.networks.light_binaural import LightBinauralDepthNet
from echodepth.models.networks.unet_baseline import UNetBaseline

SIZE, RUNS = 256, 5
_NO_KERNEL = ("empty", "new_empty", "_unsafe_view")


class _OperationCounter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not (function.is_view or function.overloadpacket.__name__ in _NO_KERNEL)
        return function(*args, **(kwargs or {}))


@torch.inference_mode()
def count_operations(network: nn.Module, x: Tensor) -> int:
    """Operations that a forward pass starts, without views and allocations."""
    counter = _OperationCounter()
    with counter:
        network(x)
    return counter.count


@torch.inference_mode()
def infer(network: DepthNet, x: Tensor, clock: Callable[[Callable[[], object]], float]) -> float:
    return clock(partial(network, x))


def main() -> None:
    idle = is_idle()  # before this process adds to the load
    plain = torch.rand(1, 2, SIZE, SIZE)
    light, standard, unet = (make().eval() for make in (LightBinauralDepthNet, BinauralAttentionDepthNet, UNetBaseline))

    def compare(name: str, ours: DepthNet, other: DepthNet, x: Tensor, two_threads: bool = False) -> None:
        clock, unit = (wall_seconds, "s") if two_threads else (processor_seconds, "processor s")
        torch.set_num_threads(2 if two_threads else 1)
        keep(name, in_turn(partial(infer, ours, x, clock), partial(infer, other, x, clock), RUNS, unit), ("torch",))

    compare("inference_light_time", light, standard, plain)
    compare("inference_light_unet_plain_time", light, unet, plain)
    fused = fused_copy(light), fused_copy(unet)
    channels_last = plain.contiguous(memory_format=torch.channels_last)
    compare("inference_light_unet_time", *fused, channels_last)
    if idle:
        compare("inference_light_unet_two_threads_time", *fused, channels_last, two_threads=True)
    for suffix, networks in (("", fused), ("_plain", (light, unet))):
        counts = [count_operations(network, plain) for network in networks]
        keep(f"light_operations{suffix}", Outcome(counts[0], counts[1], "operations", 1), ("torch",))


if __name__ == "__main__":
    main()

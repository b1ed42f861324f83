"""A training step and an answer of our networks, against the U-Net that BatVision's authors compare with.

    python -m benchmarks.baseline

256x256, batch 1, one thread, each network with its defaults and the baseline as published (64 first channels, 54.4 M
parameters). A step is forward, L1, backward, AdamW.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F

from benchmarks.timing import Outcome, keep, medians, processor_seconds
from echodepth.models.layers import DepthNet
from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet
from echodepth.models.networks.light_binaural import LightBinauralDepthNet
from echodepth.models.networks.unet_baseline import UNetBaseline

SIZE, RUNS = 256, 3
NETWORKS: dict[str, Callable[[], DepthNet]] = {
    "baseline": UNetBaseline,
    "student": BinauralAttentionDepthNet,
    "light": LightBinauralDepthNet,
}


def stepping(network: DepthNet) -> Callable[[], float]:
    optimizer = torch.optim.AdamW(network.train().parameters(), lr=1e-4)
    heard, depth = torch.rand(1, 2, SIZE, SIZE), 10 * torch.rand(1, 1, SIZE, SIZE)

    def step() -> None:
        optimizer.zero_grad()
        F.l1_loss(network(heard), depth).backward()
        optimizer.step()

    return lambda: processor_seconds(step)


def answering(network: DepthNet) -> Callable[[], float]:
    heard = torch.rand(1, 2, SIZE, SIZE)
    network.eval()

    @torch.inference_mode()
    def answer() -> None:
        network(heard)

    return lambda: processor_seconds(answer)


def main() -> None:
    torch.set_num_threads(1)
    for what, doing in (("inference", answering), ("step", stepping)):
        took = medians({name: doing(make()) for name, make in NETWORKS.items()}, RUNS)
        for name in [name for name in NETWORKS if name != "baseline"]:
            outcome = Outcome(took[name], took["baseline"], "processor s", RUNS)
            keep(f"baseline_{what}_{name}_time", outcome, ("torch",))


if __name__ == "__main__":
    main()

"""How long the light student takes for a depth map, against the standard student of the same width.

    python -m benchmarks.light

Inference at 256x256, batch 1, one thread, 64 base channels, each with the attention that it has by default. What the
light student loses in accuracy is told by ``echodepth benchmark light``.
"""

from functools import partial

import torch

from benchmarks.timing import in_turn, keep, processor_seconds
from echodepth.models.layers import DepthNet
from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet
from echodepth.models.networks.light_binaural import LightBinauralDepthNet

SIZE, RUNS = 256, 5


def main() -> None:
    torch.set_num_threads(1)
    spectrograms = torch.rand(1, 2, SIZE, SIZE)

    @torch.inference_mode()
    def hear(network: DepthNet) -> float:
        return processor_seconds(partial(network, spectrograms))

    light, standard = LightBinauralDepthNet().eval(), BinauralAttentionDepthNet().eval()
    keep(
        "inference_light_time", in_turn(partial(hear, light), partial(hear, standard), RUNS, "processor s"), ("torch",)
    )


if __name__ == "__main__":
    main()

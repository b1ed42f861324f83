"""What each way to compute a training step costs, against the plain step.

    python -m benchmarks.training

The student with 16 base channels and attention at levels 3 to 5, 128x128, batches of 8, one thread: forward, L1,
backward. Memory is not compared: tests/test_ways_to_compute.py shows that recomputed activations are not kept.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch

from benchmarks.timing import Outcome, keep, medians, processor_seconds
from echodepth.models.layers import Prediction
from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet

SIZE, BATCH, RUNS = 128, 8, 5


def stepping(
    channels_last: bool = False, compiled: bool = False, recomputed: bool = False, half: bool = False
) -> Callable[[], float]:
    """A function that takes one step and returns its seconds."""
    torch.manual_seed(0)
    network = BinauralAttentionDepthNet(16, output_size=SIZE, attention_levels=(3, 4, 5)).train()
    spectrograms, depth = torch.rand(BATCH, 2, SIZE, SIZE), 10 * torch.rand(BATCH, 1, SIZE, SIZE)
    if channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        spectrograms = spectrograms.contiguous(memory_format=torch.channels_last)
    if recomputed:
        network.use_activation_checkpointing()
    predict: Callable[[torch.Tensor], Prediction] = torch.compile(network.predict) if compiled else network.predict

    def step() -> None:
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
            predicted = predict(spectrograms).depth
        (predicted.float() - depth).abs().mean().backward()

    return lambda: processor_seconds(step)


def main() -> None:
    torch.set_num_threads(1)
    ways = {
        "plain": stepping(),
        "channels_last": stepping(channels_last=True),
        "compiled": stepping(compiled=True),
        "recomputed": stepping(recomputed=True),
        "bf16": stepping(half=True),
    }
    took = medians(ways, RUNS, warm_up=2)
    for name in [name for name in ways if name != "plain"]:
        keep(f"train_step_{name}_time", Outcome(took[name], took["plain"], "processor s", RUNS), ("torch",))


if __name__ == "__main__":
    main()

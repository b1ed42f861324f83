"""Weights and inputs given by formulas, and the folder of the predictions that were recorded with them."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

DATA = Path(__file__).parent / "data"


@torch.no_grad()
def fill(module: nn.Module) -> None:
    """Set all weights and statistics from numpy's frozen ``RandomState``, seeded by their order in the state dict."""
    for number, (name, tensor) in enumerate(module.state_dict().items()):
        if not tensor.is_floating_point():
            continue
        drawn = torch.from_numpy(np.random.RandomState(number).standard_normal(tuple(tensor.shape)))
        if name.endswith("running_var"):
            drawn = 1 + 0.5 * drawn.tanh()
        elif tensor.ndim > 1:
            drawn = drawn * (2 / tensor[0].numel()) ** 0.5
        elif name.endswith(".weight"):
            drawn = 1 + 0.3 * drawn
        else:
            drawn = 0.3 * drawn
        tensor.copy_(drawn)


def example_image(channels: int, side: int = 32) -> Tensor:
    """[1, channels, side, side] in 0..1."""
    n = torch.arange(channels * side * side, dtype=torch.float64)
    return (0.5 + 0.5 * torch.sin(0.013 * n) * torch.cos(0.0007 * n)).float().view(1, channels, side, side)


def example_waveform() -> Tensor:
    """[1, 2, 3000]: a decaying chirp that reaches the right ear nine samples later and weaker."""
    t = torch.arange(3000, dtype=torch.float64)
    left = torch.sin(0.05 * t * (1 + t / 3000)) * torch.exp(-t / 700)
    right = 0.7 * torch.sin(0.05 * (t - 9) * (1 + t / 3000)) * torch.exp(-t / 600)
    return torch.stack([left, right]).float()[None]


def assert_golden(found: Tensor, expected: np.ndarray) -> None:
    """Equal up to rounding: convolutions of another processor may sum in another order."""
    torch.testing.assert_close(found, torch.from_numpy(expected), rtol=1e-5, atol=1e-5)

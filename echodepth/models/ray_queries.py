"""Ray queries: directions of the image that attend to the times of the echoes."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.models.resampling import resample, upsample

TOKENS = 64
"""Times that the queries attend to."""
GRID = 16
"""Rows and columns of the queries."""
WIDTH = 64
HEADS = 4


class RayQueries(nn.Module):
    """A learned query for each of 16x16 directions attends to 64 times, each a mean over all frequencies.

    The result is added to a map from zero: an untrained network is as without it.

    Args:
        in_channels: of the map with the times.
        out_channels: of the map that the result is added to.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.token = nn.Linear(in_channels, WIDTH)
        self.query = nn.Parameter(0.1 * torch.randn(1, GRID * GRID, WIDTH))
        self.position = nn.Parameter(0.1 * torch.randn(1, TOKENS, WIDTH))
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.token_norm, self.norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))
        self.project = nn.Conv2d(WIDTH, out_channels, 1)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(torch.as_tensor(self.project.bias))

    def forward(self, x: Float[Tensor, "b c f t"], size: tuple[int, int]) -> Float[Tensor, "b out h w"]:
        """What the directions hear, at the size of the map that it is added to."""
        times = resample(x.mean(dim=2, keepdim=True), (1, TOKENS))[:, :, 0].mT
        tokens = self.token_norm(self.token(times) + self.position)
        query = self.query.expand(len(x), -1, -1)
        heard = query + self.attention(query, tokens, tokens, need_weights=False)[0]
        heard = heard + self.mlp(self.norm(heard))
        return upsample(self.project(heard.mT.unflatten(2, (GRID, GRID))), size, align_corners=False)

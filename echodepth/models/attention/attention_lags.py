"""Cross-attention weights by time lag between the ears.

An echo reaches both ears within a millisecond, so attention that compares the ears has its weight near lag 0. Uniform
attention also does, because short lags have more pairs of columns: of T columns, T pairs have lag 0 and one has lag
T - 1. Weights are therefore compared with those of uniform attention.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.models.attention.cross_attention import CrossAttention
from echodepth.models.layers import DepthNet, Prediction

MAX_LAG = 0.5
"""Longest lag that is reported, as a fraction of the columns. Longer ones have few pairs of columns."""
QUERY_COLUMNS = 32
"""Evenly spaced columns of queries that are evaluated of a wider map. At level 1 each takes 67 MB for one frame."""


@torch.no_grad()
def lag_weights(
    attention: CrossAttention, query_map: Float[Tensor, "b c f t"], context_map: Float[Tensor, "b c f t"]
) -> Float[Tensor, "2 lags"]:
    """Attention weight by lag in columns, from -(T - 1) to T - 1: the key's column minus the query's column.

    Args:
        attention: from one ear to the other.
        query_map: of the ear that attends.
        context_map: of the other ear.

    Returns:
        Means over frames, frequencies and times of the query: in the first row of the attention weights, in the second
        row of uniform weights. Each row sums to 1. Float64.
    """
    rows, columns = query_map.shape[2:]
    weights = torch.zeros(2, 2 * columns - 1, dtype=torch.float64)
    query_columns = torch.linspace(0, columns - 1, min(columns, QUERY_COLUMNS)).round().int().tolist()
    for column in query_columns:
        attended = attention.attention_weights(query_map, context_map, column).sum(dim=(0, 1, 2))  # [T]
        attended = (attended / (len(query_map) * rows)).cpu().double()
        uniform = torch.full_like(attended, 1 / columns)
        weights[:, columns - 1 - column : 2 * columns - 1 - column] += torch.stack([attended, uniform])
    return weights / len(query_columns)


def predict_with_lags(
    network: DepthNet, prepared: Float[Tensor, "b c h w"]
) -> tuple[Prediction, dict[str, Float[Tensor, "2 _"]]]:
    """A prediction, and the ``lag_weights`` of its attention from the left ear to the right ear.

    Args:
        network: any network.
        prepared: its input, from the front end.

    Returns:
        The prediction, and the weights by level (``x2`` and so on, the finest first), empty without attention.
    """
    layers = getattr(network, "left_to_right", None)
    if not isinstance(layers, nn.ModuleDict):
        return network.predict(prepared), {}
    with _recorded_inputs(layers) as inputs:
        prediction = network.predict(prepared)
    return prediction, {level: lag_weights(*each) for level, each in sorted(inputs.items())}


def relative_attention(weights: Float[Tensor, "2 lags"]) -> list[tuple[int, float]]:
    """Pairs of a lag in columns and the ratio of its attention weight to that of uniform attention.

    Args:
        weights: of ``lag_weights``; lags beyond ``MAX_LAG`` are left out.
    """
    middle = weights.shape[1] // 2
    longest = int(MAX_LAG * (middle + 1))
    return [(lag, float(weights[0, middle + lag] / weights[1, middle + lag])) for lag in range(-longest, longest + 1)]


def weight_near_zero(weights: Float[Tensor, "2 lags"], lag: int = 1) -> tuple[float, float]:
    """Weight within ``lag`` columns of lag 0, of the attention and of uniform attention; each in 0..1."""
    middle = weights.shape[1] // 2
    attended, uniform = weights[:, max(0, middle - lag) : middle + lag + 1].sum(dim=1).tolist()
    return attended, uniform


@contextmanager
def _recorded_inputs(layers: nn.ModuleDict) -> Iterator[dict[str, tuple[CrossAttention, Tensor, Tensor]]]:
    """The attention layers by level, with the inputs of their latest call."""
    inputs: dict[str, tuple[CrossAttention, Tensor, Tensor]] = {}

    def record(level: str, layer: nn.Module, maps: tuple[Tensor, Tensor]) -> None:
        assert isinstance(layer, CrossAttention)
        inputs[level] = (layer, *maps)

    hooks = [
        layer.register_forward_pre_hook(lambda layer, maps, level=level: record(level, layer, maps))
        for level, layer in layers.items()
    ]
    try:
        yield inputs
    finally:
        for hook in hooks:
            hook.remove()

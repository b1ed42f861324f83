"""How much later, or earlier, one ear looks in the other: its attention's weight against the lag in time.

The same echo reaches both ears within a millisecond, so an ear that has learnt to compare looks near lag 0. But so does
one that looks everywhere alike, since from most columns near ones can be seen and far ones cannot: of T columns, T
pairs have lag 0 and one has lag T - 1. So the weights are told beside those of such an ear.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.models.attention.cross_attention import CrossAttention
from echodepth.models.layers import DepthNet, Prediction

SHOWN = 0.5
"""Lags that are told, as a share of the columns: at longer ones few pairs of columns are left."""
QUERY_COLUMNS = 32
"""Columns from which is looked, evenly spread, where a map has more: at level 1 a look from one takes 67 MB a frame."""


@torch.no_grad()
def lag_weights(
    attention: CrossAttention, own: Float[Tensor, "b c f t"], other: Float[Tensor, "b c f t"]
) -> Float[Tensor, "2 lags"]:
    """Weights by lag, in columns from -(T - 1) to T - 1: that of a key's column minus that of the query's.

    Args:
        attention: of one ear to the other.
        own: the ear that looks.
        other: the ear that is looked in.

    Returns:
        The mean over frames, frequencies and times of the query, first of the weights, then of equal ones within
        reach; each sums to 1. Float64.
    """
    rows, columns = own.shape[2:]
    weights = torch.zeros(2, 2 * columns - 1, dtype=torch.float64)
    places = torch.linspace(0, columns - 1, min(columns, QUERY_COLUMNS)).round().int().tolist()
    for column in places:
        looked = attention.look(own, other, column).sum(dim=(0, 1, 2)) / (len(own) * rows)  # [T]
        within = attention.reach(column, rows, rows, columns).double()
        alike = (within / within.sum(dim=(1, 2), keepdim=True)).mean(dim=0).sum(dim=0)  # [T]
        weights[:, columns - 1 - column : 2 * columns - 1 - column] += torch.stack([looked.cpu().double(), alike])
    return weights / len(places)


def predict_with_lags(
    network: DepthNet, prepared: Float[Tensor, "b c h w"]
) -> tuple[Prediction, dict[str, Float[Tensor, "2 _"]]]:
    """A prediction, and at which lags the left ear looked in the right one for it; see ``lag_weights``.

    Args:
        network: of any kind; in one without attention nobody looks.
        prepared: what it takes, from its front end.

    Returns:
        The prediction, and weights by lag of each level with attention, ``x2`` and so on from the finest.
    """
    layers = getattr(network, "left_to_right", None)
    if not isinstance(layers, nn.ModuleDict):
        return network.predict(prepared), {}
    with _given(layers) as given:
        prediction = network.predict(prepared)
    return prediction, {level: lag_weights(*each) for level, each in sorted(given.items())}


def preference(weights: Float[Tensor, "2 lags"]) -> list[tuple[int, float]]:
    """For each lag in columns, how many times as often it is looked at as by looking everywhere alike.

    Args:
        weights: of ``lag_weights``; lags out of reach and beyond ``SHOWN`` are left out.
    """
    middle = weights.shape[1] // 2
    reach = int(SHOWN * (middle + 1))
    return [
        (lag, float(weights[0, middle + lag] / weights[1, middle + lag]))
        for lag in range(-reach, reach + 1)
        if weights[1, middle + lag] > 0
    ]


def near_weights(weights: Float[Tensor, "2 lags"], lag: int = 1) -> tuple[float, float]:
    """The weight within so many columns to either side of lag 0, and that of looking everywhere alike; 0..1."""
    middle = weights.shape[1] // 2
    looked, alike = weights[:, max(0, middle - lag) : middle + lag + 1].sum(dim=1).tolist()
    return looked, alike


@contextmanager
def _given(layers: nn.ModuleDict) -> Iterator[dict[str, tuple[CrossAttention, Tensor, Tensor]]]:
    """What each layer of attention is given meanwhile, by level."""
    given: dict[str, tuple[CrossAttention, Tensor, Tensor]] = {}

    def keep(level: str, layer: nn.Module, ears: tuple[Tensor, Tensor]) -> None:
        assert isinstance(layer, CrossAttention)
        given[level] = (layer, *ears)

    hooks = [
        layer.register_forward_pre_hook(lambda layer, ears, level=level: keep(level, layer, ears))
        for level, layer in layers.items()
    ]
    try:
        yield given
    finally:
        for hook in hooks:
            hook.remove()

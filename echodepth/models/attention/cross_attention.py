"""How one ear looks across at the other: four forms, that differ in which places a place may look at.

Rows of a map are frequencies, columns are times, the same for both ears.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from echodepth.models.attention.local_attention import attend_band, attend_time, band, pool, pooling
from echodepth.models.attention.memory_efficient_attention import attention


class CrossAttention(nn.Module):
    """One ear's map, enriched with what matches it anywhere in the other ear's map.

    Queries and keys are an eighth as wide as the values (SAGAN, arXiv 1805.08318), and the result joins through
    a gate that starts at zero, so that an untrained network is two plain encoders. Every form has these same weights.

    Args:
        channels: of both maps.
    """

    order, order_back = (0, 3, 2, 1), (0, 3, 2, 1)
    """A map's axes [B,C,F,T] while it is attended to, and back: columns one after the other, channels last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = max(channels // 8, 4)
        self.query = nn.Conv2d(channels, width, 1)
        self.key = nn.Conv2d(channels, width, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gate = nn.Parameter(torch.zeros(1))

    def forward(self, own: Float[Tensor, "b c f t"], other: Float[Tensor, "b c f2 t2"]) -> Float[Tensor, "b c f t"]:
        """Add to ``own`` what it finds in ``other``."""
        # Matrix products are slow on transposed views, and 1x1 convolutions slower than products.
        asking, asked = (x.permute(self.order).contiguous() for x in (own, other))
        query, key, value = _linear(self.query, asking), _linear(self.key, asked), _linear(self.value, asked)
        return own + self.gate * self.attend(query, key, value).permute(self.order_back)

    def attend(
        self, query: Float[Tensor, "b t f d"], key: Float[Tensor, "b t2 f2 d"], value: Float[Tensor, "b t2 f2 c"]
    ) -> Float[Tensor, "b t f c"]:
        """What each place finds among those that it may look at."""
        found = attention(query.flatten(1, 2), key.flatten(1, 2), value.flatten(1, 2))
        return found.view(*query.shape[:3], value.shape[3])

    def look(
        self, own: Float[Tensor, "b c f t"], other: Float[Tensor, "b c f2 t2"], column: int
    ) -> Float[Tensor, "b f f2 t2"]:
        """Where in ``other`` the places of one column of ``own`` look: rows of the weights, each summing to 1."""
        query = self.query(own[..., column : column + 1]).squeeze(3).mT  # [B,F,d]
        scores = query @ self.key(other).flatten(2) / query.shape[-1] ** 0.5  # [B,F,F2*T2]
        within = self.reach(column, own.shape[2], *other.shape[2:]).to(other.device).flatten(1)
        weights: Tensor = torch.softmax(scores.masked_fill(~within, -torch.inf), dim=-1).unflatten(2, other.shape[2:])
        return weights

    def reach(self, column: int, own_rows: int, rows: int, columns: int) -> Bool[Tensor, "own_rows rows columns"]:
        """Where the places of a column of ``own_rows`` may look, out of how many rows and columns."""
        return torch.ones(own_rows, rows, columns, dtype=torch.bool)


class BandAttention(CrossAttention):
    """Looks at every frequency, at the same time and ``local_attention.BAND`` columns to either side.

    The same echo is at both ears within a millisecond: that is the geometry of a head. Which frequencies belong
    together is not known beforehand, as each is shadowed in its own way.
    """

    def attend(
        self, query: Float[Tensor, "b t f d"], key: Float[Tensor, "b t f d"], value: Float[Tensor, "b t f c"]
    ) -> Float[Tensor, "b t f c"]:
        """What each place finds in the columns around its own."""
        return attend_band(query, key, value)

    def reach(self, column: int, own_rows: int, rows: int, columns: int) -> Bool[Tensor, "own_rows rows columns"]:
        """All rows, and few columns."""
        within = torch.zeros(own_rows, rows, columns, dtype=torch.bool)
        within[:, :, band(column, columns)] = True
        return within


class TimeAttention(CrossAttention):
    """Looks at every time, at the same frequency (axial attention along one axis, arXiv 1912.12180)."""

    order, order_back = (0, 2, 3, 1), (0, 3, 1, 2)

    def attend(
        self, query: Float[Tensor, "b f t d"], key: Float[Tensor, "b f t d"], value: Float[Tensor, "b f t c"]
    ) -> Float[Tensor, "b f t c"]:
        """What each place finds in its row; here rows come one after the other."""
        return attend_time(query, key, value)

    def reach(self, column: int, own_rows: int, rows: int, columns: int) -> Bool[Tensor, "own_rows rows columns"]:
        """Each row its own, and all columns."""
        return torch.eye(rows, dtype=torch.bool)[:, :, None].repeat(1, 1, columns)


class PooledAttention(CrossAttention):
    """Looks everywhere, at means over neighbours: 32x32 of them (spatial reduction, arXiv 2102.12122)."""

    def forward(self, own: Float[Tensor, "b c f t"], other: Float[Tensor, "b c f t"]) -> Float[Tensor, "b c f t"]:
        """Add to ``own`` what it finds in ``other``; to take the mean before the 1x1 convolutions is to do less."""
        return super().forward(own, pool(other))

    def look(
        self, own: Float[Tensor, "b c f t"], other: Float[Tensor, "b c f t"], column: int
    ) -> Float[Tensor, "b f f2 t2"]:
        """Where the column's places look; the weight of a mean is shared by all that it is the mean of."""
        weights = super().look(own, pool(other), column)
        along_rows, along_columns = (pooling(size).to(other) for size in other.shape[2:])
        return along_rows.mT @ weights @ along_columns


def _linear(convolution: nn.Conv2d, x: Float[Tensor, "b t f c"]) -> Float[Tensor, "b t f d"]:
    """The 1x1 convolution, of a map whose channels come last."""
    return F.linear(x, convolution.weight.flatten(1), convolution.bias)


ATTENTIONS: dict[str, type[CrossAttention]] = {
    "full": CrossAttention,
    "band": BandAttention,
    "time": TimeAttention,
    "pooled": PooledAttention,
}
"""What an ear may look at."""

"""A trained model as one graph: raw input to depth, in operations that every export format has."""

from torch import Tensor, nn

from echodepth.models.checkpoint import DepthModel
from echodepth.models.mirror_average import average_mirrored, with_mirror_images


class DepthGraph(nn.Module):
    """The front end and the network of a model, to be traced.

    Args:
        model: in eval mode; its network is shared, not copied.
        samples: length of the waveforms of an audio model, which is fixed in its graph.
        mirror_average: average the outputs with those of the mirrored input, see ``MirrorAveraged``.
    """

    def __init__(self, model: DepthModel, samples: int, mirror_average: bool = False) -> None:
        super().__init__()
        self.input_key = model.input_key
        self.mirror_average = mirror_average
        self.front_end = model.front_end.exportable(samples)
        self.network = model.network

    def forward(self, raw: Tensor) -> tuple[Tensor, ...]:
        """Depth [B,1,S,S] in metres, and its uncertainty if predicted, of waveforms [B,2,T] or images [B,3,S,S]."""
        if self.mirror_average:
            raw = with_mirror_images(raw, self.input_key)
        # The front end stays in single precision before a half-precision network, which would lose quiet echoes.
        prepared = self.front_end(raw).to(next(self.network.parameters()).dtype)
        depth, uncertainty, _ = self.network.predict(prepared)
        maps = tuple(each.float() for each in (depth, uncertainty) if each is not None)
        return tuple(average_mirrored(each) for each in maps) if self.mirror_average else maps

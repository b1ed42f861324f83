"""The named rules by which depth is scored. A figure without its protocol cannot be compared with another.

BatVision's own code resizes depth bilinearly *before* masking. The zeros of unmeasured pixels bleed into
every edge, by metres at worst on a genuine V2 frame, and ``depth > 0``
then scores those pixels. ``official`` keeps that, so that published numbers can be met; the others do not.
"""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from echodepth.core.errors import ConfigError
from echodepth.evaluation.config import ProtocolName


@dataclass(frozen=True)
class Protocol:
    """How depth is resized and which pixels are scored.

    Attributes:
        name: what result files call it.
        depth_resize: how the true depth is brought to the model's size.
        min_depth: metres; nearer truth is not scored. 0 scores every positive depth.
        leave_one_out: score only the location that the model's training left out.
        description: one sentence for tables and pages.
    """

    name: ProtocolName
    depth_resize: Literal["nearest", "bilinear"]
    min_depth: float
    leave_one_out: bool
    description: str

    def scored(
        self, depth: Float[Tensor, "*batch 1 h w"], valid: Bool[Tensor, "*batch 1 h w"]
    ) -> Bool[Tensor, "*batch 1 h w"]:
        """The pixels that count: measured, positive, and no nearer than ``min_depth`` metres."""
        return valid & (depth > 0) & (depth >= self.min_depth)


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        # BatVision's own code (arXiv 2303.07257), with which its baseline and most followers are scored.
        Protocol("official", "bilinear", 0.0, False, "depth resized bilinearly, every depth > 0 scored"),
        # As HTF-EchoDepth (2026) scores, whose table holds the best audio figures published on V2.
        Protocol("valid", "nearest", 0.5, False, "depth resized by nearest neighbour, depth >= 0.5 m scored"),
        # Every V2 location is in every official split, so only a left-out one shows what a new room costs.
        Protocol("loo", "nearest", 0.5, True, "as valid, on the one location that training never heard"),
    )
}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ConfigError: there is none; the message lists those there are.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"--protocol {name}: no such protocol; choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]

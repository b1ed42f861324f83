"""Named scoring protocols. A metric is comparable only with metrics of the same protocol.

Published code resizes depth bilinearly *before* masking. The zeros of missing pixels bleed into every edge, by up to
metres on a genuine V2 frame, and the mask then scores those pixels. ``official`` and ``htf`` reproduce that for
comparison with published figures. ``valid`` and ``loo`` score measured depth alone; no published evaluator that we know
of computes them.

``official`` and ``htf`` differ in antialiasing, which neither source states. Both call torchvision's ``Resize``, whose
default for tensors changed in version 0.17. BatVision's code precedes it and does not antialias: otherwise a perfect
prediction would have an ABS REL of 3 instead of 0.06 on a genuine frame. HTF-EchoDepth's release was verified with
torch 2.11, whose torchvision antialiases.
"""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from echodepth.core.errors import ConfigError
from echodepth.metrics.config import ProtocolName


@dataclass(frozen=True)
class Protocol:
    """How ground-truth depth is resized and which pixels are scored.

    Attributes:
        name: key in flags and result files.
        depth_resize: interpolation of the ground truth to the model's output size.
        min_depth: metres; pixels with nearer ground truth are not scored. 0 scores every positive depth.
        leave_one_out: score only the location that was left out of training.
        description: one phrase for tables and pages.
    """

    name: ProtocolName
    depth_resize: Literal["nearest", "bilinear", "bilinear_antialias"]
    min_depth: float
    leave_one_out: bool
    description: str

    def scored(
        self, depth: Float[Tensor, "*batch 1 h w"], valid: Bool[Tensor, "*batch 1 h w"]
    ) -> Bool[Tensor, "*batch 1 h w"]:
        """The scored pixels: valid, positive, and at least ``min_depth`` metres away."""
        return valid & (depth > 0) & (depth >= self.min_depth)


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        # BatVision's own code (arXiv 2303.07257), which scored its baseline and most follow-up work.
        Protocol("official", "bilinear", 0.0, False, "depth resized bilinearly, every depth > 0 scored"),
        # The evaluator that HTF-EchoDepth (2026) released, whose table holds the best audio results published on V2.
        Protocol("htf", "bilinear_antialias", 0.5, False, "depth resized with antialiasing, depth >= 0.5 m scored"),
        # Every scored value is a measurement. HTF-EchoDepth's loader makes such a map, and its evaluator ignores it.
        Protocol("valid", "nearest", 0.5, False, "depth resized by nearest neighbour, depth >= 0.5 m scored"),
        # Every official V2 split contains every location, so only a left-out location measures generalisation.
        Protocol("loo", "nearest", 0.5, True, "as valid, on the one location left out of training"),
    )
}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ConfigError: the name is unknown; the message lists the known ones.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"--protocol {name}: no such protocol; choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]

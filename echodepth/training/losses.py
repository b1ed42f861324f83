"""Losses: pure functions of a prediction, its target and the mask of valid pixels, in metres.

Each returns one scalar. None of them can be NaN: without a valid pixel (or pair of pixels) the value is 0, and the
gradient too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from echodepth.core.distributed import all_reduce_sum

Depth = Float[Tensor, "b 1 h w"]
Valid = Bool[Tensor, "b 1 h w"]
Scalar = Float[Tensor, ""]
Criterion = Literal["L1", "SILog", "Combined"]

SILOG_FOCUS = 0.85
"""Share of the log error's mean that is forgiven (arXiv 1907.10326, section 3.4)."""
SILOG_SCALE = 10.0
"""Brings the loss to the size of the others (arXiv 1907.10326)."""
NEAREST = 1e-3
"""Metres: the least depth whose logarithm is taken."""


def masked_mean(
    values: Float[Tensor, "*shape"], valid: Bool[Tensor, "*shape"], weight: Float[Tensor, "*shape"] | None = None
) -> Scalar:
    """Mean of the valid values; 0 where there are none. Of positive weights, their proportions alone count.

    Inside of ``sync_ranks``, the mean over the values of all of them.
    """
    if weight is None:
        total, count = all_reduce_sum(torch.where(valid, values, 0.0).sum(), valid.sum())
        return total / count.clamp(min=1)
    share = torch.where(valid, weight, 0.0)
    total, shares = all_reduce_sum((share * torch.where(valid, values, 0.0)).sum(), share.sum())
    return total / shares.clamp(min=torch.finfo(shares.dtype).tiny)


def _known(target: Tensor, valid: Tensor) -> Tensor:
    """The target with 1 m where it is not valid: what lies there may be NaN, whose gradient no mask would stop."""
    return torch.where(valid, target, 1.0)


def l1_loss(prediction: Depth, target: Depth, valid: Valid, weight: Depth | None = None) -> Scalar:
    """Mean absolute error in metres, of pixels that count by their ``weight``."""
    return masked_mean((prediction - _known(target, valid)).abs(), valid, weight)


def mse_loss(prediction: Depth, target: Depth, valid: Valid, weight: Depth | None = None) -> Scalar:
    """Mean squared error in square metres, of pixels that count by their ``weight``."""
    return masked_mean((prediction - _known(target, valid)).square(), valid, weight)


def silog_loss(prediction: Depth, target: Depth, valid: Valid, weight: Depth | None = None) -> Scalar:
    """Scale-invariant logarithmic error (arXiv 1406.2283), as the root that arXiv 1907.10326 trains with.

    ``10 * sqrt(var(g) + 0.15 * mean(g)²)`` for g = log prediction - log target, of pixels that count by their
    ``weight``.
    """
    log_ratio = torch.log(prediction.clamp(min=NEAREST)) - torch.log(_known(target, valid).clamp(min=NEAREST))
    mean = masked_mean(log_ratio, valid, weight)
    variance = masked_mean((log_ratio - mean).square(), valid, weight)
    # The root's slope is infinite at 0, where a perfect prediction would turn its gradient to NaN.
    return SILOG_SCALE * torch.sqrt(variance + (1 - SILOG_FOCUS) * mean.square() + 1e-8)


def laplace_nll(prediction: Depth, scale: Depth, target: Depth, valid: Valid) -> Scalar:
    """Negative log-likelihood of the error under a Laplace distribution (arXiv 1703.04977): |r| / b + log 2b.

    It is least where the scale b is the mean absolute error. The error r is taken as given, so that the scale learns
    from the depth and the depth from its own loss alone (arXiv 2212.09184): else a network excuses with a large b
    what it could have learnt.

    Args:
        prediction: metres; gets no gradient.
        scale: b in metres, positive.
        target: metres.
        valid: where the target is known.
    """
    error = (prediction - _known(target, valid)).abs().detach()
    return masked_mean(error / scale + torch.log(2 * scale), valid)


def gradient_loss(prediction: Depth, target: Depth, valid: Valid, scales: int = 4) -> Scalar:
    """Mean absolute error of the depth's differences between neighbours, in metres (arXiv 1804.00607).

    Args:
        prediction: metres.
        target: metres.
        valid: a pair of neighbours counts where both are valid.
        scales: differences over 1, 2, 4, ... pixels, as many as fit.
    """
    error = prediction - _known(target, valid)
    terms = []
    for step in (2**k for k in range(scales)):
        for difference, both in zip(_differences(error, step), _pairs(valid, step), strict=True):
            terms.append(masked_mean(difference.abs(), both))
    return torch.stack(terms).mean()


def smoothness_loss(
    prediction: Depth, guide: Float[Tensor, "b c h w"], valid: Valid | None = None, sharpness: float = 10.0
) -> Scalar:
    """Differences between neighbours in metres, forgiven where the guide has an edge (arXiv 1609.03677).

    Args:
        prediction: metres.
        guide: a colour image in 0..1, or depth scaled to 0..1; its own edges are where depth may jump.
        valid: where the guide is known; everywhere when None.
        sharpness: an edge of 1 / sharpness divides the weight by e.
    """
    everywhere = valid if valid is not None else torch.ones_like(prediction, dtype=torch.bool)
    terms = []
    pairs = zip(_differences(prediction), _differences(guide), _pairs(everywhere), strict=True)
    for difference, edge, both in pairs:
        weight = torch.exp(-sharpness * edge.abs().mean(dim=1, keepdim=True))
        terms.append(masked_mean(difference.abs() * weight, both))
    return torch.stack(terms).mean()


def _differences(x: Tensor, step: int = 1) -> tuple[Tensor, Tensor]:
    return x[..., :, step:] - x[..., :, :-step], x[..., step:, :] - x[..., :-step, :]


def _pairs(valid: Tensor, step: int = 1) -> tuple[Tensor, Tensor]:
    return valid[..., :, step:] & valid[..., :, :-step], valid[..., step:, :] & valid[..., :-step, :]


def combined_loss(prediction: Depth, target: Depth, valid: Valid) -> Scalar:
    """L1 for the metres and SILog for the proportions, one to one."""
    return l1_loss(prediction, target, valid) + silog_loss(prediction, target, valid)


CRITERIA: dict[Criterion, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "L1": l1_loss,
    "SILog": silog_loss,
    "Combined": combined_loss,
}


def curriculum(progress: float) -> tuple[float, float, float]:
    """Weights of reconstruction, edges and smoothness as training goes on.

    Reconstruction counts from the start; edges come in over the second fifth of training, smoothness over the third,
    so that the outlines are asked for once the depths are there, and the surfaces once the outlines are.

    Args:
        progress: share of the epochs done, 0..1.
    """
    ramp = [min(max(progress * 5 - start, 0.0), 1.0) for start in (1, 2)]
    return 1.0, ramp[0], ramp[1]


@dataclass(frozen=True)
class DepthLoss:
    """The weighted sum that a depth network is trained on.

    Attributes:
        criterion: the reconstruction term.
        lambda_l1: its weight, whichever it is; the name is the command line's.
        lambda_edge: weight of ``gradient_loss``.
        lambda_smooth: weight of ``smoothness_loss``.
        adaptive: follow ``curriculum``.
    """

    criterion: Criterion = "L1"
    lambda_l1: float = 1.0
    lambda_edge: float = 0.0
    lambda_smooth: float = 0.1
    adaptive: bool = False

    def __call__(
        self,
        prediction: Depth,
        target: Depth,
        valid: Valid,
        image: Float[Tensor, "b 3 h w"] | None = None,
        progress: float = 0.0,
    ) -> dict[str, Tensor]:
        """The unweighted terms by name, and their weighted sum as ``loss``.

        Args:
            prediction: metres.
            target: metres.
            valid: where the target is known.
            image: guides the smoothness; without it the target's own edges do.
            progress: share of the epochs done, for the curriculum.
        """
        reconstruction, edge, smooth = curriculum(progress) if self.adaptive else (1.0, 1.0, 1.0)
        terms = {"reconstruction": CRITERIA[self.criterion](prediction, target, valid)}
        weights = {"reconstruction": self.lambda_l1 * reconstruction}
        if self.lambda_edge:
            terms["edge"] = gradient_loss(prediction, target, valid)
            weights["edge"] = self.lambda_edge * edge
        if self.lambda_smooth:
            if image is not None:
                terms["smooth"] = smoothness_loss(prediction, image)
            else:
                # In units of the frame's own farthest depth, so that a cupboard's edge counts in any room.
                farthest = torch.where(valid, target, 0.0).amax(dim=(1, 2, 3), keepdim=True).clamp(min=NEAREST)
                terms["smooth"] = smoothness_loss(prediction, _known(target, valid) / farthest, valid)
            weights["smooth"] = self.lambda_smooth * smooth
        return {**terms, "loss": torch.stack([weights[name] * term for name, term in terms.items()]).sum()}

"""Values that are not numbers, found in a batch before they reach a network, whose batch norm would keep them."""

import torch
from torch import Tensor

from echodepth.data.sample import Sample


def not_finite(batch: Sample) -> dict[str, list[str]]:
    """Names of the instances of a batch with NaN or infinite values, by modality; empty for a good batch."""
    bad: dict[str, list[str]] = {}
    for modality, values in batch.items():
        # One sum tells, in a single pass over the batch: NaN and infinity survive it.
        if isinstance(values, Tensor) and values.is_floating_point() and not _is_finite(values):
            bad[modality] = [name for name, each in zip(batch["name"], values, strict=True) if not _is_finite(each)]
    return {modality: names for modality, names in bad.items() if names}


def without_values(batch: Sample, bad: dict[str, list[str]]) -> Sample:
    """The batch with zeros for the tensors named in ``bad``, no valid pixel, and ``bad`` itself as ``not_finite``."""
    zeros = {modality: torch.zeros_like(batch[modality]) for modality in bad}  # type: ignore[literal-required]
    if "valid" in batch:
        zeros["valid"] = torch.zeros_like(batch["valid"])
    elif "depth" in batch:
        zeros["depth"] = torch.zeros_like(batch["depth"])
    return {**batch, **zeros, "not_finite": bad}  # type: ignore[typeddict-item]


def _is_finite(values: Tensor) -> bool:
    return bool(torch.isfinite(values.sum(dtype=torch.float32 if values.dtype != torch.float64 else None)))

"""Digests of models: equal digests mean equal predictions, but for rounding."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from echodepth.models.checkpoint import DepthModel


def weights_digest(settings: Any, weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of plain settings and of named tensors with their types and shapes."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def model_digest(model: DepthModel) -> str:
    """Digest of a model's weights, network, front end, and record of training, which says how its input is read."""
    return weights_digest([asdict(model.spec), model.run.to_plain()], model.network.state_dict())

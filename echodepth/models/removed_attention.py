"""Reading of models from when attention had four patterns, of which ``full`` is left."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from echodepth.core.errors import CheckpointError
from echodepth.models.networks import NETWORKS

LAST_COMMIT = "ba0a49b"
"""The last one with the other patterns."""
REMOVED = ("band", "time", "pooled")


def drop_attention_pattern(saved: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A saved model without the choice of a pattern, in its network's arguments and training flags.

    Args:
        saved: the content of ``config.json``, or a checkpoint, with its spec under ``model_spec`` if it has one.
        path: where it was saved, for messages.

    Raises:
        CheckpointError: the network has attention in a pattern that was removed.
    """
    upgraded = dict(saved)
    spec = saved.get("model_spec", saved)
    arguments = dict(spec.get("arguments", {}))
    if "attention" not in arguments or _takes_attention(spec["network"]):
        return upgraded
    pattern = arguments.pop("attention")
    if pattern not in ("full", *REMOVED):
        return upgraded  # the network refuses it
    if pattern in REMOVED and arguments.get("attention_levels", True):
        raise CheckpointError(
            f"{path} has {pattern} attention, which this version no longer has: load it with commit {LAST_COMMIT} of "
            "echodepth, the last one that has it, or train the model again"
        )
    if "model_spec" in saved:
        upgraded["model_spec"] = {**spec, "arguments": arguments}
    else:
        upgraded["arguments"] = arguments
    run = saved.get("run", {})
    if "flags" in run:
        upgraded["run"] = {**run, "flags": {name: value for name, value in run["flags"].items() if name != "attention"}}
    return upgraded


def _takes_attention(network: str) -> bool:
    """Whether a network from elsewhere has an argument of that name."""
    return network not in NETWORKS or "attention" in inspect.signature(NETWORKS[network]).parameters

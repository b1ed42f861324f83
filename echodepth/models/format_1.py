"""Reading of models that were saved in format 1, before names were changed."""

import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from echodepth.models.frontends import FRONT_ENDS
from echodepth.models.networks import NETWORKS

Value = TypeVar("Value")
FRONT_END_NAMES = {"rgb": "image"}
"""Front ends by network; all others had the echo front end."""
FRONT_END_RENAMES = {"cues": "binaural_cues"}
FLAG_RENAMES = {**FRONT_END_RENAMES, "fill_labels": "pseudo_labels", "wrong_pairs": "shuffle_teacher"}
VALUE_RENAMES = {
    "convolution": {"separated": "factorized"},
    "feature_distance": {"direction": "cosine", "margin": "hinge"},
}
WEIGHT_RENAMES = {"scale_head.": "uncertainty_head."}


def upgrade_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Network, arguments and front end in today's names, with all arguments that were left to their defaults.

    Raises:
        KeyError: an entry is missing.
    """
    network, name = spec["network"], FRONT_END_NAMES.get(spec["network"], "echo")
    arguments, settings = _renamed(spec["arguments"], {}), _renamed(spec["front_end"], FRONT_END_RENAMES)
    if network in NETWORKS:
        arguments = _with_defaults(NETWORKS[network], arguments)
    return {
        "network": network,
        "arguments": arguments,
        "front_end": {"name": name, **_with_defaults(FRONT_ENDS[name], settings)},
    }


def upgrade_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """A run record in today's names; one that has them already is returned unchanged."""
    upgraded = dict(run)
    if "flags" in run:
        upgraded["flags"] = _renamed(run["flags"], FLAG_RENAMES)
    if "data" in run and run["data"].get("dataset") != "rgbd":
        upgraded["data"] = {name: value for name, value in run["data"].items() if name != "depth_scale"}
    return upgraded


def upgrade_weights(weights: Mapping[str, Value]) -> dict[str, Value]:
    """A state dict, or another mapping by parameter, in today's names."""
    upgraded = {}
    for name, value in weights.items():
        for old, new in WEIGHT_RENAMES.items():
            name = name.replace(old, new)
        upgraded[name] = value
    return upgraded


def upgrade_checkpoint(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """A ``.pth`` checkpoint in today's names, the states of a training run included."""
    upgraded = dict(checkpoint)
    for name, part in checkpoint.items():
        if name == "model_spec":
            upgraded[name] = upgrade_spec(part)
        elif name == "run":
            upgraded[name] = upgrade_run(part)
        elif isinstance(part, Mapping) and all(isinstance(key, str) for key in part):
            upgraded[name] = upgrade_weights(part)
    return upgraded


def _renamed(values: Mapping[str, Any], renames: Mapping[str, str]) -> dict[str, Any]:
    """Values with other names, and with other words where a value is one that was renamed."""
    renamed = {}
    for name, value in values.items():
        words = VALUE_RENAMES.get(name, {})
        renamed[renames.get(name, name)] = words.get(value, value) if isinstance(value, str) else value
    return renamed


def _with_defaults(constructor: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    defaults = {
        name: list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default
        for name, parameter in inspect.signature(constructor).parameters.items()
    }
    return {**defaults, **arguments}

"""Networks of weights without a config, recognised by the shapes of the weights."""

import inspect
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from echodepth.core.errors import CheckpointError, listed
from echodepth.core.flags import plain
from echodepth.models.networks import NETWORKS

log = logging.getLogger(__name__)


def recognise_network(weights: Mapping[str, Tensor], path: Path) -> tuple[str, dict[str, Any]]:
    """Name and arguments of the network of a bare state dict; what its weights do not reveal has its default.

    Raises:
        CheckpointError: they are those of no network.
    """
    for network in NETWORKS:
        arguments = network.arguments_from_weights(weights)
        if arguments is not None:
            defaults = inspect.signature(network).parameters
            size, depth = (defaults[name].default for name in ("output_size", "max_depth"))
            assumed = {"image size": f"{size} pixels", "range": f"{depth:g} m"}
            assumed |= {flag: defaults[flag].default for flag in plain(network.config()) if flag not in arguments}
            log.warning("%s does not contain its %s: taken as %s", path, listed(assumed), listed(assumed.values()))
            return network.name, dict(arguments)
    raise CheckpointError(f"{path} does not contain the weights of any network that can be recognised without a config")

"""``--init``: training from the weights of a model, with the settings of network and input that belong to them."""

import inspect
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from echodepth.core.errors import ConfigError
from echodepth.data.recorded import trained_data
from echodepth.data.records import Modality
from echodepth.models.checkpoint import DepthModel, load_depth_model
from echodepth.models.networks import NETWORKS
from echodepth.models.run_record import RunRecord


def load_initial(init: str, modality: Modality, given: Mapping[str, Any]) -> tuple[DepthModel, dict[str, Any]]:
    """The model to start from, and the flags that it decides.

    Args:
        init: a model, as ``--init`` names it.
        modality: input of the training.
        given: flags by name, chosen elsewhere.

    Raises:
        CheckpointError: there is no such model.
        ConfigError: it takes another input, or a given flag has another value than the model.
    """
    model = load_depth_model(init)
    if model.input_key != modality:
        raise ConfigError(f"--init {init} takes {model.input_key}, and the input here is {modality}")
    decided = _model_flags(model)
    for name, value in given.items():
        if name in decided and _plain(value) != decided[name]:
            raise ConfigError(
                f"--{name} {value} contradicts --init {init}, which has {decided[name]}: leave out one of the two"
            )
    return model, decided


def continued(initial: DepthModel, run: RunRecord) -> DepthModel:
    """A copy of a model with the record of the run that continues it, which also keeps the licence of its data."""
    licences = dict.fromkeys(filter(None, (run.data_licence, initial.run.data_licence)))
    model = DepthModel(initial.spec, replace(run, data_licence="; ".join(licences) or None))
    model.network.load_state_dict(initial.network.state_dict())
    return model


def _model_flags(model: DepthModel) -> dict[str, Any]:
    """Flags of training that a model decides, by name, as plain values: its network, front end and cut of the input."""
    network = NETWORKS[model.spec.network]
    defaults = inspect.signature(network).parameters
    arguments = {
        field.name: _plain(model.spec.arguments.get(field.name, defaults[field.name].default))
        for field in fields(network.config)
    }
    flags = {
        "model": network.name,
        "front_end": model.front_end.name,
        **arguments,
        **model.front_end.flags,
        "image_size": model.image_size,
        "max_depth": model.max_depth,
    }
    if model.input_key == "audio" and model.run.data:
        data = trained_data(model)
        flags |= {"audio_start": data.audio_start, "audio_seconds": data.audio_seconds}
    return flags


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value

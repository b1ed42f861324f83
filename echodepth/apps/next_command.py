"""The likely next command after each one, with the names that it has just used."""

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from echodepth.data.config import DataConfig
from echodepth.data.dataset_registry import DATASETS

Words = list[str]


def next_command(command: str, config: Any, result: object, plugins: Sequence[str] = ()) -> str | None:
    """The command that usually follows; None where none does.

    Args:
        command: name of the one that has ended without an error.
        config: its config.
        result: what its function returned.
        plugins: modules that it was given with ``--plugin``, without which the next one lacks what they register.
    """
    words = _NEXT[command](config, result) if command in _NEXT else None
    common = [word for module in plugins for word in ("--plugin", module)]
    return None if words is None else shlex.join(["echodepth", *common, *words])


def _train(dataset: str, flags: Words) -> Words:
    return ["train", "binaural" if "audio" in DATASETS[dataset].modalities else "rgb", "--dataset", dataset, *flags]


def _train_on(data: DataConfig) -> Words:
    return _train(data.dataset, shlex.split(data.as_flags())[2:])


def _after_training(kind: str, config: Any) -> Words:
    name, data = config.experiment_name, config.data
    if kind == "rgb" and "audio" in DATASETS[data.dataset].modalities:
        return ["train", "distill", "--teacher", name, *shlex.split(data.as_flags())]
    if kind == "distill" and not config.distillation.teacher.startswith("hf:") and not isinstance(data.data_dir, str):
        return ["compare", config.distillation.teacher, name]
    address = ["--data_dir", data.data_dir] if isinstance(data.data_dir, str) else []  # no model says where to fetch
    return ["evaluate", "--checkpoint", name, *address]


def _after_evaluation(config: Any) -> Words | None:
    scoring = config.scoring
    if isinstance(scoring.data_dir, str):
        return None  # predict reads folders only
    source = {"--checkpoint": config.checkpoint, "--dataset": scoring.dataset, "--data_dir": scoring.data_dir}
    given = [word for flag, value in source.items() if value is not None for word in (flag, str(value))]
    return ["predict", "--split", scoring.split, *given]


def _after_export(file: object) -> Words | None:
    if not isinstance(file, Path):
        return None
    return ["predict", "--examples", "--checkpoint", str(file), *(["--trust_code"] if file.suffix == ".pt2" else [])]


def _model(config: Any) -> Words:
    return [] if config.checkpoint is None else ["--checkpoint", config.checkpoint]


def _after_recording(config: Any) -> Words:
    audio = str(config.out / config.location / "audio" / "*.wav")
    others = ["--camera", "CAMERA/*.png", "--depth", "DEPTH/*.npy"]
    return ["convert", "--out", "data/own", "--location", config.location, "--audio", audio, *others]


_NEXT: dict[str, Callable[[Any, Any], Words | None]] = {
    "simulate": lambda config, _: _train("simulated", ["--data_dir", str(config.out)]),
    "calibrate": lambda config, _: ["simulate", "--rig", str(config.out), "--out", "data/own_rig"],
    "record": lambda config, _: _after_recording(config),
    "convert": lambda config, _: ["doctor", str(config.out)],
    "doctor": lambda config, found: found and _train(found.dataset, ["--data_dir", str(config.root)]),
    "shard": lambda config, _: _train(config.data.dataset, ["--data_dir", str(config.out)]),
    "prepare": lambda config, _: _train_on(config.data),
    "cache-teacher": lambda config, _: [
        *("train", "distill", "--teacher", config.teacher),
        *shlex.split(config.data.as_flags()),
    ],
    "train rgb": lambda config, _: _after_training("rgb", config),
    "train binaural": lambda config, _: _after_training("binaural", config),
    "train distill": lambda config, _: _after_training("distill", config),
    "evaluate": lambda config, _: _after_evaluation(config),
    "compare": lambda _, comparison: ["export", "--checkpoint", comparison.leader_as_given],
    "predict": lambda config, _: ["demo", *_model(config)],
    "export": lambda config, file: _after_export(file),
}
"""By command, from its config and its result; those that end with Ctrl-C or a table of many runs have none."""

"""One run of a study: its flags, its training and its scores."""

import contextlib
import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import ConfigError
from echodepth.core.flags import plain
from echodepth.core.result_log import content_digest
from echodepth.core.run_paths import RunPaths
from echodepth.core.strict_json import to_json
from echodepth.data.provenance import SIMULATION_FILE
from echodepth.data.records import Split
from echodepth.evaluation.config import Control, ScoringConfig
from echodepth.evaluation.scoring import score_model
from echodepth.experiments.config import Preset, Scale, Study
from echodepth.experiments.grid import DISTILLED, MIRRORED, UNDISTILLED, Run, scorings, weighted
from echodepth.metrics.direction import DIRECTIONS
from echodepth.models.checkpoint import load_depth_model, read_checkpoint
from echodepth.models.model_digest import model_digest
from echodepth.training.compose import train_config
from echodepth.training.config import TrainConfig
from echodepth.training.convergence import converged_after
from echodepth.training.train import train, training_flags

ELSEWHERE_SEED = 1_000_000
"""Seed of the teacher's other rooms, far from any seed a user gives."""
FIGURES = ("rmse", "abs_rel", "delta1", "mae", "silog", *DIRECTIONS)


class Setting(NamedTuple):
    """What the runs of a study share.

    Attributes:
        study: its name.
        scale: of the runs.
        preset: name of the scale.
        device: to train on.
        weights: of the losses of runs that name a share of the gradient, by ``Run.name``.
    """

    study: Study
    scale: Scale
    preset: Preset
    device: str
    weights: Mapping[str, float] = {}

    def room_seed(self, run: Run) -> int:
        """Seed of the run's rooms."""
        return ELSEWHERE_SEED if run.is_teacher and run.teacher_data == "elsewhere" else 0

    def rooms(self, run: Run) -> Path:
        """Folder of the run's simulated rooms, which studies of one scale share."""
        kind = "_elsewhere" if self.room_seed(run) else ""
        return Path("data") / f"experiment_{run.rooms}x{self.scale.poses}_{self.scale.image_size}px{kind}"

    def experiment_name(self, run: Run) -> str:
        """Name of the run's training."""
        return f"experiment_{self.study}_{self.preset}_{run.name}"

    def train_config(self, run: Run) -> TrainConfig:
        """The flags of a run."""
        scale = self.scale
        # Without the unlabelled frames more epochs make the same number of steps.
        repeats = 1 if run.is_distilled else max(1, round(1 / run.label_fraction))
        epochs = scale.epochs * repeats
        common: dict[str, Any] = {
            "experiment_name": self.experiment_name(run),
            "dataset": "simulated",
            "data_dir": self.rooms(run),
            "image_size": scale.image_size,
            "base_channels": scale.base_channels,
            "batch_size": scale.batch_size,
            "learning_rate": 2e-3,
            "nb_epochs": epochs,
            "val_frequency": repeats,
            "save_frequency": max(1, epochs // 5),
            "num_workers": 0,
            "label_fraction": run.label_fraction,
            "val_label_fraction": run.label_fraction,
            "label_seed": run.seed,
            "seed": run.seed,
            "device": self.device,
        }
        if self.device != "cpu":
            # Several runs share the GPU, and all are short: cuDNN's timing costs more than it saves, and its workspaces
            # do not fit side by side.
            common["cudnn_benchmark"] = False
        if scale.patience is not None:
            common |= {"patience": scale.patience, "min_epochs": scale.min_epochs * repeats}
            # A rate that falls to zero at an end that is not known beforehand would stop some runs before others.
            common |= {"scheduler": "none", "ema_decay": 0.99}
        if run.is_teacher:
            return train_config("rgb", **common, uncertainty=run.method == "teacher_uncertainty")
        if scale.spectrogram is not None:
            common |= dict(zip(("audio_bins", "audio_frames"), scale.spectrogram, strict=True))
        if not run.is_distilled:
            return train_config("binaural", **common | UNDISTILLED[run.method])
        flags = DISTILLED[run.method] if run.share is None else weighted(run.share[0], self.weights[run.name])
        return train_config("distill", **common, teacher=self.experiment_name(run.teacher), **flags)


def finish(setting: Setting, run: Run, split: Split, folder: Path, home: Path) -> None:
    """Train a run unless its last epoch exists, and score it unless its score exists.

    Args:
        setting: of the study.
        run: to finish.
        split: to score.
        folder: of the study's results.
        home: working directory; joblib reuses its workers, which keep the one they were started in.
    """
    if setting.device == "cpu":
        torch.set_num_threads(1)
    config = setting.train_config(run)
    folders = RunPaths(config.experiment_name)
    with contextlib.chdir(home), _quiet(folders.logs / "output.txt"):
        done = folders.epochs()
        if done:
            _require_same_flags(config, folders)
        if not done or _last_epoch(config, folders) not in done:
            # Without a checkpoint there may still be the best model of a run that was killed early: start over.
            train(replace(config, checkpoints=done[-1]) if done else replace(config, overwrite=True))
        for scored in scorings(run, setting.study):
            facts = scored.facts() | _training_facts(config, folders)
            mirror_average = scored.method.endswith(MIRRORED)
            score(setting, run, facts, split, folder / split / f"{scored.name}.json", mirror_average=mirror_average)


@contextlib.contextmanager
def _quiet(path: Path) -> Iterator[None]:
    """Send output to a file: the progress bars of parallel runs would overwrite each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        yield


def curve(folders: RunPaths) -> list[dict[str, str]]:
    """The rows of a run's ``metrics.csv``; none before the first epoch."""
    path = folders.logs / "metrics.csv"
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _converged_after(config: TrainConfig, folders: RunPaths) -> int | None:
    patience = config.optimisation.patience
    if patience is None:
        return None
    errors = [(int(row["epoch"]), float(row["val/rmse"])) for row in curve(folders) if row.get("val/rmse")]
    return converged_after(errors, patience, config.optimisation.min_epochs)


def _last_epoch(config: TrainConfig, folders: RunPaths) -> int:
    """The epoch after which a run ends, as far as its curve tells."""
    return _converged_after(config, folders) or config.optimisation.nb_epochs


def _training_facts(config: TrainConfig, folders: RunPaths) -> dict[str, Any]:
    rows = curve(folders)
    last = read_checkpoint(folders.checkpoint(folders.epochs()[-1]))
    return {
        "epochs": len(rows),
        "steps": last["global_step"],
        "converged": config.optimisation.patience is not None and _converged_after(config, folders) is not None,
        "seconds": round(sum(float(row["seconds"]) for row in rows)),
    }


def _require_same_flags(config: TrainConfig, folders: RunPaths) -> None:
    """Raise a ConfigError if a run's checkpoints are those of other flags, as its ``config.json`` says."""
    if not folders.config.is_file():
        return
    recorded = json.loads(folders.config.read_text())["flags"]
    flags = json.loads(json.dumps({**plain(config.data), **training_flags(config)}))
    # A flag that is newer than the run had its default.
    changed = [name for name in flags if name in recorded and recorded[name] != flags[name]]
    if changed:
        listed = ", ".join(f"--{name} {recorded[name]} (now {flags[name]})" for name in changed)
        raise ConfigError(
            f"{folders.checkpoints} was trained with {listed}: move it elsewhere or delete it, and it is trained anew"
        )


def score(
    setting: Setting,
    run: Run,
    facts: Mapping[str, Any],
    split: Split,
    path: Path,
    control: Control = "none",
    mirror_average: bool = False,
) -> None:
    """Score a run's best model, or a control beside it, unless ``path`` holds the scores of this model and these rooms.

    Args:
        setting: of the study.
        run: to score.
        facts: of the run, for the file.
        split: to score.
        path: JSON file with facts, scores and frames.
        control: what to score in place of the model.
        mirror_average: whether the model is averaged over the mirrored input.
    """
    data, model = setting.rooms(replace(run, teacher_data="same")), load_depth_model(setting.experiment_name(run))
    made_from = {"model": model_digest(model), "rooms_sha256": content_digest(data / SIMULATION_FILE)}
    if path.exists() and made_from.items() <= json.loads(path.read_text()).items():
        return
    scoring = ScoringConfig(split=split, data_dir=data, device=setting.device, mirror_average=mirror_average)
    evaluation = score_model(model, scoring, control)
    row = {**facts, **made_from, "split": evaluation.split}
    row |= {name: evaluation.metrics[name] for name in FIGURES}
    row |= {"images": evaluation.counts["images"], "commit": evaluation.commit, "version": evaluation.version}
    row |= {"frames": evaluation.rows}
    with atomic_write(path) as unfinished:
        unfinished.write_text(to_json(row))

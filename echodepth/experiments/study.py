"""Run a study: simulate its rooms, train what is missing, score what is not scored, and write one table."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, delayed
from tqdm import tqdm

from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import ConfigError, require_at_least
from echodepth.core.flags import build, flat, select
from echodepth.core.run_paths import RunPaths
from echodepth.core.schema import LARGEST_INDEX, SchemaError, check, read_json
from echodepth.core.strict_json import to_json
from echodepth.data.records import Split
from echodepth.evaluation.config import Control, ScoringConfig
from echodepth.evaluation.results import Evaluation
from echodepth.evaluation.scoring import score_model
from echodepth.experiments.config import SCALES, BenchmarkConfig, Preset
from echodepth.experiments.ear_table import ear_markdown
from echodepth.experiments.grid import DISTILLED, UNDISTILLED, Run, runs_of, scale_of, scorings
from echodepth.experiments.table import markdown, write_tables
from echodepth.metrics.direction import DIRECTIONS
from echodepth.models.checkpoint import load_model
from echodepth.models.frontends import FRONT_ENDS
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.writer import simulate
from echodepth.training.compose import Choices, prepare_class, train_config
from echodepth.training.config import TrainConfig
from echodepth.training.prepare import prepare
from echodepth.training.train import train

log = logging.getLogger(__name__)
ELSEWHERE_SEED = 1_000_000
"""Seed of the teacher's other rooms, far from any seed a user gives."""
FIGURES = ("rmse", "abs_rel", "delta1", "mae", "silog", *DIRECTIONS)


def benchmark(config: BenchmarkConfig) -> Path:
    """Run a study, or the rest of an interrupted one.

    Returns:
        ``results/benchmark_<study>_<preset>``, with one JSON file a run, and the table as .md and .json.

    Raises:
        ConfigError: a flag is out of range.
    """
    require_at_least(1, workers=config.workers)
    runs = runs_of(config)
    for elsewhere in (False, True):
        if not elsewhere or any(run.teacher_data == "elsewhere" for run in runs):
            _make_rooms(config.preset, elsewhere, config.workers)
    _prepare(runs, config.preset, config.workers)
    folder = Path("results") / f"benchmark_{config.study}_{config.preset}"
    # A student's teacher must exist before the student starts.
    for stage in ([run for run in runs if run.method == "teacher"], [run for run in runs if run.method != "teacher"]):
        work = (delayed(_finish)(run, config.preset, config.split, folder, Path.cwd()) for run in stage)
        pool = Parallel(n_jobs=config.workers, return_as="generator_unordered", batch_size=1)
        for _ in tqdm(pool(work), total=len(stage), unit="run", desc=f"benchmark {config.study}"):
            pass
    controls = _controls(runs, config, folder)
    rows = [*_read(runs, config.split, folder), *controls]
    text = ear_markdown(config, rows) if config.study == "ear" else markdown(config, rows)
    return write_tables(config, rows, text, folder)


def rooms(preset: Preset, elsewhere: bool) -> Path:
    """Folder of a preset's simulated rooms."""
    return Path("data") / f"benchmark_{preset}{'_elsewhere' if elsewhere else ''}"


def _make_rooms(preset: Preset, elsewhere: bool, workers: int) -> None:
    root, scale = rooms(preset, elsewhere), SCALES[preset]
    amount = scale.elsewhere if elsewhere else scale.rooms
    if not any(root.glob("*/test.csv")):
        seed = ELSEWHERE_SEED if elsewhere else 0
        simulate(
            SimulateConfig(
                root, rooms=amount.rooms, poses=amount.poses, image_size=scale.image_size, seed=seed, workers=workers
            )
        )


def _prepare(runs: list[Run], preset: Preset, workers: int) -> None:
    """Decode the rooms, once for each front end of the runs; a teacher's images come with any spectrogram."""
    done = []
    for config in (config_of(run, preset) for run in runs):
        flags = flat(select(config.network, FRONT_ENDS[config.network.front_end].config))
        if (config.data.data_dir, flags) in done:
            continue
        done.append((config.data.data_dir, flags))
        data = {"dataset": "simulated", "data_dir": config.data.data_dir, "image_size": config.data.image_size}
        composed = prepare_class(Choices(dataset="simulated"))
        prepare(build(composed, data | flags | {"sound": "spectrogram", "workers": workers}))


def config_of(run: Run, preset: Preset) -> TrainConfig:
    """The flags of a run."""
    scale = scale_of(run.method, preset)
    # Without a teacher a network trains on labelled frames only: more epochs make the same number of steps.
    distilled = run.method in DISTILLED
    epochs = scale.epochs if distilled else round(scale.epochs / run.label_fraction)
    common: dict[str, Any] = {
        "experiment_name": f"benchmark_{preset}_{run.name}",
        "dataset": "simulated",
        "data_dir": rooms(preset, run.method == "teacher" and run.teacher_data == "elsewhere"),
        "image_size": scale.image_size,
        "base_channels": scale.base_channels,
        "batch_size": 8,
        "learning_rate": 2e-3,
        "nb_epochs": epochs,
        "save_frequency": max(1, epochs // 5),
        "num_workers": 0,
        "label_fraction": run.label_fraction,
        "seed": run.seed,
        "device": "cpu",
    }
    if run.method == "teacher":
        return train_config("rgb", **common)
    if distilled:
        teacher = f"benchmark_{preset}_{run.teacher.name}"
        return train_config("distill", **common, teacher=teacher, **DISTILLED[run.method])
    return train_config("binaural", **common | UNDISTILLED[run.method])


def _finish(run: Run, preset: Preset, split: Split, folder: Path, home: Path) -> None:
    """Train a run unless its last epoch exists, and score it unless its score exists."""
    torch.set_num_threads(1)
    config = config_of(run, preset)
    folders = RunPaths(config.experiment_name)
    # joblib reuses its workers, which keep the working directory they were started in.
    with contextlib.chdir(home), _quiet(folders.logs / "output.txt"):
        done = folders.epochs()
        if config.optimisation.nb_epochs not in done:
            # Without a checkpoint there may still be the best model of a run that was killed early: start over.
            train(replace(config, checkpoints=done[-1]) if done else replace(config, overwrite=True))
        for scored in scorings(run):
            path = folder / split / f"{scored.name}.json"
            if not path.exists():
                data = rooms(preset, elsewhere=False)
                mirror_average = scored != run
                _keep(scored, _score(config.experiment_name, split, data, mirror_average=mirror_average), path)


@contextlib.contextmanager
def _quiet(path: Path) -> Iterator[None]:
    """Send output to a file: the progress bars of parallel runs would overwrite each other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        yield


def _score(
    experiment: str, split: Split, data: Path, control: Control = "none", mirror_average: bool = False
) -> Evaluation:
    scoring = ScoringConfig(split=split, data_dir=data, device="cpu", mirror_average=mirror_average)
    return score_model(load_model(experiment), scoring, control)


def _keep(run: Run, evaluation: Evaluation, path: Path) -> None:
    row = asdict(run) | {"split": evaluation.split} | {name: evaluation.metrics[name] for name in FIGURES}
    row |= {"images": evaluation.counts["images"], "commit": evaluation.commit, "version": evaluation.version}
    row |= {"frames": evaluation.rows}
    with atomic_write(path) as unfinished:
        unfinished.write_text(to_json(row))


def _controls(runs: list[Run], config: BenchmarkConfig, folder: Path) -> list[dict[str, Any]]:
    """Scores of the mean-depth and shuffled-audio controls."""
    rows = []
    controls: tuple[Control, ...] = ("mean_depth", "shuffled_audio")
    for run in (run for run in runs if run.method in ("none", "original", "standard")):
        for control in controls:
            name = Run(control, run.label_fraction, "none", run.seed)
            path = folder / config.split / f"{name.name}.json"
            if not path.exists():
                experiment = config_of(run, config.preset).experiment_name
                _keep(name, _score(experiment, config.split, rooms(config.preset, elsewhere=False), control), path)
            rows.append(_read_row(path))
    return rows


def _read(runs: list[Run], split: str, folder: Path) -> list[dict[str, Any]]:
    names = [scored.name for run in runs for scored in scorings(run)]
    return [_read_row(folder / split / f"{name}.json") for name in names]


def _read_row(path: Path) -> dict[str, Any]:
    """The scores that ``_keep`` wrote; a ConfigError if they are damaged."""
    due = {*Run.__dataclass_fields__, "split", *FIGURES, "images", "commit", "version", "frames"}
    try:
        row = check(read_json(path, LARGEST_INDEX), dict[str, Any], "")
        if missing := sorted(due - set(row)):
            raise SchemaError(f"{missing[0]} is missing")
    except SchemaError as error:
        raise ConfigError(f"{path} holds no scores ({error}): delete it to score that run again") from error
    return row  # type: ignore[no-any-return]

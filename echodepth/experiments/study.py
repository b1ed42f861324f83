"""Run a study: simulate its rooms, train what is missing, score what is not scored, and write one table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from tqdm import tqdm

from echodepth.core.errors import ConfigError, require_at_least
from echodepth.core.flags import build, flat, select
from echodepth.core.schema import LARGEST_INDEX, SchemaError, check, read_json
from echodepth.core.workers import worker_life
from echodepth.evaluation.config import Control
from echodepth.experiments.config import ELSEWHERE_POSES, ExperimentConfig, Study
from echodepth.experiments.curves import draw_curves
from echodepth.experiments.distillation_table import distillation_markdown
from echodepth.experiments.ear_table import ear_markdown
from echodepth.experiments.gradient_shares import loss_weights
from echodepth.experiments.grid import Run, runs_of, scorings
from echodepth.experiments.label_fractions import draw_label_fractions
from echodepth.experiments.run import Setting, finish, score
from echodepth.experiments.table import Rows, plain_markdown, write_tables
from echodepth.models.frontends import FRONT_ENDS
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.dataset_card import is_complete
from echodepth.simulate.writer import simulate
from echodepth.training.compose import Choices, prepare_class
from echodepth.training.prepare import prepare

_CONTROLLED = ("none", "original", "standard")
"""Methods whose runs are scored with shuffled audio, too, and beside the mean depth of their training rooms."""
_TABLES: dict[Study, Callable[[ExperimentConfig, Rows], str]] = {
    "distillation": distillation_markdown,
    "weights": distillation_markdown,
    "ear": ear_markdown,
    "light": plain_markdown,
}


def experiment(config: ExperimentConfig) -> Path:
    """Run a study, or the rest of an interrupted one.

    Returns:
        ``results/experiment_<study>_<preset>``, with one JSON file a run, the table as .md and .json, the curves, and,
        where there are several label fractions, the errors over them.

    Raises:
        ConfigError: a flag is out of range.
    """
    require_at_least(1, workers=config.workers)
    runs = runs_of(config)
    folder = Path("results") / f"experiment_{config.study}_{config.preset}"
    setting = Setting(config.study, config.scale, config.preset, config.device)
    _make_rooms(setting, runs, config.workers)
    _prepare(setting, runs, config.workers)
    # A student's teacher exists before the student starts, and so does what a loss's weight is measured on.
    early = [run for run in runs if run.is_teacher], [run for run in runs if not run.is_teacher and not run.share]
    for stage in early:
        _finish_all(setting, stage, config, folder)
    late = [run for run in runs if run.share]
    if late:
        setting = setting._replace(weights=loss_weights(setting, late, folder / "weights.json"))
    _finish_all(setting, late, config, folder)
    rows = [*_read(runs, config, folder), *_controls(setting, runs, config, folder)]
    draw_curves(setting, rows, folder / f"{config.split}_curves.png")
    if len({row["label_fraction"] for row in rows}) > 1:
        draw_label_fractions(rows, folder / f"{config.split}_label_fractions.png")
    return write_tables(config, rows, _TABLES[config.study](config, rows), folder)


def _finish_all(setting: Setting, runs: list[Run], config: ExperimentConfig, folder: Path) -> None:
    work = (delayed(finish)(setting, run, config.split, folder, Path.cwd()) for run in runs)
    pool = Parallel(n_jobs=config.workers, return_as="generator_unordered", batch_size=1, **worker_life())
    for _ in tqdm(pool(work), total=len(runs), unit="run", desc=f"experiment {config.study}", disable=not runs):
        pass


def _make_rooms(setting: Setting, runs: list[Run], workers: int) -> None:
    for root, run in {setting.rooms(run): run for run in runs}.items():
        is_elsewhere = run.is_teacher and run.teacher_data == "elsewhere"
        config = SimulateConfig(
            root,
            rooms=run.rooms,
            poses=ELSEWHERE_POSES if is_elsewhere else setting.scale.poses,
            image_size=setting.scale.image_size,
            seed=setting.room_seed(run),
            workers=workers,
        )
        if not is_complete(config):
            simulate(config)


def _prepare(setting: Setting, runs: list[Run], workers: int) -> None:
    """Decode the rooms, once for each front end of the runs; a teacher's images come with any spectrogram."""
    done = []
    for config in (setting.train_config(run) for run in runs if not run.share):
        flags = flat(select(config.network, FRONT_ENDS[config.network.front_end].config))
        if (config.data.data_dir, flags) in done:
            continue
        done.append((config.data.data_dir, flags))
        data = {"dataset": "simulated", "data_dir": config.data.data_dir, "image_size": config.data.image_size}
        composed = prepare_class(Choices(dataset="simulated"))
        prepare(build(composed, data | flags | {"sound": "spectrogram", "workers": workers}))


def _controls(setting: Setting, runs: list[Run], config: ExperimentConfig, folder: Path) -> Rows:
    """Scores of the mean-depth and shuffled-audio controls."""
    rows = []
    controls: tuple[Control, ...] = ("mean_depth", "shuffled_audio")
    for run in (run for run in runs if run.method in _CONTROLLED):
        for control in controls:
            name = Run(control, run.rooms, run.label_fraction, "none", run.seed)
            path = folder / config.split / f"{name.name}.json"
            score(setting, run, name.facts(), config.split, path, control)
            rows.append(_read_row(path))
    return rows


def _read(runs: list[Run], config: ExperimentConfig, folder: Path) -> list[dict[str, Any]]:
    names = [scored.name for run in runs for scored in scorings(run, config.study)]
    return [_read_row(folder / config.split / f"{name}.json") for name in names]


def _read_row(path: Path) -> dict[str, Any]:
    """What ``write_row`` wrote; a ConfigError if it is damaged."""
    try:
        return check(read_json(path, LARGEST_INDEX), dict[str, Any], "")  # type: ignore[no-any-return]
    except SchemaError as error:
        raise ConfigError(f"{path} holds no scores ({error}): delete it to score that run again") from error

"""A study: which runs it has, and that they are done once."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from echodepth.core.errors import ConfigError
from echodepth.core.flags import flat
from echodepth.distillation.losses.total import distillation_losses
from echodepth.experiments.config import SCALES, ExperimentConfig, Study
from echodepth.experiments.gradient_shares import gradient_norms, loss_weights
from echodepth.experiments.grid import DISTILLED, Run, runs_of
from echodepth.experiments.run import Setting
from echodepth.experiments.study import experiment
from echodepth.models.checkpoint import load_depth_model
from echodepth.training.compose import train_config
from echodepth.training.config import TrainConfig
from echodepth.training.distillation_task import DistillationTask
from echodepth.training.train import new_task


def configs(study: Study, **flags: Any) -> dict[Run, TrainConfig]:
    config = ExperimentConfig(study, **flags)
    setting = Setting(study, config.scale, config.preset, "cpu", defaultdict(lambda: 0.25))
    return {run: setting.train_config(run) for run in runs_of(config)}


def test_the_grid_has_each_method_in_each_setting_and_teachers_first() -> None:
    config = ExperimentConfig("distillation", seeds=(0, 1), label_fractions=(1.0, 0.1))
    runs = runs_of(config)
    assert Counter(run.method for run in runs if run.seed == 0) == {
        **dict.fromkeys(DISTILLED, 4),
        **dict.fromkeys(("none", "unet_baseline", "teacher", "teacher_uncertainty"), 4),
    }
    assert len({run.name for run in runs}) == len(runs)
    needed = {run.teacher for run in runs if run.is_distilled}
    assert set(runs[: len(needed)]) == needed


def test_a_teacher_from_elsewhere_knows_all_labels_of_other_rooms() -> None:
    run = Run("response", 320, 0.1, "elsewhere", 0)
    assert run.teacher == Run("teacher", 320, 1.0, "elsewhere", 0)
    config = ExperimentConfig("distillation")
    setting = Setting("distillation", config.scale, "small", "cpu")
    assert setting.rooms(run.teacher).name.endswith("_elsewhere")
    assert setting.rooms(run) == setting.rooms(Run("none", 320, 0.1, "none", 3))
    assert setting.room_seed(run.teacher) != setting.room_seed(run) == 0
    assert Run("confidence", 320, 0.1, "same", 0).teacher.method == "teacher_uncertainty"
    assert Run("confidence+0.3", 320, 0.1, "same", 0).teacher.method == "teacher_uncertainty"


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_short_runs_that_share_a_gpu_do_not_time_cudnns_algorithms(device: str) -> None:
    config = ExperimentConfig("distillation", preset="gpu")
    setting = Setting("distillation", config.scale, "gpu", device)
    machine = setting.train_config(Run("none", 320, 1.0, "none", 0)).machine
    assert machine.cudnn_benchmark == (device == "cpu")


def test_with_or_without_unlabelled_frames_a_run_has_the_same_steps_between_validations() -> None:
    of = configs("distillation", methods=("none", "response"), label_fractions=(0.1,), rooms=(320,), seeds=(3,))
    alone, taught = (next(of[run] for run in of if run.method == method) for method in ("none", "response"))
    for name in ("nb_epochs", "min_epochs", "val_frequency"):
        assert getattr(alone.optimisation, name) == 10 * getattr(taught.optimisation, name)
    assert taught.optimisation.min_epochs == 40
    for config in (alone, taught):
        labels = config.training_data
        assert (labels.label_fraction, labels.val_label_fraction, labels.label_seed) == (0.1, 0.1, 3)
        assert (config.optimisation.scheduler, config.optimisation.patience) == ("none", 0.2)


def test_the_light_student_meets_the_standard_one_at_its_default_width() -> None:
    standard, light = configs("light", seeds=(0,)).values()
    default = train_config("binaural")
    of_standard, of_light, of_default = flat(standard), flat(light), flat(default)
    for flag in ("base_channels", "model", "attention_levels"):
        assert of_standard[flag] == of_default[flag]
    assert of_light["base_channels"] == of_default["base_channels"]
    # The light network has no choice of convolution and upsampling.
    own = {"model", "attention_levels", "learning_rate", "experiment_name", "convolution", "bilinear"}
    own |= {"shared_encoder"}
    different = {flag for flag in of_standard if of_light.get(flag) != of_standard[flag]}
    assert different <= own
    assert of_light.keys() <= of_standard.keys()


def test_the_controls_differ_by_one_thing() -> None:
    of = {run.method: flat(config) for run, config in configs("distillation", rooms=(320,), seeds=(0,)).items()}

    def changes(method: str, other: str) -> dict[str, Any]:
        left_out = ("experiment_name", "teacher")
        return {name: value for name, value in of[method].items() if of[other][name] != value and name not in left_out}

    assert changes("shuffled_teacher", "best") == {"shuffle_teacher": True}
    assert changes("pseudo_labels", "same_batches") == {"pseudo_labels": True}
    assert changes("response", "same_batches") == {"lambda_kd": 1.0}
    same = train_config("distill", teacher="any", **DISTILLED["same_batches"])
    assert not any(loss.weight_value for loss in distillation_losses(same.distillation))
    assert train_config("distill", teacher="any", **DISTILLED["best"]) == train_config("distill", teacher="any")


def test_an_unknown_method_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"--methods telepathy: light has standard, wide_light"):
        runs_of(ExperimentConfig("light", methods=("telepathy",)))


def test_each_change_to_the_ear_is_alone_and_all_together_are_the_default() -> None:
    of = {run.method: flat(config) for run, config in configs("ear", seeds=(0,)).items()}
    original = of["original"]

    def changes(method: str) -> dict[str, Any]:
        flags = {name: value for name, value in of[method].items() if value != original[name]}
        flags.pop("experiment_name", None)
        return flags

    resolution = {"audio_bins": 32, "audio_frames": 128, "audio_range": 10.0}
    assert changes("shared_encoder") == {"shared_encoder": True}
    assert changes("no_attention") == {"attention_levels": ()}
    assert changes("binaural_cues") == {"binaural_cues": True}
    assert changes("image_grid") == {"image_grid": True}
    assert changes("resolution") == resolution
    assert changes("pulse_compression") == resolution | {"pulse_compression": True}
    together = (
        changes("shared_encoder") | changes("no_attention") | changes("image_grid") | changes("pulse_compression")
    )
    assert changes("all") == together
    default = flat(train_config("binaural"))
    assert {name: default[name] for name in together} == together


def test_any_number_of_rooms_replaces_those_of_the_preset() -> None:
    config = ExperimentConfig("distillation", "small", methods=("none",), label_fractions=(1.0,), rooms=(2300, 40))
    assert [(run.rooms, run.seed) for run in runs_of(config)] == [
        (rooms, seed) for seed in (0, 1, 2) for rooms in (2300, 40)
    ]
    small = SCALES["distillation"]["small"]
    assert config.scale == small._replace(rooms=(2300, 40), methods=("none",), label_fractions=(1.0,))


def test_the_preset_for_a_gpu_has_the_core_of_the_study_and_a_flag_replaces_a_part_of_it() -> None:
    core = ("teacher", "none", "same_batches", "pseudo_labels", "best", "unet_baseline")
    runs = runs_of(ExperimentConfig("distillation", "gpu"))
    assert len(runs) == 5 * len(core)
    assert {(run.method, run.rooms, run.label_fraction) for run in runs} == {(method, 320, 0.1) for method in core}
    assert {run.seed for run in runs} == {0, 1, 2, 3, 4}
    runs = runs_of(ExperimentConfig("distillation", "gpu", label_fractions=(0.3,), seeds=(7,)))
    assert [(run.method, run.label_fraction, run.seed) for run in runs] == [(method, 0.3, 7) for method in core]
    tried = {run.method for run in runs_of(ExperimentConfig("weights", "gpu"))}
    assert "response+0.3" in tried, "the weights of all losses are tried, whatever the core of distillation is"


def test_an_unknown_share_or_preset_and_too_few_rooms_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=r"--label_fractions must be above 0 and up to 1, such as 0.1, not 0$"):
        runs_of(ExperimentConfig("distillation", label_fractions=(0.0,)))
    with pytest.raises(ConfigError, match=r"--preset gpu: ear has tiny, small, large"):
        runs_of(ExperimentConfig("ear", preset="gpu"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"--rooms is 2: train, val and test need one room each, so give at least 3"):
        experiment(ExperimentConfig("distillation", rooms=(2,)))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_study_is_done_once_resumes_and_weighs_losses_by_their_gradient(
    tmp_path: Path, simulated_once: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    methods = ("none", "same_batches", "response+0.3")
    config = ExperimentConfig("weights", "tiny", methods=methods, label_fractions=(0.5,), seeds=(0,), workers=1)
    folder = experiment(config)
    rows = json.loads((folder / "val.json").read_text())
    assert [row["method"] for row in rows] == [
        *("teacher", "none", "same_batches", "response+0.3", "mean_depth", "shuffled_audio")
    ]
    facts = {"rooms": 12, "label_fraction": 0.5, "label_seed": 0, "split": "val"}
    assert rows[3].items() >= facts.items()
    assert {"rmse", "abs_rel", "delta1", "steps", "epochs", "seconds", "converged", "commit"} <= rows[3].keys()
    assert "frames" not in rows[3]
    assert (folder / "val_curves.png").read_bytes().startswith(b"\x89PNG")
    assert "| response+0.3 | same | 1 |" in capsys.readouterr().out
    # The weight that was trained with gives the response's gradient 0.3 times the norm of the supervised one.
    (run,) = (run for run in runs_of(config) if run.share)
    setting = Setting("weights", config.scale, "tiny", "cpu")
    weights = loss_weights(setting, [run], folder / "weights.json")
    saved = json.loads(Path(f"logs/{setting.experiment_name(run)}/config.json").read_text())
    assert saved["flags"]["lambda_kd"] == weights[run.name]
    task, data, _ = new_task(setting._replace(weights=weights).train_config(run))
    assert isinstance(task, DistillationTask)
    alone = load_depth_model(setting.experiment_name(Run("none", 12, 0.5, "none", 0)))
    task.model.network.load_state_dict(alone.network.state_dict())
    data.setup("fit")
    norms = gradient_norms(task.train(), [batch for batch in data.train_dataloader() if batch["valid"].any()])
    assert norms["kd"] / norms["supervised"] == pytest.approx(0.3, rel=0.3)
    # Nothing is trained twice; a run that lost its last epochs goes on, and one that lost all starts over.
    written = {path: path.stat().st_mtime_ns for path in Path("checkpoints").rglob("*.pth")}
    for name in ("none", "same_batches"):
        next(folder.glob(f"val/{name}_*.json")).unlink()
    kept = sorted(Path(f"checkpoints/{setting.experiment_name(Run('none', 12, 0.5, 'none', 0))}").glob("*.pth"))
    for path in kept[1:]:
        path.unlink()
    experiment(config)
    again = {path: path.stat().st_mtime_ns for path in Path("checkpoints").rglob("*.pth")}
    assert {path for path in written if written[path] != again[path]} == set(kept[1:])
    assert [row | {"seconds": 0} for row in json.loads((folder / "val.json").read_text())] == [
        row | {"seconds": 0} for row in rows
    ]


@pytest.mark.slow
def test_ears_are_compared_with_and_without_the_mirrored_input(
    tmp_path: Path, simulated_once: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    methods = ("original", "all")
    folder = experiment(ExperimentConfig("ear", preset="tiny", methods=methods, seeds=(0,), workers=1))
    told = json.loads((folder / "val.json").read_text())
    assert [row["method"] for row in told] == [
        *("original", "original_mirrored", "all", "all_mirrored", "mean_depth", "shuffled_audio")
    ]
    assert "frames" not in told[0]
    assert "| all_mirrored |" in capsys.readouterr().out
    spec = load_depth_model("experiment_ear_tiny_all_12_1_none_0").spec
    assert spec.arguments["image_grid"]
    assert spec.front_end["chirp"] == "linear"


@pytest.mark.slow
def test_workers_that_were_begun_elsewhere_follow_to_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """joblib keeps its workers: a second study from another folder once looked for its rooms in the first one's."""
    for place in ("first", "second"):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        folder = experiment(
            ExperimentConfig(
                "distillation", preset="tiny", methods=("none",), label_fractions=(1.0,), seeds=(0,), workers=2
            )
        )
        assert (tmp_path / place / folder / "val.json").is_file()

"""A study: which runs it has, that they are done once, and the arithmetic of its table."""

import json
from collections import Counter
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from echodepth.core.errors import ConfigError
from echodepth.core.flags import flat
from echodepth.distillation.losses.total import distillation_losses
from echodepth.experiments.config import BenchmarkConfig
from echodepth.experiments.ear_table import COLUMNS, against, ear_markdown
from echodepth.experiments.grid import DISTILLED, Run, runs_of
from echodepth.experiments.study import benchmark, config_of, rooms
from echodepth.experiments.table import gap_closed, markdown
from echodepth.metrics.depth import METRICS
from echodepth.metrics.direction import DIFFERENCES
from echodepth.models.checkpoint import load_model
from echodepth.training.compose import train_config


def row(method: str, rmse: float, fraction: float = 1.0, source: str = "same", seed: int = 0) -> dict[str, Any]:
    figures = {"rmse": rmse, "abs_rel": 0.2, "delta1": 0.7}
    return {"method": method, "label_fraction": fraction, "teacher_data": source, "seed": seed, **figures}


def test_every_way_of_teaching_runs_in_three_settings_and_a_student_alone_in_two() -> None:
    runs = runs_of(BenchmarkConfig("distillation", seeds=(0, 1)))
    assert Counter(run.method for run in runs if run.seed == 0) == {
        **dict.fromkeys(DISTILLED, 3),
        "none": 2,
        "teacher": 3,
    }
    assert len({run.name for run in runs}) == len(runs)
    teachers = [run for run in runs if run.method == "teacher"]
    assert runs[: len(teachers)] == teachers
    assert {run.teacher for run in runs if run.method in DISTILLED} == set(teachers)


def test_a_teacher_from_elsewhere_knows_all_labels_of_other_rooms() -> None:
    teacher = Run("response", 0.1, "elsewhere", 0).teacher
    assert teacher == Run("teacher", 1.0, "elsewhere", 0)
    assert config_of(teacher, "small").data.data_dir == rooms("small", elsewhere=True)
    assert config_of(Run("response", 0.1, "elsewhere", 0), "small").data.data_dir == rooms("small", elsewhere=False)


def test_alone_or_taught_a_student_makes_the_same_number_of_steps() -> None:
    alone, taught = (config_of(Run(method, 0.1, "same", 0), "small") for method in ("none", "response"))
    assert alone.optimisation.nb_epochs * alone.training_data.label_fraction == pytest.approx(
        taught.optimisation.nb_epochs
    )


def test_the_light_student_meets_the_standard_one_at_its_default_width() -> None:
    standard, light = (config_of(run, "small") for run in runs_of(BenchmarkConfig("light", seeds=(0,))))
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


def test_each_way_of_teaching_has_a_weight_and_the_control_differs_by_its_pairs_alone() -> None:
    for flags in DISTILLED.values():
        config = train_config("distill", teacher="any", **flags)
        assert flat(config)["pseudo_labels"] or any(
            loss.weight_value for loss in distillation_losses(config.distillation)
        )
    assert train_config("distill", teacher="any", **DISTILLED["best"]) == train_config("distill", teacher="any")
    assert DISTILLED["shuffled_teacher"] == DISTILLED["best"] | {"shuffle_teacher": True}


def test_the_gap_closed_by_hand() -> None:
    rows = [
        row("none", 1.25, 0.1, "none"),
        row("none", 1.35, 0.1, "none", seed=1),
        row("teacher", 0.7, 1.0, "elsewhere"),
        row("teacher", 0.9, 0.1, "same"),
        row("response", 1.15, 0.1, "elsewhere"),
        row("response", 1.20, 0.1, "same"),
    ]
    assert gap_closed(rows, 0.1, "elsewhere", rows[4:5]) == pytest.approx((1.3 - 1.15) / (1.3 - 0.7))
    assert gap_closed(rows, 0.1, "same", rows[5:6]) == pytest.approx((1.3 - 1.2) / (1.3 - 0.9))
    assert gap_closed(rows, 0.1, "none", rows[:2]) is None
    text = markdown(BenchmarkConfig("distillation"), rows)
    assert "| 0.1 | none | none | 1.300 ± 0.071 | 0.200 ± 0.000 | 0.700 ± 0.000 |  |" in text
    assert "| 0.1 | elsewhere | response | 1.150 | 0.200 | 0.700 | 25 % |" in text


def test_an_unknown_method_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"--methods telepathy: light has standard, wide_light"):
        runs_of(BenchmarkConfig("light", methods=("telepathy",)))


def test_each_change_to_the_ear_is_alone_and_all_together_are_the_default() -> None:
    configs = {run.method: flat(config_of(run, "small")) for run in runs_of(BenchmarkConfig("ear", seeds=(0,)))}
    original = configs["original"]

    def changes(method: str) -> dict[str, Any]:
        flags = {name: value for name, value in configs[method].items() if value != original[name]}
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


def test_the_table_of_ears_by_hand() -> None:
    """Two rooms of four frames, two seeds; the second student is 0.2 m better in one room and 0.1 m in the other."""

    def run(method: str, seed: int, errors: tuple[float, float]) -> dict[str, Any]:
        frames = [
            {"name": f"{room}{frame}", "room": str(room), "pixels": 10}
            | dict.fromkeys(METRICS, errors[room] + 0.01 * seed)
            | dict.fromkeys(DIFFERENCES, 0.1 * frame)
            for room in (0, 1)
            for frame in range(4)
        ]
        figures = dict.fromkeys(COLUMNS, 0.5) | {"rmse": mean(errors) + 0.01 * seed}
        return {"method": method, "seed": seed, "frames": frames} | figures

    original = [run("original", seed, (1.0, 1.2)) for seed in (0, 1)]
    better = [run("all", seed, (0.8, 1.1)) for seed in (0, 1)]
    assert against(better, original) == (
        # Student's interval of two rooms: 12.7 times the standard error of -0.2 and -0.1 about -0.15, 0.05.
        "-0.150 m (-13.6%) [-0.785, +0.485]",
        "-13.6% to -13.5%",
    )
    assert against(better[:1], original[1:]) == ("", "")
    text = ear_markdown(BenchmarkConfig("ear"), [*better, *original])
    assert "| original | 1.105 ± 0.007 | 0.500 ± 0.000 |" in text
    assert text.index("| original |") < text.index("| all |")


def test_shares_are_those_asked_for_and_a_share_of_nothing_is_refused() -> None:
    runs = runs_of(BenchmarkConfig("distillation", methods=("none", "best"), label_fractions=(0.25,), seeds=(0,)))
    assert {(run.method, run.label_fraction, run.teacher_data) for run in runs} == {
        ("teacher", 0.25, "same"),
        ("teacher", 1.0, "elsewhere"),
        ("none", 0.25, "none"),
        ("best", 0.25, "same"),
        ("best", 0.25, "elsewhere"),
    }
    with pytest.raises(ConfigError, match=r"--label_fractions must be above 0 and up to 1, such as 0.1, not 0$"):
        runs_of(BenchmarkConfig("distillation", label_fractions=(0.0,)))


@pytest.mark.slow
def test_a_study_is_done_once_and_tells_what_was_asked(
    tmp_path: Path, simulated_once: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = BenchmarkConfig("distillation", preset="tiny", methods=("none", "response"), seeds=(0,), workers=1)
    folder = benchmark(config)
    told = json.loads((folder / "val.json").read_text())
    assert Counter((r["method"], r["label_fraction"], r["teacher_data"]) for r in told) == dict.fromkeys(
        [
            *(("teacher", 1.0, "same"), ("teacher", 0.1, "same"), ("teacher", 1.0, "elsewhere")),
            *(("none", 1.0, "none"), ("none", 0.1, "none")),
            *(("response", 1.0, "same"), ("response", 0.1, "same"), ("response", 0.1, "elsewhere")),
            *((control, share, "none") for control in ("mean_depth", "shuffled_audio") for share in (1.0, 0.1)),
        ],
        1,
    )
    assert {"method", "label_fraction", "teacher_data", "seed", "split", "rmse", "abs_rel", "delta1"} <= told[0].keys()
    assert "| 0.1 | elsewhere | response |" in capsys.readouterr().out
    written = {path: path.stat().st_mtime_ns for path in Path("checkpoints").rglob("*.pth")}
    (folder / "val" / "response_1_same_0.json").unlink()
    benchmark(config)
    assert {path: path.stat().st_mtime_ns for path in Path("checkpoints").rglob("*.pth")} == written
    assert json.loads((folder / "val.json").read_text()) == told
    # Killed after its eighth epoch, a run goes on from there; killed before its first checkpoint, it starts over.
    early, late = Path("checkpoints/benchmark_tiny_none_1_none_0"), Path("checkpoints/benchmark_tiny_none_0.1_none_0")
    for path in (early / "epoch_0001.pth", late / "epoch_0010.pth", *folder.glob("val/none_*.json")):
        path.unlink()
    kept = (late / "epoch_0008.pth").stat().st_mtime_ns
    benchmark(config)
    assert (late / "epoch_0008.pth").stat().st_mtime_ns == kept
    assert json.loads((folder / "val.json").read_text()) == told


@pytest.mark.slow
def test_ears_are_compared_with_and_without_the_mirrored_input(
    tmp_path: Path, simulated_once: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    methods = ("original", "all")
    folder = benchmark(BenchmarkConfig("ear", preset="tiny", methods=methods, seeds=(0,), workers=1))
    told = json.loads((folder / "val.json").read_text())
    assert [row["method"] for row in told] == [
        *("original", "original_mirrored", "all", "all_mirrored", "mean_depth", "shuffled_audio")
    ]
    assert "frames" not in told[0]
    assert "| all_mirrored |" in capsys.readouterr().out
    spec = load_model("benchmark_tiny_all_1_none_0").spec
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
        folder = benchmark(
            BenchmarkConfig(
                "distillation", preset="tiny", methods=("none",), label_fractions=(1.0,), seeds=(0,), workers=2
            )
        )
        assert (tmp_path / place / folder / "val.json").is_file()

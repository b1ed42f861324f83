"""Evaluation against figures worked out from the files themselves, and the controls, flags and files of it."""

import csv
import json
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from echodepth.core.device import choose_device
from echodepth.core.errors import CheckpointError, ConfigError, DataError
from echodepth.core.source_commit import source_commit
from echodepth.core.strict_json import to_json
from echodepth.data.dataset import open_dataset
from echodepth.data.recorded import trained_data
from echodepth.evaluation.config import ScoringConfig
from echodepth.evaluation.controls import ShuffledAudio, derangement
from echodepth.evaluation.evaluate import evaluate
from echodepth.evaluation.scoring import score_model, scored_data
from echodepth.metrics.depth import METRICS
from echodepth.metrics.direction import DIFFERENCES
from echodepth.models.checkpoint import DepthModel, ModelSpec, load_depth_model
from echodepth.models.run_record import RunRecord
from tests.configs import evaluate_config
from tests.tiny import SIDE, constant, save_tiny, save_tiny_rgb, write_v2


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_v2(tmp_path_factory.mktemp("v2"))


@pytest.fixture
def ears(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> DepthModel:
    """An audio model, saved as the experiment "ears" of the working directory."""
    monkeypatch.chdir(tmp_path)
    return save_tiny(tmp_path / "checkpoints" / "ears", root)


def test_figures_are_those_of_the_files(ears: DepthModel, root: Path) -> None:
    """A model that always says 2 m, against the depth maps read by NumPy alone."""
    result = score_model(constant(ears, 2.0), ScoringConfig())
    rows = (2 * np.arange(SIDE) + 1) * 24 // (2 * SIDE)
    columns = (2 * np.arange(SIDE) + 1) * 40 // (2 * SIDE)
    errors, pixels = [], 0
    for row in result.rows:
        location, number = row["name"].split("/")
        truth = np.load(root / location / "depth" / f"depth_{number}.npy")[np.ix_(rows, columns)] / 1000
        truth = truth[truth >= 0.5]
        pixels += truth.size
        errors.append(np.abs(truth - 2).mean())
        assert row["mae"] == pytest.approx(errors[-1], rel=1e-6)
        assert row["pixels"] == truth.size
    assert len(result.rows) == 6
    assert result.metrics["mae"] == pytest.approx(np.mean(errors), rel=1e-6)
    assert result.counts == {
        "images": 6,
        "pixels": pixels,
        "images_without_valid": 0,
        "bad_predictions": 0,
        "bad_rows": 0,
    }


def test_files_hold_everything_a_figure_depends_on(ears: DepthModel, root: Path) -> None:
    result = evaluate(evaluate_config("ears", split="val", protocol="official"))
    folder = Path("results/ears")
    assert sorted(p.name for p in folder.iterdir()) == ["evaluate_val_official.csv", "evaluate_val_official.json"]
    told = json.loads((folder / "evaluate_val_official.json").read_text())
    for name, value in {"protocol": "official", "split": "val", "dataset": "batvisionv2", "label": "audio"}.items():
        assert told[name] == value
    assert told["counts"]["images"] == 4
    assert told["counts"]["pixels"] > 0
    assert told["commit"] == source_commit()
    assert told["data_dir"] == str(root)
    assert told["model"]["epoch"] == 1
    assert told["metrics"]["pooled_rmse"] == result.metrics["pooled_rmse"]
    with (folder / "evaluate_val_official.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["name", "room", "pixels", *METRICS, *DIFFERENCES]
    for name in METRICS:
        assert np.mean([float(row[name]) for row in rows]) == pytest.approx(told["metrics"][name])


def test_out_and_control_name_the_files(ears: DepthModel, tmp_path: Path) -> None:
    evaluate(evaluate_config("ears", control="mean_depth", out=tmp_path / "here"))
    assert (tmp_path / "here" / "evaluate_test_valid_mean_depth.json").is_file()


def test_protocols_score_different_pixels(ears: DepthModel) -> None:
    pixels = {name: score_model(ears, ScoringConfig(protocol=name)).counts["pixels"] for name in ("official", "valid")}
    # Bilinear resizing fills every hole that has a measured neighbour.
    assert pixels["official"] > pixels["valid"]


def test_batch_size_changes_nothing(ears: DepthModel) -> None:
    one, five = (score_model(ears, ScoringConfig(batch_size=size)) for size in (1, 5))
    assert one.metrics == pytest.approx(five.metrics, rel=1e-5)
    assert [row["name"] for row in one.rows] == [row["name"] for row in five.rows]


def test_mean_depth_control_predicts_the_training_mean_and_needs_no_audio(ears: DepthModel, root: Path) -> None:
    result = score_model(ears, ScoringConfig(), "mean_depth")
    training = open_dataset(trained_data(ears), "train", ("depth",))
    frames = [training[i] for i in range(len(training))]
    maps = np.stack([np.where(f["valid"][0], f["depth"][0], np.nan) for f in frames])
    mean = np.nanmean(maps, axis=0)
    test = open_dataset(trained_data(ears), "test", ("depth",))[0]
    scored = test["valid"][0].numpy() & (test["depth"][0].numpy() >= 0.5)
    expected = np.abs(mean - test["depth"][0].numpy())[scored].mean()
    assert result.rows[0]["mae"] == pytest.approx(expected, rel=1e-5)
    assert result.label == "mean-depth baseline"


def test_derangement_moves_everyone_and_is_fixed_by_its_seed() -> None:
    for count in (2, 3, 17):
        source = derangement(count, seed=1)
        assert sorted(source.tolist()) == list(range(count))
        assert (source != torch.arange(count)).all()
    assert torch.equal(derangement(9, seed=4), derangement(9, seed=4))
    assert not torch.equal(derangement(9, seed=4), derangement(9, seed=5))


def test_shuffled_frames_keep_their_depth_and_hear_another(ears: DepthModel) -> None:
    frames = open_dataset(trained_data(ears), "test", ("audio", "depth"))
    shuffled = ShuffledAudio(frames, seed=0)
    for index in range(len(frames)):
        assert shuffled[index]["name"] == frames[index]["name"]
        assert torch.equal(shuffled[index]["depth"], frames[index]["depth"])
        heard = [torch.equal(shuffled[index]["audio"], frames[other]["audio"]) for other in range(len(frames))]
        assert sum(heard) == 1
        assert not heard[index]


def test_shuffled_control_changes_the_figures_and_repeats(ears: DepthModel) -> None:
    shuffled = score_model(ears, ScoringConfig(), "shuffled_audio")
    assert shuffled.metrics == score_model(ears, ScoringConfig(), "shuffled_audio").metrics
    assert shuffled.metrics["rmse"] != score_model(ears, ScoringConfig()).metrics["rmse"]


def test_shuffled_control_is_refused_for_a_model_without_ears(tmp_path: Path, root: Path) -> None:
    model = save_tiny_rgb(tmp_path / "eyes", root)
    with pytest.raises(ConfigError, match="eyes takes images, there is no audio to shuffle"):
        score_model(model, ScoringConfig(), "shuffled_audio")


def test_an_rgb_model_is_scored_without_any_audio(tmp_path: Path, root: Path) -> None:
    result = score_model(save_tiny_rgb(tmp_path / "eyes", root), ScoringConfig())
    assert result.label == "RGB (upper bound)"
    assert result.counts["images"] == 6


def test_left_out_location_is_scored_alone_and_only_under_loo(tmp_path: Path, root: Path) -> None:
    model = save_tiny(tmp_path / "ears", root, leave_out="Cellar")
    result = score_model(model, ScoringConfig(protocol="loo"))
    assert result.left_out == "Cellar"
    assert {row["name"].split("/")[0] for row in result.rows} == {"Cellar"}
    assert len(result.rows) == 8  # whichever of train, val and test lists them: none was trained on
    everywhere = score_model(model, ScoringConfig(protocol="valid"))
    assert {row["name"].split("/")[0] for row in everywhere.rows} == {"Attic", "Cellar"}
    with pytest.raises(ConfigError, match="use --split test, not val"):
        score_model(model, ScoringConfig(protocol="loo", split="val"))


def test_loo_needs_a_model_that_left_a_location_out(ears: DepthModel) -> None:
    with pytest.raises(ConfigError, match="train with --leave_out LOCATION"):
        score_model(ears, ScoringConfig(protocol="loo"))


def test_everything_but_the_place_of_the_data_is_as_trained(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "ears", tmp_path, audio_start="zero", max_depth=12.0, locations=["Attic"])
    same = scored_data(model, ScoringConfig(data_dir=Path("elsewhere"), skip_bad=True))
    assert (same.data_dir, same.skip_bad, same.locations) == (Path("elsewhere"), True, ("Attic",))
    other = scored_data(model, ScoringConfig(dataset="batvisionv1"))
    assert (other.root, other.locations) == (Path("data/batvisionv1"), ())
    for data in (same, other):
        assert (data.audio_start, data.depth_limit, data.cut_seconds, data.image_size) == ("zero", 12.0, 0.02, SIDE)


def test_another_dataset_does_not_bring_its_own_range(tmp_path: Path) -> None:
    """V1's default of 12 m must not cut the truth for a model that was trained to 30 m."""
    model = save_tiny(tmp_path / "ears", tmp_path, audio_seconds=None)
    other = scored_data(model, ScoringConfig(dataset="batvisionv1"))
    assert other.depth_limit == 30.0
    assert other.cut_seconds == pytest.approx(60 / 340)


def test_bad_rows_stop_or_are_left_out_and_counted(tmp_path: Path) -> None:
    root = write_v2(tmp_path / "v2", {"train": 1, "val": 1, "test": 2})
    broken = next((root / "Attic" / "audio").iterdir()).with_name("audio_3.wav")
    broken.write_bytes(b"not a recording")
    model = save_tiny(tmp_path / "ears", root)
    with pytest.raises(DataError, match=r"audio_3\.wav"):
        score_model(model, ScoringConfig())
    result = score_model(model, ScoringConfig(skip_bad=True))
    assert (result.counts["images"], result.counts["bad_rows"]) == (3, 1)
    assert "audio_3.wav" in result.bad_rows[0]
    assert score_model(model, ScoringConfig(skip_bad=True), "shuffled_audio").counts["bad_rows"] == 1


def test_predictions_that_are_no_depth_are_counted(ears: DepthModel) -> None:
    result = score_model(constant(ears, math.nan), ScoringConfig())
    assert result.counts["bad_predictions"] == result.counts["pixels"]
    assert result.metrics["delta3"] == 0


def test_a_bare_checkpoint_is_scored_with_the_defaults_and_says_so(
    ears: DepthModel, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spec = ModelSpec("rgb", {"base_channels": 2, "output_size": SIDE}, {"image_size": SIDE})
    result = score_model(DepthModel(spec, RunRecord(experiment_name="bare")).eval(), ScoringConfig(data_dir=root))
    assert result.counts["images"] == 6
    assert "bare does not record what it was trained on" in caplog.text


def test_settings_of_another_version_are_refused_by_name(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "ears", tmp_path, whiskers=3)
    with pytest.raises(CheckpointError, match="does not know: whiskers"):
        trained_data(model)


def test_devices() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in ("cpu", "cuda")
    with pytest.raises(ConfigError, match="--device abacus cannot be used here"):
        choose_device("abacus")


def test_missing_experiment_names_those_there_are(ears: DepthModel) -> None:
    with pytest.raises(CheckpointError, match="ears"):
        evaluate(evaluate_config("eyes"))
    assert load_depth_model("ears").run.experiment_name == "ears"


def test_json_is_strict() -> None:
    assert json.loads(to_json({"a": math.nan, "b": [1.5, math.inf], "c": {"d": "x"}})) == {
        "a": None,
        "b": [1.5, None],
        "c": {"d": "x"},
    }


def test_commit_is_that_of_the_source_not_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = source_commit()
    assert here == "unknown" or len(here.removesuffix("-dirty")) == 40
    if shutil.which("git"):
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.chdir(tmp_path)
    assert source_commit() == here


def test_the_genuine_frame_under_both_resizings(tmp_path: Path, real_data: Path) -> None:
    """Bilinear resizing bleeds zeros into edges and fills holes, so it scores other pixels at other depths."""
    sample = real_data / "batvision_v2_sample"
    for kind, name in {"audio": "audio_47.wav", "camera": "camera_47.jpeg", "depth": "depth_47.npy"}.items():
        (tmp_path / "Room" / kind).mkdir(parents=True)
        shutil.copyfile(sample / name, tmp_path / "Room" / kind / name)
    header = "audio path,audio file name,camera path,camera file name,depth path,depth file name"
    row = "Room/audio/,audio_47.wav,Room/camera/,camera_47.jpeg,Room/depth/,depth_47.npy"
    for split in ("train", "val", "test"):
        (tmp_path / "Room" / f"{split}.csv").write_text(f"{header}\n{row}\n")
    model = constant(save_tiny(tmp_path / "ears", tmp_path), 1.0)
    official, valid = (score_model(model, ScoringConfig(protocol=name)) for name in ("official", "valid"))
    raw = np.load(sample / "depth_47.npy")
    assert valid.counts["pixels"] / SIDE**2 == pytest.approx((raw >= 500).mean(), abs=0.03)
    assert official.counts["pixels"] / SIDE**2 > (raw > 0).mean()
    assert valid.metrics["mae"] == pytest.approx(np.abs(raw[raw >= 500] / 1000 - 1).mean(), rel=0.15)
    assert official.metrics["abs_rel"] > valid.metrics["abs_rel"]
    # With one frame to learn from and to be scored on, the mean-depth baseline is the ground truth itself.
    assert score_model(model, ScoringConfig(), "mean_depth").metrics["rmse"] == pytest.approx(0, abs=1e-6)

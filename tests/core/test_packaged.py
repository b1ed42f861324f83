"""What comes with the package: a model by name and by default, and example recordings."""

import runpy
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

import echodepth
from echodepth import cli
from echodepth.apps.demo.config import DemoConfig
from echodepth.apps.demo.examples import find_examples
from echodepth.core import packaged
from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.core.packaged import DEFAULT_MODEL, EXAMPLE_FOLDER, EXAMPLES
from echodepth.inference.predictor import load_model
from echodepth.models.checkpoint import save_model
from echodepth.training.compose import train_config
from echodepth.training.validation import check_flags
from tests.conftest import ROOT
from tests.tiny import save_packaged, save_tiny_rgb

LIMITS = "The training data are simulated rooms only; the accuracy in real rooms is not known."
needs_the_model = pytest.mark.skipif(
    not (packaged.PRETRAINED / DEFAULT_MODEL / "config.json").is_file(), reason=f"{DEFAULT_MODEL} is not in this tree"
)


@pytest.fixture
def box(tmp_path: Path, v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packaged models with a tiny one of the default name, and an empty working directory."""
    folder = tmp_path / "pretrained"
    save_packaged(folder, v2_root)
    monkeypatch.setattr(packaged, "PRETRAINED", folder)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


# ---- the model ----


def test_the_default_model_is_used_and_named_where_none_is(box: Path, caplog: pytest.LogCaptureFixture) -> None:
    by_default = echodepth.load_model(device="cpu")
    assert caplog.messages == [f"no model is named: {DEFAULT_MODEL} is used, which comes with echodepth. {LIMITS}"]
    caplog.clear()
    by_name, by_path = load_model(DEFAULT_MODEL, "cpu"), load_model(box / DEFAULT_MODEL, "cpu")
    assert not caplog.messages
    depths = [each.infer(EXAMPLES[0]).depth for each in (by_default, by_name, by_path)]
    assert np.array_equal(depths[0], depths[1])
    assert np.array_equal(depths[0], depths[2])


def test_a_missing_model_lists_the_packaged_one(box: Path) -> None:
    with pytest.raises(CheckpointError, match=rf"no model at mine: .*\(there are {DEFAULT_MODEL}\)"):
        load_model("mine")
    with pytest.raises(CheckpointError, match=r"no model at \.\./pretrained/other"):
        load_model("../pretrained/other")


@pytest.mark.parametrize("command", [["predict", "x.wav"], ["demo"], ["listen", "--card", "simulated"]])
def test_where_no_model_comes_with_the_package_one_has_to_be_named(
    command: list[str], v2_root: Path, box: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It said "no model at echodepth-light", which nobody had named; and an own model of that name is not packaged."""
    monkeypatch.setattr(packaged, "PRETRAINED", box / "none")
    save_tiny_rgb(Path("checkpoints") / DEFAULT_MODEL, v2_root)
    with pytest.raises(SystemExit):
        cli.main([*command, "--device", "cpu"])
    message = capsys.readouterr().err
    assert "no model is named, and none comes with this installation of echodepth: give --checkpoint a model" in message
    assert f"(there are {DEFAULT_MODEL})" in message
    with pytest.raises(ConfigError, match=r"needs an exported file.*echodepth export --checkpoint MODEL --format onnx"):
        load_model(None, "cpu", "onnx")


@pytest.mark.parametrize("place", [DEFAULT_MODEL, f"checkpoints/{DEFAULT_MODEL}/best"])
def test_a_name_of_two_models_is_refused(place: str, box: Path, v2_root: Path) -> None:
    """Were either preferred, the same command would use another model in another folder."""
    save_model(save_tiny_rgb(Path("eyes"), v2_root), Path(place))
    for name in (None, DEFAULT_MODEL):
        with pytest.raises(
            CheckpointError, match=rf"{DEFAULT_MODEL} names two models.*rename {place}, or .* \./{place}"
        ):
            load_model(name, "cpu")
    assert load_model(f"./{place}", "cpu").backend.input_key == "image"


def test_no_experiment_takes_the_name_of_a_packaged_model(box: Path) -> None:
    with pytest.raises(ConfigError, match=f"--experiment_name {DEFAULT_MODEL} is a model that comes with echodepth"):
        check_flags(train_config("binaural", experiment_name=DEFAULT_MODEL))


def test_commands_need_no_checkpoint(box: Path, v2_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["predict", "--examples", "--save", "npy", "--device", "cpu"])
    results = Path("results") / DEFAULT_MODEL
    assert [path.name for path in sorted(results.glob("predictions/*.npy"))] == [
        f"{recording.stem}_{what}.npy" for recording in EXAMPLES for what in ("depth", "uncertainty")
    ]
    cli.main(["listen", "--card", "simulated", "--count", "1", "--device", "cpu"])
    assert "chirp 1: " in capsys.readouterr().out
    cli.main(["evaluate", "--data_dir", str(v2_root), "--dataset", "batvisionv2", "--split", "val"])
    assert (results / "evaluate_val_valid.json").is_file()
    with pytest.raises(SystemExit):
        cli.main(["predict", "--backend", "onnx", "--examples"])
    assert f"echodepth export --checkpoint {DEFAULT_MODEL} --format onnx" in capsys.readouterr().err


@needs_the_model
def test_the_packaged_model_is_small_and_of_simulated_rooms() -> None:
    folder = packaged.PRETRAINED / DEFAULT_MODEL
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2.5e6
    model = load_model(folder, "cpu").backend
    assert (model.input_key, model.image_size, model.run.experiment_name) == ("audio", 128, DEFAULT_MODEL)
    assert model.run.dtype == "float16"
    assert model.run.dtype_error is not None
    assert model.run.dtype_error < 0.05
    assert model.run.data_limits == LIMITS
    assert "data_dir" not in model.run.data
    assert len(model.run.tests) >= 2
    card = (folder / "README.md").read_text()
    assert LIMITS in card
    assert "## Tests" in card


@needs_the_model
@pytest.mark.parametrize("recording", EXAMPLES, ids=lambda path: path.stem)
def test_the_packaged_model_hears_the_example_rooms(recording: Path) -> None:
    """Its error is below that of the best constant, which needs to know the depth."""
    with Image.open(recording.with_name(f"{recording.stem}_depth.png")) as image:
        truth = np.asarray(image.resize((128, 128), Image.Resampling.NEAREST)) / 1000
    estimate = load_model(DEFAULT_MODEL, "cpu").infer(recording)
    assert estimate.uncertainty is not None
    assert np.sqrt(np.mean((estimate.depth - truth) ** 2)) < truth.std()


# ---- the examples ----


def test_examples_are_small_complete_and_in_the_wheel() -> None:
    assert [path.stem for path in EXAMPLES] == ["corridor", "hall", "office"]
    assert echodepth.EXAMPLES == EXAMPLES
    sizes = [path.stat().st_size for path in EXAMPLE_FOLDER.iterdir()]
    assert len(sizes) == 9
    assert sum(sizes) < 300_000
    for recording in EXAMPLES:
        audio, rate = soundfile.read(recording)
        assert (audio.shape, rate) == ((8192, 2), 44100)
        with Image.open(recording.with_suffix(".jpg")) as image:
            assert image.size == (256, 256)
        with Image.open(recording.with_name(f"{recording.stem}_depth.png")) as depth:
            metres = np.asarray(depth) / 1000
            assert metres.shape == (256, 256)
            assert 0.3 < metres.min() < metres.max() < 30
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["echodepth"]
    assert {"examples/*", "pretrained/*/*"} <= set(data)


def test_an_example_is_what_its_script_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rooms are those of the simulator of today, and their seed is in the script; one of them is enough here."""
    from echodepth.simulate import writer
    from echodepth.simulate.plan import plan

    script = runpy.run_path(str(ROOT / "scripts" / "make_examples.py"))
    monkeypatch.setattr(writer, "plan", lambda config: plan(config)[:1])
    script["write_examples"](tmp_path, script["NAMES"][:1])
    assert len(list(tmp_path.iterdir())) == 3
    for made in tmp_path.iterdir():
        path = EXAMPLE_FOLDER / made.name
        if path.suffix == ".wav":  # another processor rounds otherwise
            assert np.abs(soundfile.read(path)[0] - soundfile.read(made)[0]).max() < 1e-3
        else:
            with Image.open(path) as shipped, Image.open(made) as again:
                difference = np.abs(np.asarray(shipped, np.int32) - np.asarray(again, np.int32))
            assert np.mean(difference > 8) < 1e-3


def test_examples_come_without_other_files(box: Path, v2_root: Path) -> None:
    save_tiny_rgb(Path("checkpoints/eyes"), v2_root)
    cli.main(["predict", "--examples", "--checkpoint", "eyes", "--save", "npy", "--device", "cpu"])
    depth = np.load(f"results/eyes/predictions/{EXAMPLES[0].stem}_depth.npy")
    assert depth.shape == (256, 256)
    for others in (["a.wav"], ["--split", "test"], ["--image", "a.jpg"], ["--dataset", "simulated"]):
        with pytest.raises(SystemExit):
            cli.main(["predict", "--examples", "--device", "cpu", *others])


def test_the_demo_shows_the_examples_with_the_default_model(box: Path, v2_root: Path) -> None:
    predictor = load_model(DEFAULT_MODEL, "cpu")
    for config in (DemoConfig(), DemoConfig(DEFAULT_MODEL)):
        found = find_examples(config, [predictor])
        assert [each.recording for each in found] == list(EXAMPLES)
        assert all(each.image and each.ground_truth for each in found)
    assert len(find_examples(DemoConfig(data_dir=v2_root), [predictor])) == 6

"""The command line: what it says, how fast, and that a user's mistake never shows a traceback."""

import io
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from echodepth import __version__, cli
from echodepth.core.errors import ConfigError, DataError, plain_message
from echodepth.core.flags import plain, replace
from echodepth.training.compose import train_config
from tests.conftest import ROOT
from tests.tiny import save_tiny_rgb


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT)},
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("script", ["train_rgb_depth", "train_binaural_attention", "train_distillation"])
def test_the_documented_scripts_show_their_flags(script: str, tmp_path: Path) -> None:
    shown = run(str(ROOT / f"{script}.py"), "--help", cwd=tmp_path)
    assert shown.returncode == 0
    for flag in ("--dataset", "--batch_size", "--lambda_l1", "--checkpoints", "--use_wandb", "--experiment_name"):
        assert flag in shown.stdout
    assert ("--attention_levels" in shown.stdout) == (script != "train_rgb_depth")
    assert ("--teacher" in shown.stdout) == (script == "train_distillation")


@pytest.mark.slow
def test_a_mistake_ends_with_one_line_and_status_two(tmp_path: Path) -> None:
    shown = run("-m", "echodepth", "train", "rgb", "--data_dir", "nowhere", cwd=tmp_path)
    assert shown.returncode == cli.USER_ERROR
    assert shown.stderr.startswith("echodepth: BatVision V2 not found in nowhere: download it from https://doi.org/")
    assert shown.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def rgb_model(v2_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model called rgb in the test's own folder."""
    monkeypatch.chdir(tmp_path)
    save_tiny_rgb(tmp_path / "checkpoints" / "rgb", v2_root)


def test_a_file_in_a_folders_place_is_named(rgb_model: None, capsys: pytest.CaptureFixture[str]) -> None:
    Path("taken").touch()
    with pytest.raises(SystemExit) as stop:
        cli.main(["evaluate", "--checkpoint", "rgb", "--out", "taken", "--device", "cpu"])
    assert stop.value.code == cli.USER_ERROR
    assert capsys.readouterr().err.splitlines()[-1] == "echodepth: [Errno 17] File exists: 'taken'"


@pytest.mark.parametrize(
    ("words", "file"),
    [
        ("evaluate --checkpoint rgb", "results/rgb/evaluate_test_valid.json"),
        ("compare rgb --pictures 0 --extremes 0", "results/comparison/comparison.json"),
    ],
)
def test_json_is_all_that_stdout_holds(
    words: str, file: str, rgb_model: None, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main([*words.split(), "--json", "--device", "cpu"])
    assert json.loads(capsys.readouterr().out) == json.loads(Path(file).read_text())


def test_ctrl_c_shows_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(command: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "parse", lambda words: (interrupted, None))
    with pytest.raises(SystemExit) as stop:
        cli.main(["compare", "rgb"])
    assert stop.value.code == cli.INTERRUPTED
    assert capsys.readouterr().err == "echodepth: stopped\n"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("evaluate --checkpoint rgb --batch_size 0", "--batch_size must be at least 1, not 0"),
        ("evaluate --checkpoint rgb --num_workers -1", "--num_workers must be at least 0, not -1"),
        ("compare rgb --pictures -1", "--pictures must be at least 0, not -1"),
        ("compare rgb --seed -1", "--seed must be at least 0, not -1"),
    ],
)
def test_a_flag_out_of_range_is_named(
    flags: str, message: str, rgb_model: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([*flags.split(), "--device", "cpu"])
    assert stop.value.code == cli.USER_ERROR
    assert capsys.readouterr().err == f"echodepth: {message}\n"


def test_an_unknown_flag_is_refused_with_a_likely_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "rgb", "--bach_size", "4"])
    assert stop.value.code == cli.USER_ERROR
    assert "--batch_size" in capsys.readouterr().err


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"echodepth {__version__}\n"


@pytest.mark.parametrize(("flag", "level"), [([], "INFO"), (["-v"], "DEBUG"), (["--quiet"], "WARNING")])
def test_verbosity_is_chosen_anywhere_on_the_command_line(flag: list[str], level: str) -> None:
    cli.parse(["compare", "rgb", *flag, "--pictures", "0"])
    assert logging.getLevelName(logging.getLogger("echodepth").level) == level


def test_an_unknown_command_lists_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["predikt", "kitchen.wav"])
    assert stop.value.code == cli.USER_ERROR
    assert "predict" in capsys.readouterr().err


def test_a_flag_of_another_network_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    """It was once accepted and ignored."""
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "binaural", "--model", "unet_baseline", "--bilinear", "False"])
    assert stop.value.code == cli.USER_ERROR
    assert "--bilinear" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("train binaural --model lihgt", "--model lihgt: there is no such network; did you mean light?"),
        ("train rgb --model light", "--model light takes audio, and the input here is image"),
        ("train rgb --dataset batvision", "--dataset batvision: there is no such dataset; did you mean batvisionv"),
        ("train rgb --config nowhere.json", "--config nowhere.json is no run's config.json"),
        ("--plugin nowhere train rgb", "--plugin nowhere cannot be imported"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(
    flags: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(flags.split())
    assert stop.value.code == cli.USER_ERROR
    assert message in capsys.readouterr().err


def test_a_recorded_run_is_run_again_and_further_flags_win(v2_root: Path, tmp_path: Path) -> None:
    flags = {"base_channels": 2, "locations": ("Attic",), "data_dir": v2_root, "checkpoints": 4, "overwrite": True}
    config = train_config("binaural", experiment_name="first", model="light", **flags)
    recorded = tmp_path / "config.json"
    recorded.write_text(json.dumps({"kind": "binaural", "flags": plain(config)}))
    again = cli.parse(["train", "binaural", "--config", str(recorded), "--seed", "3"])[1]
    assert again == replace(config, seed=3, checkpoints=None, overwrite=False)
    with pytest.raises(ConfigError, match="is of a run of train 'binaural', not of train rgb"):
        cli.parse(["train", "rgb", "--config", str(recorded)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learnin_rate": 1}, "--learnin_rate: there is no such flag here; did you mean learning_rate?"),
        ({"seed": "seven"}, "--seed is 'seven'"),
        ({"model": "lihgt"}, "--model lihgt: there is no such network; did you mean light?"),
    ],
)
def test_what_a_recorded_run_holds_is_refused_by_its_file(
    changes: dict[str, object], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message named a flag that the user had not given, and not where it came from."""
    recorded = tmp_path / "config.json"
    flags = plain(train_config("binaural", model="light")) | changes
    recorded.write_text(json.dumps({"kind": "binaural", "flags": flags}))
    with pytest.raises(SystemExit):
        cli.main(["train", "binaural", "--config", str(recorded)])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"echodepth: --config {recorded}: {message}")


def test_a_message_is_found_again_in_a_workers_traceback() -> None:
    wrapped = DataError(
        "Caught DataError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
        '  File "loop.py", line 1\nechodepth.errors.DataError: test.csv row 3: depth_3.npy is empty'
    )
    assert plain_message(wrapped) == "test.csv row 3: depth_3.npy is empty"
    assert plain_message(ConfigError("--seed: no")) == "--seed: no"


def test_the_documented_import_paths_work() -> None:
    from models.binaural_attention_model import create_binaural_attention_model
    from models.rgb_depth_model import create_rgb_depth_model

    assert create_rgb_depth_model(base_channels=2).output_size == 256
    assert create_binaural_attention_model(base_channels=2).max_depth == 30.0


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_a_console_without_utf_8_shows_escapes(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor's arrow, or a room's name, ended a command in a UnicodeEncodeError."""
    shown = io.BytesIO()
    console = io.TextIOWrapper(shown, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", console)
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    print("→ Küche …")
    console.flush()
    assert shown.getvalue().decode(encoding).endswith(" \\u2026\n")


def test_a_bug_ends_with_its_traceback_and_where_to_report_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(command: object) -> None:
        raise TypeError("unhashable type")

    monkeypatch.setattr(cli, "parse", lambda words: (wrong, None))
    with pytest.raises(SystemExit) as stop:
        cli.main(["compare", "rgb"])
    assert stop.value.code == cli.BUG != cli.USER_ERROR
    first, *_, error, last = capsys.readouterr().err.splitlines()
    assert (first, error) == ("Traceback (most recent call last):", "TypeError: unhashable type")
    assert last.startswith(f"echodepth: this is a bug in echodepth {__version__}: please report it on the issue page")

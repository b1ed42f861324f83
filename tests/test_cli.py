"""The command line: what it says, how fast, and that a user's mistake never shows a traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from echodepth import cli
from echodepth.core.errors import ConfigError, DataError, plain_message
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


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["simulate"],
        ["record"],
        ["convert"],
        ["doctor"],
        ["shard"],
        ["cache-teacher"],
        ["train"],
        ["train", "rgb"],
        ["train", "distill"],
        ["evaluate"],
        ["compare"],
        ["predict"],
        ["listen"],
        ["export"],
        ["benchmark"],
    ],
    ids=" ".join,
)
def test_help_is_there(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([*command, "--help"])
    assert stop.value.code == 0
    assert "usage: echodepth" in capsys.readouterr().out


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    """This is what keeps ``--help`` under a second."""
    script = (
        "import sys, contextlib, io, echodepth.cli\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):\n"
        "    echodepth.cli.main(['train', 'rgb', '--help'])\n"
        "heavy = ('torch', 'lightning', 'scipy', 'matplotlib', 'numpy', 'PIL', 'transformers')\n"
        "print([m for m in heavy if m in sys.modules])\n"
    )
    assert run("-c", script, cwd=tmp_path).stdout.strip() == "[]"


@pytest.mark.parametrize("script", ["train_rgb_depth", "train_binaural_attention", "train_distillation"])
def test_the_documented_scripts_show_their_flags(script: str, tmp_path: Path) -> None:
    shown = run(str(ROOT / f"{script}.py"), "--help", cwd=tmp_path)
    assert shown.returncode == 0
    for flag in ("--dataset", "--batch_size", "--lambda_l1", "--checkpoints", "--use_wandb", "--experiment_name"):
        assert flag in shown.stdout
    assert ("--attention_levels" in shown.stdout) == (script != "train_rgb_depth")
    assert ("--teacher" in shown.stdout) == (script == "train_distillation")


def test_a_mistake_ends_with_one_line_and_status_two(tmp_path: Path) -> None:
    shown = run("-m", "echodepth", "train", "rgb", "--data_dir", "nowhere", cwd=tmp_path)
    assert shown.returncode == cli.USER_ERROR
    assert shown.stderr.startswith("echodepth: BatVision V2 not found in nowhere: download it from https://doi.org/")
    assert shown.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_a_folders_place_is_named(
    v2_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny_rgb(tmp_path / "checkpoints" / "rgb", v2_root)
    Path("taken").touch()
    with pytest.raises(SystemExit) as stop:
        cli.main(["evaluate", "--checkpoint", "rgb", "--out", "taken", "--device", "cpu"])
    assert stop.value.code == cli.USER_ERROR
    assert capsys.readouterr().err.splitlines()[-1] == "echodepth: [Errno 17] File exists: 'taken'"


def test_ctrl_c_shows_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(command: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run", interrupted)
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
    flags: str,
    message: str,
    v2_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny_rgb(tmp_path / "checkpoints" / "rgb", v2_root)
    with pytest.raises(SystemExit) as stop:
        cli.main([*flags.split(), "--device", "cpu"])
    assert stop.value.code == cli.USER_ERROR
    assert capsys.readouterr().err == f"echodepth: {message}\n"


def test_an_unknown_flag_is_refused_with_a_likely_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "rgb", "--bach_size", "4"])
    assert stop.value.code == cli.USER_ERROR
    assert "--batch_size" in capsys.readouterr().err


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

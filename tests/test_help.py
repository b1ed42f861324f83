"""``--help`` as a user sees it, and completion with the tab key."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from echodepth import cli
from echodepth.apps.commands import COMMANDS
from echodepth.core.flags import flat
from tests.conftest import ROOT
from tests.test_cli import run

COMPOSED = {"train rgb", "train binaural", "train distill", "prepare"}
"""Their flags are those of registered networks, losses and front ends, whose files import torch."""


LIGHT = ["", "train", *(each.name for each in COMMANDS if each.name not in COMPOSED)]


@pytest.fixture(scope="module")
def imported_for_help(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Heavy modules after the help of each command, one command after the other in one process, light ones first."""
    script = (
        "import sys, contextlib, io, json, echodepth.cli\n"
        "heavy, imported = ('torch', 'lightning', 'scipy', 'matplotlib', 'transformers', 'torchmetrics'), {}\n"
        "for command in sys.argv[1:]:\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as help_text:\n"
        "        echodepth.cli.main([*command.split(), '--help'])\n"
        "    assert 'usage: echodepth' in help_text.getvalue(), command\n"
        "    imported[command] = [name for name in heavy if name in sys.modules]\n"
        "print(json.dumps(imported))\n"
    )
    shown = run("-c", script, *LIGHT, *sorted(COMPOSED), cwd=tmp_path_factory.mktemp("help"))
    assert shown.returncode == 0, shown.stderr
    return {command: set(modules) for command, modules in json.loads(shown.stdout).items()}


@pytest.mark.parametrize("command", LIGHT)
def test_help_imports_nothing_heavy(command: str, imported_for_help: dict[str, set[str]]) -> None:
    """This is what keeps ``--help`` under a second."""
    assert imported_for_help[command] == set()


@pytest.mark.parametrize("command", sorted(COMPOSED))
def test_help_of_composed_commands_imports_no_more_than_torch(
    command: str, imported_for_help: dict[str, set[str]]
) -> None:
    assert imported_for_help[command] <= {"torch"}


def shown_by(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        cli.main(command.split())
    assert not stop.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("command", ["", "train", *(each.name for each in COMMANDS)])
def test_help_fits_a_terminal_and_names_no_missing_value(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every second flag ended with "(default: None)", beside the sentence that said what the default was."""
    monkeypatch.setenv("COLUMNS", "80")
    usage, *lines = shown_by(f"{command} --help", capsys).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    words = " ".join(lines)
    assert "default: None" not in words
    assert "default: )" not in words
    assert "{None" not in words
    assert "[[" not in usage


def test_help_still_says_where_none_is_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    shown = shown_by("train binaural --help", capsys)
    assert "--audio_bins INT|None" in shown
    assert "--data_dir PATH|URL" in shown
    assert flat(cli.parse(["train", "binaural", "--audio_bins", "None"])[1])["audio_bins"] is None


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_completes_the_flags_of_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The script that tyro wrote knew the commands and none of their flags."""
    script = shown_by(f"--completion {shell}", capsys)
    for flag in ("--frame_stride", "--modalities", "--lambda_smooth", "--attention_levels", "--kd_schedule"):
        assert f'"{flag}"' in script or f"'{flag}'" in script


def completed(words: list[str], script: Path) -> set[str]:
    """What bash offers for the last word."""
    ask = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tyro_echodepth; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    shown = subprocess.run(["bash", "-c", ask, "bash", script, *words], capture_output=True, text=True, check=True)
    return set(shown.stdout.split())


@pytest.mark.skipif(sys.platform == "win32", reason="bash")
def test_bash_offers_commands_flags_and_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(shown_by("--completion bash", capsys))
    assert completed(["echodepth", "pre"], script) == {"predict", "prepare"}
    assert completed(["echodepth", "train", "rgb", "--base"], script) == {"--base_channels"}
    assert completed(["echodepth", "predict", "--split", "t"], script) == {"train", "test"}


@pytest.mark.slow
def test_a_pager_that_is_closed_early_is_no_error(tmp_path: Path) -> None:
    """``echodepth predict --help | head`` ended with "[Errno 32] Broken pipe"."""
    command = f"{sys.executable} -m echodepth simulate --help | head -c 1"
    shown = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, check=True
    )
    assert (shown.stdout, shown.stderr) == ("u", "")


def test_help_shows_flags_in_named_groups(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["train", "distill", "--help"])
    shown = capsys.readouterr().out
    groups = ("data", "training_data", "model", "loss", "optimisation", "distillation", "machine", "logging")
    assert all(re.search(rf"^\W*{group} options\W*$", shown, re.MULTILINE) for group in groups)

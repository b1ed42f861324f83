"""Run the example scripts, and read the command lines that they would run."""

import os
import shlex
import subprocess
import sys
from subprocess import CompletedProcess

from tests.conftest import ROOT


def command_lines(script: str, *words: object) -> list[list[str]]:
    """The training command lines of an example: ``echo`` replaces Python, so that bash prints them."""
    shown = run_bash(script, *words, python="echo")
    assert shown.returncode == 0, shown.stderr
    return [shlex.split(line) for line in shown.stdout.splitlines() if line.startswith(str(ROOT))]


def run_bash(script: str, *words: object, python: str = sys.executable, answer: str = "") -> CompletedProcess[str]:
    """Run one of the example scripts.

    Args:
        script: path in the repository.
        words: its arguments.
        python: the interpreter that it starts.
        answer: its standard input.
    """
    return subprocess.run(
        ["bash", str(ROOT / script), *map(str, words)],
        capture_output=True,
        text=True,
        input=answer,
        env={**os.environ, "PYTHON": python},
        check=False,
    )

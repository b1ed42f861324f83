"""Follow a page of the documentation as a reader would: its commands and its Python in order, in one folder, small."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from echodepth import cli
from echodepth.apps.convert.config import ConvertConfig
from echodepth.apps.demo.app import open_page
from echodepth.apps.demo.config import DemoConfig
from echodepth.apps.doctor.config import DoctorConfig
from echodepth.apps.live.config import ListenConfig, RecordConfig
from echodepth.core.errors import CheckpointError
from echodepth.core.run_paths import RunPaths
from echodepth.data.streaming.config import ShardConfig
from echodepth.evaluation.config import CompareConfig, EvaluateConfig
from echodepth.experiments.config import BenchmarkConfig
from echodepth.inference.config import ExportConfig, PredictConfig
from echodepth.inference.video import write_video
from echodepth.models import hub
from echodepth.models.checkpoint import find_checkpoint
from echodepth.simulate.config import PRESETS, Amount, SimulateConfig
from echodepth.training.config import CacheTeacherConfig, DistillationConfig, PrepareConfig, TrainConfig
from tests.conftest import ROOT
from tests.tiny import save_tiny, save_tiny_hf

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MENTIONED_FILE = re.compile(r"""["']([\w./-]+\.(?:wav|jpe?g|png|npy))["']""")
LOADED_MODEL = re.compile(r"""load_model\(["'](.+?)["']""")
SMALL_TRAINING: dict[str, Any] = {
    **{"nb_epochs": 1, "image_size": 32, "base_channels": 4, "batch_size": 4},
    **{"num_workers": 0, "device": "cpu", "use_wandb": False},
}
# No cluster is at hand.
SMALL_ROOMS: dict[str, Any] = {"rooms": 4, "poses": 1, "image_size": 32, "workers": 1, "backend": "loky"}
KINDS = {
    "rgb": ("rgb", "rgb"),
    "teacher": ("rgb", "rgb"),
    "unet": ("binaural", "unet_baseline"),
    "distil": ("distill", "binaural_attention"),
    "taught": ("distill", "binaural_attention"),
}
"""What an experiment's name says of it, for those that a page takes for granted: kind and network."""


@dataclass(frozen=True)
class Block:
    """A fenced block: the page, the number of its first line, its language and its text."""

    page: str
    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """One shell command, and the page and line where it begins."""

    place: str
    words: list[str]

    def with_variable(self, name: str, value: str) -> "Command":
        variable = re.compile(rf"\$(?:{name}\b|{{{name}}})")
        return Command(self.place, [variable.sub(value, word) for word in self.words])


def blocks(text: str, page: str) -> list[Block]:
    found = [
        Block(page, text.count("\n", 0, match.start(2)) + 1, match[1], match[2]) for match in FENCED.finditer(text)
    ]
    fences = len(re.findall(r"^\s*```", text, re.MULTILINE))
    assert fences == 2 * len(found), (
        f"{page}: {fences} fences, but {len(found)} blocks: write them unindented, in pairs"
    )
    return found


def commands(block: Block) -> list[Command]:
    """Its commands without comments: continued lines joined, loops unrolled."""
    statements: list[Command] = []
    start, joined = block.line, ""
    for number, line in enumerate(block.text.splitlines(), block.line):
        joined += line.removesuffix("\\")
        if not line.endswith("\\"):
            statements += _statements(joined, f"{block.page}:{start}")
            start, joined = number + 1, ""
    return _unrolled(statements)


def _statements(line: str, place: str) -> list[Command]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>")
    lexer.whitespace_split = True
    statements: list[list[str]] = [[]]
    for token in lexer:
        if token in (";", "&&"):
            statements.append([])
        elif set(token) <= set(";&|<>"):
            pytest.fail(f"{place}: {token} in a command is not supported by the tests: write it without")
        elif token != "do" or statements[-1]:
            statements[-1].append(token)
    return [Command(place, words) for words in statements if words]


def _unrolled(statements: list[Command]) -> list[Command]:
    result, rest = [], list(statements)
    while rest:
        first = rest.pop(0)
        if first.words[0] != "for":
            result.append(first)
            continue
        _, variable, _, *values = first.words
        body: list[Command] = []
        depth = 1
        while depth:
            assert rest, f"{first.place}: this loop has no done"
            body.append(rest.pop(0))
            depth += (body[-1].words[0] == "for") - (body[-1].words[0] == "done")
        result += [each.with_variable(variable, value) for value in values for each in _unrolled(body[:-1])]
    return result


class Reader:
    """Someone who follows one page in the current folder, with BatVision in ``data`` and a small machine.

    Training, simulating and drawing shrink; everything else is done as the page says it. Experiments and files that
    a page takes for granted are there when it comes to them. What only sets up a machine is checked to exist.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.run_command = cli.run
        monkeypatch.setattr(cli, "run", self._run_small)
        monkeypatch.setenv("ECHODEPTH_CACHE", str(Path("cache").absolute()))
        # What a page publishes is there to be fetched, in a folder in the Hub's place.
        monkeypatch.setattr(hub, "publish", lambda folder, name, *_: str(shutil.copytree(folder, Path("hub") / name)))
        monkeypatch.setattr("echodepth.models.checkpoint.fetch", lambda name: Path("hub") / name)
        monkeypatch.setitem(PRESETS, "demo", Amount(4, 1, 32))
        # Names that docs/own_data.md takes for the reader's own.
        self.names: dict[str, Any] = {"__name__": "page", "np": np, "soundfile": soundfile, "root": Path()}
        self.names |= {"metres": np.full((24, 40), 2.0), "ears": np.zeros((9000, 2))}

    def follow(self, block: Block) -> None:
        if block.language == "bash":
            for command in commands(block):
                self._report(command.place, shlex.join(command.words), partial(self._type, command.words))
        elif block.language == "python":
            self._report(f"{block.page}:{block.line}", "this Python block", partial(self._execute, block))
        else:
            shown = f"{block.page}:{block.line}: {block.language} is neither bash nor python: would it go untested?"
            assert block.language in ("", "csv"), shown

    def _report(self, place: str, what: str, action: Callable[[], None]) -> None:
        try:
            action()
        except SystemExit as stop:
            if stop.code:
                raise AssertionError(f"{place}: {what}: ended with status {stop.code}") from stop
        except Exception as error:
            raise AssertionError(f"{place}: {what}: {error}") from error

    def _execute(self, block: Block) -> None:
        for model in LOADED_MODEL.findall(block.text):
            self._have_model(model)
        for name in MENTIONED_FILE.findall(block.text):
            self._have_file(Path(name))
        # The blank lines make a traceback's line numbers the page's.
        exec(compile("\n" * (block.line - 1) + block.text, block.page, "exec"), self.names)

    def _type(self, words: list[str]) -> None:
        while setting := re.fullmatch(r"([A-Z_]+)=(.*)", words[0]):
            self.monkeypatch.setenv(setting[1], setting[2])
            words = words[1:]
        match words:
            case ["echodepth", *arguments]:
                cli.main(arguments)
            case ["python", "-m", module]:
                assert (ROOT / module.replace(".", "/")).with_suffix(".py").is_file(), f"there is no module {module}"
            case ["python", script, *arguments]:
                for word in arguments:
                    if word.endswith(".wav"):
                        self._have_file(Path(word))
                    elif word.startswith("benchmark_"):
                        self._have_model(word)
                self._python(script, arguments)
            case ["torchrun", *arguments]:
                at = next(index for index, word in enumerate(arguments) if word.endswith(".py"))
                with self.monkeypatch.context() as patch:
                    patch.setattr(cli, "run", lambda command: None)
                    self._python(arguments[at], arguments[at + 1 :])
            case ["bash", script, *arguments]:
                self._bash(script, arguments)
            case ["make", *goals]:
                makefile = (ROOT / "Makefile").read_text()
                for goal in goals:
                    known = f"$({goal.split('=')[0]})" if "=" in goal else f"\n{goal}:"
                    assert known in makefile, f"the Makefile knows no {goal}"
            case ["pip", "install", *packages]:
                extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
                wanted = {name for package in packages for name in re.findall(r"\w+(?=[\w,]*\])", package)}
                assert wanted <= extras.keys(), f"pyproject.toml has no extra {wanted - extras.keys()}"
            case ["aws", "s3", "sync", folder, address]:
                assert Path(folder).is_dir(), f"there is no {folder}"
                assert address.startswith("s3://")
            case ["git", "clone", _] | ["cd", _]:
                pass
            case _:
                raise AssertionError(f"no test knows how to run {words[0]}: teach tests/pages.py")

    def _python(self, script: str, arguments: list[str]) -> None:
        assert (ROOT / script).is_file(), f"there is no {script}"
        with self.monkeypatch.context() as patch:
            patch.setattr(sys, "argv", [script, *arguments])
            runpy.run_path(str(ROOT / script), run_name="__main__")

    def _bash(self, script: str, arguments: list[str]) -> None:
        assert (ROOT / script).is_file(), f"there is no {script}"
        if not (script.endswith("_examples.sh") and arguments):
            return
        # With echo in Python's place, an example prints the command lines that it would run.
        shown = subprocess.run(
            ["bash", str(ROOT / script), *arguments],
            env={**os.environ, "PYTHON": "echo"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert shown.returncode == 0, shown.stderr
        for line in shown.stdout.splitlines():
            if line.startswith(str(ROOT)):
                path, *flags = shlex.split(line)
                self._python(Path(path).name, flags)

    def _run_small(self, command: object) -> None:
        match command:
            case cli.Train(run=config):
                self._train_small(config)
            case SimulateConfig():
                self.run_command(replace(command, **SMALL_ROOMS))
            case ShardConfig():
                self.run_command(replace(command, image_size=32, workers=1))
            case PrepareConfig():
                self.run_command(replace(command, image_size=32, workers=1))
            case CacheTeacherConfig():
                teacher = self._have_teacher(command.teacher)
                self.run_command(replace(command, teacher=teacher, image_size=32, num_workers=0, device="cpu"))
            case EvaluateConfig():
                self._have_model(command.checkpoint, leave_out="Attic" if command.protocol == "loo" else None)
                self.run_command(replace(command, device="cpu"))
            case CompareConfig():
                for run in command.runs:
                    self._have_model(run, leave_out="Attic" if command.protocol == "loo" else None)
                self.run_command(replace(command, device="cpu", pictures=1))
            case ConvertConfig():
                for pattern, end in ((command.audio, ".wav"), (command.camera, ".png"), (command.depth, ".npy")):
                    self._have_file(Path(pattern).parent / f"part_0{end}")
                self.run_command(command)
            case DoctorConfig():
                self.run_command(replace(command, workers=1))
            case RecordConfig():
                self.run_command(command)
            case ListenConfig():
                assert command.checkpoint is not None
                self._have_model(command.checkpoint)
                self.run_command(replace(command, count=1, device="cpu"))
            case BenchmarkConfig():
                one = {"attention": "full", "light": "light"}.get(command.study, "none")
                self.run_command(replace(command, preset="tiny", methods=(one,), seeds=(0,)))
            case PredictConfig():
                self._have_model(command.checkpoint)
                for path in (*command.files, *([command.image] if command.image else [])):
                    self._have_file(path)
                self.run_command(replace(command, device="cpu"))
            case ExportConfig():
                self._have_model(command.checkpoint)
                self.run_command(replace(command, calibration_samples=2, scored_samples=2))
            case DemoConfig():
                for name in filter(None, (command.checkpoint, command.compare_with)):
                    self._have_model(name)
                for path in command.examples:
                    self._have_file(path)
                open_page(replace(command, device="cpu"))
            case _:
                raise AssertionError(f"no test knows how to make {command} small: teach tests/pages.py")

    def _train_small(self, config: TrainConfig) -> None:
        if isinstance(config, DistillationConfig):
            config = replace(config, teacher=self._have_teacher(config.teacher))
        if isinstance(config.data_dir, str):  # the web is not at hand: read what was copied there
            config = replace(config, data_dir=Path("shards") / config.data_dir.rpartition("/")[2])
        small = replace(config, **SMALL_TRAINING)
        if config.checkpoints is not None:
            folders = RunPaths(config.experiment_name)
            if not folders.epochs():
                self.run_command(cli.Train(replace(small, checkpoints=None)))  # type: ignore[arg-type]
            last = folders.epochs()[-1]
            small = replace(small, checkpoints=last, nb_epochs=last + 1)
        self.run_command(cli.Train(small))  # type: ignore[arg-type]

    def _have_teacher(self, name: str) -> str:
        """A model of Hugging Face that a page names is fetched from nowhere: a tiny one takes its place."""
        if not name.startswith("hf:"):
            self._have_model(name)
            return name
        folder = Path("hugging_face")
        return f"hf:{folder if folder.exists() else save_tiny_hf(folder)}"

    def _have_model(self, name: str, **data: Any) -> None:
        if hub.is_hub_id(name):
            return
        try:
            find_checkpoint(name)
        except CheckpointError:
            experiment = name.removeprefix("checkpoints/").removesuffix("/best")
            told = (kind for word, kind in KINDS.items() if word in experiment)
            kind, network = next(told, ("binaural", "binaural_attention"))
            save_tiny(Path("checkpoints") / experiment, Path("data/batvisionv2"), kind, network, **data)

    def _have_file(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return
        if not path.suffix:
            for ending in (".wav", ".jpg"):
                self._have_file(path / f"1{ending}")
        elif path.suffix == ".mp4":
            write_video(path, iter(np.full((12, 24, 40, 3), 90, np.uint8)), Fraction(5))
        elif path.suffix == ".wav":
            shutil.copy(next(Path("data/batvisionv2").rglob("*.wav")), path)
        elif path.suffix == ".npy":
            np.save(path, np.full((24, 40), 2.0))
        else:
            Image.new("RGB", (40, 24), "teal").save(path)

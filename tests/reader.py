"""Run a documentation page: its commands and Python blocks in order, in one folder and one process, at a small size."""

import importlib
import re
import runpy
import shlex
import shutil
import sys
import tomllib
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from echodepth import cli
from echodepth.apps.calibrate.config import CalibrateConfig
from echodepth.apps.convert.config import ConvertConfig
from echodepth.apps.demo.app import open_page
from echodepth.apps.demo.config import DemoConfig
from echodepth.apps.doctor.config import DoctorConfig
from echodepth.apps.live.config import ListenConfig, RecordConfig
from echodepth.core.flags import flat, replace
from echodepth.core.run_paths import RunPaths
from echodepth.data.dataset_registry import DATASETS
from echodepth.data.streaming.config import ShardConfig
from echodepth.distillation.losses import DISTILLATION_LOSSES
from echodepth.evaluation.config import CompareConfig, EvaluateConfig
from echodepth.experiments.config import ExperimentConfig
from echodepth.inference.config import ExportConfig, PredictConfig
from echodepth.losses import LOSSES
from echodepth.models import hub
from echodepth.models.frontends import FRONT_ENDS
from echodepth.models.networks import NETWORKS
from echodepth.simulate.config import PRESETS, Amount, SimulateConfig
from echodepth.training.config import CacheTeacherConfig, PrepareConfig, TrainConfig
from tests.conftest import ROOT
from tests.example_scripts import command_lines
from tests.page_inputs import PageInputs
from tests.pages import Block, commands

Run = Callable[[Any], object]
MENTIONED_FILE = re.compile(r"""["']([\w./-]+\.(?:wav|jpe?g|png|npy))["']""")
MODULE_FILE = re.compile(r"\A# (\w+)\.py\n")
"""First line of a Python block that is a module of its own."""
LOADED_MODEL = re.compile(r"""load_model\(["'](.+?)["']""")
SMALL_TRAINING: dict[str, Any] = {
    **{"nb_epochs": 1, "image_size": 32, "base_channels": 4, "attention_levels": (5,), "batch_size": 4},
    **{"num_workers": 0, "device": "cpu", "use_wandb": False},
    "teacher_depth": "metric",  # an untrained teacher contradicts the ground truth half of the times
}
SMALL_MODEL = {"image_size", "base_channels", "attention_levels"}
SMALL_ROOMS: dict[str, Any] = {"rooms": 4, "poses": 1, "image_size": 32, "workers": 1, "backend": "loky"}
"""Size of simulated sets; tests have no cluster."""
REGISTRIES: tuple[Any, ...] = (NETWORKS, FRONT_ENDS, DATASETS, LOSSES, DISTILLATION_LOSSES)


class Reader:
    """Runs the blocks of one page in the current folder, with BatVision in ``data``.

    ``echodepth`` and the training scripts run in this process, through ``cli.main`` with a page's own arguments.
    Training and simulation are reduced in size; other commands run as the page has them. Experiments and files that a
    page uses without creating them are created first. Commands that set up a machine are only checked to exist.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.inputs = PageInputs(monkeypatch)
        self.parse = cli.parse
        monkeypatch.setattr(cli, "parse", self._parse_small)
        monkeypatch.setenv("ECHODEPTH_CACHE", str(Path("cache").absolute()))
        monkeypatch.syspath_prepend(Path.cwd())  # modules of a page
        for registry in REGISTRIES:  # entries that a page registers end with the test
            registry.names()
            monkeypatch.setattr(registry, "_entries", dict(registry._entries))
        # A folder replaces the Hub: a model that a page publishes can be loaded from it.
        monkeypatch.setattr(hub, "publish", lambda folder, name, *_: str(shutil.copytree(folder, Path("hub") / name)))
        monkeypatch.setattr("echodepth.models.checkpoint.fetch", lambda name: Path("hub") / name)
        monkeypatch.setitem(PRESETS, "demo", Amount(4, 1, 32))
        # Variables that docs/own_data.md leaves to its reader.
        self.names: dict[str, Any] = {"__name__": "page", "np": np, "soundfile": soundfile, "root": Path()}
        self.names |= {"metres": np.full((24, 40), 2.0), "ears": np.zeros((9000, 2))}

    def failure(self, page: list[Block]) -> str | None:
        """Run the blocks of a page; its first line that fails, the error and its traceback, or None."""
        try:
            for block in page:
                if module := MODULE_FILE.match(block.text):
                    self._save_module(module[1], block)
            for block in page:
                self.follow(block)
        except AssertionError as error:
            return "".join([f"{error}\n", *traceback.format_exception(error.__cause__ or error)])
        return None

    def follow(self, block: Block) -> None:
        if block.language == "bash":
            for command in commands(block):
                self._report(command.place, shlex.join(command.words), partial(self._type, command.words))
        elif block.language == "python":
            self._report(f"{block.page}:{block.line}", "this Python block", partial(self._execute, block))
        else:
            message = f"{block.page}:{block.line}: {block.language} is neither bash nor python, so no test would run it"
            assert block.language in ("", "csv"), message

    def _report(self, place: str, what: str, action: Callable[[], None]) -> None:
        try:
            action()
        except SystemExit as stop:
            if stop.code:
                raise AssertionError(f"{place}: {what}: ended with status {stop.code}") from stop
        except Exception as error:
            raise AssertionError(f"{place}: {what}: {error}") from error

    def _execute(self, block: Block) -> None:
        for model in (*LOADED_MODEL.findall(block.text), *([None] if "load_model()" in block.text else [])):
            self.inputs.have_model(model)
        for name in MENTIONED_FILE.findall(block.text):
            self.inputs.have_file(Path(name))
        if module := MODULE_FILE.match(block.text):
            self._import_module(module[1], block)
            return
        # The blank lines give a traceback the line numbers of the page.
        exec(compile("\n" * (block.line - 1) + block.text, block.page, "exec"), self.names)

    def _save_module(self, module: str, block: Block) -> None:
        """Save a block as a module in the current folder, where ``--plugin`` finds it."""
        Path(f"{module}.py").write_text(block.text)
        sys.modules.pop(module, None)
        importlib.invalidate_caches()

    def _import_module(self, module: str, block: Block) -> None:
        if not Path(f"{module}.py").exists():
            self._save_module(module, block)
        loaded = vars(importlib.import_module(module))
        self.names |= {name: value for name, value in loaded.items() if not name.startswith("__")}

    def _type(self, words: list[str]) -> None:
        while setting := re.fullmatch(r"([A-Z_]+)=(.*)", words[0]):
            self.monkeypatch.setenv(setting[1], setting[2])
            words = words[1:]
        match words:
            case ["echodepth", *arguments]:
                cli.main(arguments)
            case ["python", "-m", module, *arguments]:
                path = ROOT / module.replace(".", "/")
                source = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
                assert source.is_file(), f"there is no module {module}"
                for flag in (word for word in arguments if word.startswith("--")):
                    assert f'"{flag}"' in source.read_text(), f"{module} has no {flag}"
            case ["python", script, *arguments]:
                for word in arguments:
                    if word.endswith(".wav"):
                        self.inputs.have_file(Path(word))
                    elif word.startswith("experiment_"):
                        self.inputs.have_model(word)
                self._python(script, arguments)
            case ["torchrun", *arguments]:
                at = next(index for index, word in enumerate(arguments) if word.endswith(".py"))
                with self.monkeypatch.context() as patch:
                    patch.setattr(cli, "parse", lambda words: (lambda config: None, self.parse(words)[1]))
                    self._python(arguments[at], arguments[at + 1 :])
            case ["bash", script, *arguments]:
                self._bash(script, arguments)
            case ["make", *goals]:
                makefile = (ROOT / "Makefile").read_text()
                for goal in goals:
                    known = f"$({goal.split('=')[0]})" if "=" in goal else f"\n{goal}:"
                    assert known in makefile, f"the Makefile has no {goal}"
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
                raise AssertionError(f"no test can run {words[0]}: extend tests/pages.py")

    def _python(self, script: str, arguments: list[str]) -> None:
        assert (ROOT / script).is_file(), f"there is no {script}"
        with self.monkeypatch.context() as patch:
            patch.setattr(sys, "argv", [script, *arguments])
            runpy.run_path(str(ROOT / script), run_name="__main__")

    def _bash(self, script: str, arguments: list[str]) -> None:
        assert (ROOT / script).is_file(), f"there is no {script}"
        if script.endswith("_examples.sh") and arguments:
            for path, *flags in command_lines(script, *arguments):
                self._python(Path(path).name, flags)

    def _parse_small(self, words: Sequence[str]) -> tuple[Run, Any]:
        if "--init" in words:
            self.inputs.have_model(words[words.index("--init") + 1])
        run, config = self.parse(words)
        return partial(self._run_small, run), config

    def _run_small(self, run: Run, config: Any) -> None:
        match config:
            case TrainConfig():
                self._train_small(run, config)
            case SimulateConfig():
                run(replace(config, **SMALL_ROOMS))
            case CalibrateConfig():
                if not config.recordings.is_dir():
                    self.inputs.have_file(config.recordings / "audio_1.wav")
                run(replace(config, count=2, reference_rooms=8))
            case ShardConfig() | PrepareConfig():
                run(replace(config, image_size=32, workers=1))
            case CacheTeacherConfig():
                teacher = self.inputs.have_teacher(config.teacher)
                run(replace(config, teacher=teacher, image_size=32, num_workers=0, device="cpu"))
            case EvaluateConfig():
                self.inputs.have_model(
                    config.checkpoint, leave_out="Attic" if config.scoring.protocol == "loo" else None
                )
                run(replace(config, device="cpu"))
            case CompareConfig():
                for experiment in config.runs:
                    self.inputs.have_model(experiment, leave_out="Attic" if config.scoring.protocol == "loo" else None)
                run(replace(config, device="cpu", pictures=1, extremes=1))
            case ConvertConfig():
                for pattern, end in ((config.audio, ".wav"), (config.camera, ".png"), (config.depth, ".npy")):
                    self.inputs.have_file(Path(pattern).parent / f"part_0{end}")
                run(config)
            case DoctorConfig():
                run(replace(config, workers=1))
            case RecordConfig():
                run(config)
            case ListenConfig():
                self.inputs.have_model(config.checkpoint)
                run(replace(config, count=1, device="cpu"))
            case ExperimentConfig():
                method = {"ear": "light", "light": "wide_light"}.get(config.study, "none")
                once: dict[str, Any] = {"methods": (method,), "label_fractions": (1.0,), "seeds": (0,), "rooms": ()}
                run(replace(config, preset="tiny", workers=1, **once))
            case PredictConfig():
                self.inputs.have_model(config.checkpoint)
                for path in (*config.files, *([config.image] if config.image else [])):
                    self.inputs.have_file(path)
                run(replace(config, device="cpu"))
            case ExportConfig():
                self.inputs.have_model(config.checkpoint)
                run(replace(config, calibration_samples=2, scored_samples=2))
            case DemoConfig():
                for name in (config.checkpoint, *filter(None, [config.compare_with])):
                    self.inputs.have_model(name)
                for path in config.examples:
                    self.inputs.have_file(path)
                open_page(replace(config, device="cpu"))
            case _:
                raise AssertionError(f"no test can run {config} at a small size: extend tests/pages.py")

    def _train_small(self, run: Run, config: TrainConfig) -> None:
        flags = flat(config)
        if "teacher" in flags:
            config = replace(config, teacher=self.inputs.have_teacher(flags["teacher"]))
        if isinstance(flags["data_dir"], str):  # tests have no network: read the folder that the page copied there
            config = replace(config, data_dir=Path("shards") / flags["data_dir"].rpartition("/")[2])
        settings = SMALL_TRAINING
        if config.init is not None:  # the network and the size are those of the model
            settings = {name: value for name, value in settings.items() if name not in SMALL_MODEL}
        small = replace(config, **{name: value for name, value in settings.items() if name in flags})
        if config.checkpoints is not None:
            paths = RunPaths(config.experiment_name)
            if not paths.epochs():
                run(replace(small, checkpoints=None))
            last = paths.epochs()[-1]
            small = replace(small, checkpoints=last, nb_epochs=last + 1)
        run(small)

"""Where a run writes, relative to the working directory, and which of its epochs can be resumed."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from echodepth.core.atomic_io import previous
from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.core.input_files import in_home

CHECKPOINTS = Path("checkpoints")
BEST = "best"
EXPERIMENT_NAMES = "letters, digits and . _ + - only, at most 100"
"""What the name of an experiment may consist of, for messages."""


def model_folders(name: str | Path) -> tuple[Path, ...]:
    """Folders that ``name`` can stand for: a model folder, the folder of a run, or the name of an experiment.

    After each comes the place where a kill may have left it.
    """
    given = in_home(name)
    folders = given, given / BEST, CHECKPOINTS / given / BEST
    return *folders, *(previous(folder) for folder in folders if folder.name not in ("", ".."))


def trained_experiments() -> list[str]:
    """Names of the experiments that have a saved model."""
    return sorted(path.parent.parent.name for path in CHECKPOINTS.glob(f"*/{BEST}/config.json"))


def cache_folder() -> Path:
    """Folder of reproducible files: ``ECHODEPTH_CACHE``, or ``echodepth`` in the user's cache.

    Raises:
        ConfigError: neither is known.
    """
    if configured := os.environ.get("ECHODEPTH_CACHE"):
        return Path(configured)
    try:
        return Path.home() / ".cache" / "echodepth"
    except RuntimeError as error:
        raise ConfigError("this user has no home folder: set ECHODEPTH_CACHE to a folder for cached data") from error


def is_experiment_name(name: str) -> bool:
    """Whether a name can be that of an experiment, and so of folders."""
    return re.fullmatch(r"[\w.+-]{1,100}", name) is not None and name not in (".", "..")


def experiment_name(text: str) -> str:
    """The name of an experiment for any text, such as a file's name."""
    name = re.sub(r"[^\w.+-]+", "_", text)[:100]
    return name if is_experiment_name(name) else "unnamed"


@dataclass(frozen=True)
class RunPaths:
    """The three folders of an experiment.

    Attributes:
        experiment: its name.
    """

    experiment: str

    def __post_init__(self) -> None:
        if not is_experiment_name(self.experiment):
            raise ConfigError(f"--experiment_name {self.experiment!r}: use {EXPERIMENT_NAMES}")

    @property
    def checkpoints(self) -> Path:
        """Epochs to resume from, and ``best``."""
        return CHECKPOINTS / self.experiment

    @property
    def best(self) -> Path:
        """The model folder of the epoch with the lowest validation error."""
        return self.checkpoints / BEST

    @property
    def results(self) -> Path:
        """Pictures and metrics."""
        return Path("results") / self.experiment

    @property
    def logs(self) -> Path:
        """The resolved configuration and the curves."""
        return Path("logs") / self.experiment

    @property
    def config(self) -> Path:
        """All flags of the run, as training wrote them."""
        return self.logs / "config.json"

    def checkpoint(self, epoch: int) -> Path:
        """The file written at the end of an epoch, counted from 1."""
        return self.checkpoints / f"epoch_{epoch:04d}.pth"

    @property
    def latest(self) -> Path:
        """The file of the newest step after the newest epoch that was saved, if any."""
        return self.checkpoints / "latest.pth"

    def epochs(self) -> list[int]:
        """The epochs that can be resumed from."""
        return sorted(int(path.stem.removeprefix("epoch_")) for path in self.checkpoints.glob("epoch_*.pth"))

    def resume_from(self, epoch: int) -> Path:
        """The checkpoint of ``epoch``; a CheckpointError lists those there are."""
        path = self.checkpoint(epoch)
        if not path.is_file():
            there_are = ", ".join(map(str, self.epochs())) or "none"
            raise CheckpointError(f"--checkpoints {epoch}: {path} does not exist; epochs to resume from: {there_are}")
        return path

    def start_afresh(self, overwrite: bool) -> None:
        """Make room for a new run; a ConfigError protects an older one, or its best model, unless ``overwrite``."""
        epochs = self.epochs()
        if epochs or self.best.exists() or self.latest.exists():
            if not overwrite:
                held = "best:"
                if epochs:
                    held = f"epochs {', '.join(map(str, epochs))}: go on with --checkpoints {epochs[-1]},"
                elif self.latest.exists():
                    held = f"{self.latest.name}: go on with --resume auto,"
                raise ConfigError(
                    f"{self.checkpoints} already holds {held} choose another --experiment_name, or start over with "
                    "--overwrite"
                )
            for folder in (self.checkpoints, self.results, self.logs):
                shutil.rmtree(folder, ignore_errors=True)

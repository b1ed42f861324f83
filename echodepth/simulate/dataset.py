"""``--dataset simulated``: simulated rooms in BatVision V2's format; a plugin of the dataset registry.

This module is the entry point of the group ``echodepth.plugins``.
"""

import shlex
from pathlib import Path

from echodepth.core.errors import DataError
from echodepth.core.run_paths import cache_folder
from echodepth.core.schema import read_json
from echodepth.data.dataset_registry import DATASETS
from echodepth.data.datasets.batvision_v2 import BatVisionV2
from echodepth.data.provenance import LICENCE, LIMITS, SIMULATED, SIMULATION_FILE
from echodepth.simulate.config import SimulateConfig


@DATASETS.register
class Simulated(BatVisionV2):
    """Reader of simulated rooms. A set in the cache is created at first use."""

    name = "simulated"
    title = "A simulated set"
    licence = LICENCE
    limits = LIMITS
    splits_share_rooms = False

    @classmethod
    def recognise(cls, root: Path) -> bool:
        """Whether the folder has the simulator's settings file."""
        return (root / SIMULATION_FILE).is_file()

    @classmethod
    def provenance(cls, root: Path) -> str | None:
        """Simulated, whether or not the settings file is there."""
        return SIMULATED

    @classmethod
    def default_root(cls) -> Path:
        """A folder in the cache."""
        return cache_folder() / cls.name

    @classmethod
    def create_default(cls, root: Path) -> None:
        """Simulate the demo preset's rooms, or finish an interrupted simulation; see ``make_default_set``."""
        from echodepth.simulate.default_set import make_default_set

        make_default_set(root)

    @classmethod
    def remedy(cls, root: Path) -> str:
        """The command that makes, resumes and mends a set, with the settings in its card if there is one."""
        return f"make it with `{_command(root)}`"

    @classmethod
    def room(cls, name: str, location: str) -> str:
        """The room's number: files are named by room and pose."""
        return name.rpartition("_")[0]


def _command(root: Path) -> str:
    words = ["echodepth", "simulate", "--out", str(root)]
    try:
        settings = read_json(root / SIMULATION_FILE)["settings"]
        for name, value in settings.items():
            if name == "rig":
                words += ["--rig", "RIG"]
            elif name != "simulator" and value != getattr(SimulateConfig, name):
                words += [f"--{name}", *([] if value is True else [str(value)])]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, DataError):
        pass  # there is no card, or none that can be read
    return shlex.join(words)

"""``--dataset simulated``: simulated rooms in BatVision V2's format; a plugin of the dataset registry.

This module is the entry point of the group ``echodepth.plugins``.
"""

import json
import shlex
from pathlib import Path

from echodepth.core.field_of_view import FieldOfView
from echodepth.core.run_paths import cache_folder
from echodepth.data.camera_file import read_camera
from echodepth.data.dataset_registry import DATASETS
from echodepth.data.datasets.batvision_v2 import BatVisionV2
from echodepth.simulate.config import SimulateConfig

SETTINGS_FILE = "simulation.json"


@DATASETS.register
class Simulated(BatVisionV2):
    """Reader of simulated rooms. A set in the cache is created at first use."""

    name = "simulated"
    title = "A simulated set"
    licence = "rooms that echodepth simulated"
    limits = "The training data are simulated rooms only; the accuracy in real rooms is not known."
    splits_share_rooms = False

    @classmethod
    def recognise(cls, root: Path) -> bool:
        """Whether the folder has the simulator's settings file."""
        return (root / SETTINGS_FILE).is_file()

    @classmethod
    def camera(cls, root: Path) -> FieldOfView | None:
        """The simulated camera, as the settings file records it."""
        return read_camera(root / SETTINGS_FILE, "conventions") or cls.field_of_view

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
        settings = json.loads((root / SETTINGS_FILE).read_text(encoding="utf-8"))["settings"]
        for name, value in settings.items():
            if name == "rig":
                words += ["--rig", "RIG"]
            elif name != "simulator" and value != getattr(SimulateConfig, name):
                words += [f"--{name}", *([] if value is True else [str(value)])]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass  # there is no card, or none that can be read
    return shlex.join(words)

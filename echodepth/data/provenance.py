"""Whether data are simulated, which their layout does not show: simulated rooms have that of BatVision V2.

The simulator leaves ``simulation.json`` in the root of its sets, and it stays with copies, whatever dataset they are
read as. Shards hold it in their index.
"""

import logging
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)
SIMULATION_FILE = "simulation.json"
SIMULATED = "simulated"
PARTLY_SIMULATED = "partly simulated"
LICENCE = "rooms that echodepth simulated"
LIMITS = "The training data are simulated rooms only; the accuracy in real rooms is not known."
PARTLY_LIMITS = "A part of the training data are simulated rooms; the accuracy in real rooms may be lower."


def folder_provenance(root: Path) -> str | None:
    """``SIMULATED`` or ``PARTLY_SIMULATED`` as the root or its locations say, otherwise None."""
    if (root / SIMULATION_FILE).is_file():
        return SIMULATED
    tables = root.glob("[!.]*/*.csv") if root.is_dir() else ()
    marked = {folder: (folder / SIMULATION_FILE).is_file() for folder in {table.parent for table in tables}}
    if not any(marked.values()):
        return None
    return SIMULATED if all(marked.values()) else PARTLY_SIMULATED


def simulation_file_above(path: Path, levels: int = 3) -> Path | None:
    """The simulator's file in a folder above a file of its set, at most so many levels up; None without one."""
    candidates = (folder / SIMULATION_FILE for folder in path.absolute().parents[:levels])
    return next((candidate for candidate in candidates if candidate.is_file()), None)


@cache
def announce_simulated(root: Path, provenance: str) -> None:
    """Warn once of a root that is read as another dataset than ``simulated``."""
    log.warning(
        "%s is %s, as %s in it says, and so do results and model cards; --dataset simulated tells its rooms apart",
        root,
        provenance,
        SIMULATION_FILE,
    )

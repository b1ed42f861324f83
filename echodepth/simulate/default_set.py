"""Default data of ``--dataset simulated``: simulated at first use and reused afterwards."""

import logging
from pathlib import Path

from echodepth.simulate.config import SimulateConfig

log = logging.getLogger(__name__)


def make_default_set(root: Path) -> None:
    """Simulate the demo preset unless it is complete; an interrupted run is resumed.

    Two processes may call this at once: each file is written atomically, and its bytes do not depend on the process.

    Args:
        root: folder of the set.

    Raises:
        ConfigError: the folder holds a set with other settings, a set of another version, or other files.
    """
    from echodepth.simulate.dataset_card import create_or_verify_card
    from echodepth.simulate.plan import plan
    from echodepth.simulate.writer import simulate

    config = SimulateConfig(root, preset="demo")
    create_or_verify_card(config)
    # The test table is the last file that is written to a location.
    if not all((root / location / "test.csv").is_file() for location in {i.location for i in plan(config)}):
        log.info("--dataset simulated: simulating the default rooms in %s, once; --data_dir names others", root)
        simulate(config)

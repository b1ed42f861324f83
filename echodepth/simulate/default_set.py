"""The simulated set that ``--dataset simulated`` reads when no other is named: made at first use, then reused."""

import logging
from pathlib import Path

from echodepth.simulate.config import SimulateConfig

log = logging.getLogger(__name__)


def make_once(root: Path) -> None:
    """See that the demo preset's set is complete; one that was interrupted is finished.

    Two processes may do so at once: samples have the same bytes whoever writes them, and are written whole.

    Args:
        root: where it is, or will be.

    Raises:
        ConfigError: the folder holds a set of other settings or of another version, or something else.
    """
    from echodepth.simulate.dataset_card import claim
    from echodepth.simulate.plan import plan
    from echodepth.simulate.writer import simulate

    config = SimulateConfig(root, preset="demo")
    claim(config)
    # A location's table of test rows is the last file to be written in it.
    if not all((root / location / "test.csv").is_file() for location in {i.location for i in plan(config)}):
        log.info("--dataset simulated: making a set of rooms in %s, once; --data_dir names another", root)
        simulate(config)

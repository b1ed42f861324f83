"""The command: measure recordings, fit the rig, write it as JSON and print it as a table."""

import json
import logging

import echodepth
from echodepth.apps.calibrate.config import CalibrateConfig
from echodepth.apps.calibrate.fit import Calibration, common_view, fit_rig
from echodepth.apps.calibrate.recordings import measure_source, open_source
from echodepth.apps.calibrate.table import as_table
from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import require_at_least
from echodepth.simulate.rig import FORMAT, rounded

log = logging.getLogger(__name__)


def calibrate(config: CalibrateConfig) -> Calibration:
    """Measure a robot's rig, write it to a file, and print it.

    Raises:
        ConfigError: a flag is out of range, or the dataset's reader is unknown.
        DataError: no recording can be read.
    """
    require_at_least(1, count=config.count)
    require_at_least(8, reference_rooms=config.reference_rooms)
    source = open_source(config)
    recordings, problems = measure_source(source, config.count, common_view(source.camera))
    for problem in problems:
        log.warning("left out: %s", problem)
    calibration = fit_rig(recordings, source, config.reference_rooms)
    with atomic_write(config.out) as unfinished:
        unfinished.write_text(to_json(calibration), encoding="utf-8")
    print(as_table(calibration), end="")
    log.info("written to %s: echodepth simulate --rig %s makes rooms for it", config.out, config.out)
    return calibration


def to_json(calibration: Calibration) -> str:
    """The file: ``rig`` is what ``echodepth simulate`` reads, the rest is for people."""
    estimates, others = calibration.estimates, calibration.others
    content = {
        "format": FORMAT,
        "rig": {name: estimate.as_json for name, estimate in estimates.items()},
        "standard_errors": {
            name: None if each.value is None or each.error is None else rounded(each.error)
            for name, each in estimates.items()
        },
        "reasons": {name: each.reason for name, each in (estimates | others).items() if each.reason},
        "measured": {name: each.as_json for name, each in others.items()} | calibration.measured,
        "version": echodepth.__version__,
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"

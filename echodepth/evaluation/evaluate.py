"""``echodepth evaluate``: score a trained model, and write down everything that its scores depend on."""

import logging

from echodepth.core.device import choose_device
from echodepth.core.run_paths import RunPaths
from echodepth.core.strict_json import to_json
from echodepth.evaluation.ablations import ablate, check_ablations, write_ablations
from echodepth.evaluation.config import EvaluateConfig
from echodepth.evaluation.results import (
    Evaluation,
    interval_facts,
    interval_line,
    plain_facts,
    summary,
    write_evaluation,
)
from echodepth.evaluation.scoring import score_model
from echodepth.models.checkpoint import load_depth_model
from echodepth.report.calibration_figure import calibration_figure
from echodepth.report.figures import save_figure

log = logging.getLogger(__name__)


def evaluate(config: EvaluateConfig) -> Evaluation:
    """Score a model, log the figures and write them.

    Writes ``evaluate_<split>_<protocol>[_<control>][_mirror_average].json``, and ``.csv`` with a row per image, into
    ``config.out`` or ``results/<experiment>``; of a model with uncertainty also a picture of it,
    ``..._calibration.png``. With ``ablate`` also ``ablations.json`` and ``.md``. With ``json`` the contents of the JSON
    files are printed as one document, that of the ablations under ``ablations``.

    Raises:
        CheckpointError: there is no such model.
        ConfigError: protocol, split, control and ablations do not fit the model or each other.
        DataError: the data are missing or, without ``skip_bad``, bad.
    """
    scoring = config.scoring
    model = load_depth_model(config.checkpoint, choose_device(scoring.device))
    if config.ablate:
        check_ablations(model, config.control)
    evaluation = score_model(model, scoring, config.control)
    stem = f"evaluate_{scoring.split}_{scoring.protocol}" + (f"_{config.control}" if config.control != "none" else "")
    stem += "_mirror_average" if evaluation.model["mirror_average"] else ""
    folder = config.out if config.out is not None else RunPaths(evaluation.experiment).results
    intervals = interval_facts(evaluation)
    write_evaluation(evaluation, intervals, folder / stem)
    figure = folder / f"{stem}_calibration.png"
    figure.unlink(missing_ok=True)  # of a model that predicts no uncertainty it would be an earlier one's
    if evaluation.calibration:
        title = f"{evaluation.experiment}, {evaluation.label}: {scoring.split}, protocol {scoring.protocol}"
        save_figure(calibration_figure(evaluation.calibration, title), figure)
    lines = (summary(evaluation), interval_line(intervals), f"written to {folder / stem}.json and .csv")
    log.info("%s", "\n".join(lines))
    document = plain_facts(evaluation) | intervals
    if config.ablate:
        study = ablate(model, scoring, evaluation)
        write_ablations(study, folder)
        log.info("%s\nwritten to %s.json and .md", study.lines, folder / "ablations")
        document["ablations"] = study.facts()
    if config.json:
        print(to_json(document), end="")
    return evaluation

"""Draw test frames as a student alone, a taught student and the teacher answer them.

    python examples/what_teaching_changes.py ALONE TAUGHT TEACHER [TARGET.png]

Each names a trained model as everywhere: a folder or an experiment. Frames are taken at even steps through the test
split's order of the lone student's error, from the best to the worst, so that nobody has chosen them.
"""

import sys
from pathlib import Path

import numpy as np

from echodepth.evaluation.config import EvaluateConfig
from echodepth.evaluation.evaluate import score_model
from echodepth.evaluation.frame_predictions import predict_frames
from echodepth.inference.runtime import trained_data
from echodepth.models.checkpoint import load_model
from echodepth.report.figures import Panel, display_limit, input_panels, picture_grid, save_figure

FRAMES = 5
NAMES = ("student alone", "student, taught", "teacher")


def main(experiments: list[str], target: Path) -> None:
    """Score the first, choose the frames, and draw what all three make of them."""
    models = [load_model(experiment) for experiment in experiments]
    # The teacher may have learnt elsewhere: all are shown the first one's rooms.
    data = trained_data(models[0])
    told = EvaluateConfig(experiments[0], dataset=data.dataset, data_dir=data.root, device="cpu")
    rows = sorted(score_model(models[0], told).rows, key=lambda row: float(row["rmse"]))
    places = np.linspace(0.1, 0.9, FRAMES) * (len(rows) - 1)
    frames = [str(rows[round(place)]["name"]) for place in places]
    answers = list(predict_frames(dict(zip(NAMES, models, strict=True)), told, frames).values())
    grid = []
    for views in zip(*answers, strict=True):
        truth = views[0]
        panels = [*input_panels(truth.inputs), Panel("truth", truth.depth, "depth", truth.scored)]
        for name, view in zip(NAMES, views, strict=True):
            error = (view.prediction - truth.depth)[truth.scored]
            note = f"{np.sqrt((error**2).mean()):.2f} m"
            panels.append(Panel(name, view.prediction, "depth", note=note))
        grid.append(panels)
    depths, scored = (np.stack([getattr(view, part) for view in answers[0]]) for part in ("depth", "scored"))
    save_figure(picture_grid(grid, display_limit(depths, scored), 1.0), target)
    print(target)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        raise SystemExit(__doc__)
    main(sys.argv[1:4], Path(sys.argv[4] if len(sys.argv) == 5 else "results/what_teaching_changes.png"))

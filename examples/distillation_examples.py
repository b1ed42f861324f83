"""Plot test frames with the predictions of a student without distillation, a distilled student and the teacher.

    python examples/distillation_examples.py STUDENT DISTILLED TEACHER [TARGET.png]

Each argument names a trained model: a folder or an experiment. The frames are at even steps in the order of the first
student's error on the test split, from the smallest to the largest, so that their choice is not manual.
"""

import sys
from pathlib import Path

import numpy as np

from echodepth.data.recorded import data_to_read
from echodepth.evaluation.config import ScoringConfig
from echodepth.evaluation.frame_predictions import predict_frames
from echodepth.evaluation.scoring import score_model
from echodepth.models.checkpoint import load_depth_model
from echodepth.report.figures import Panel, display_limit, input_panels, picture_grid, save_figure

FRAMES = 5
TITLES = ("student", "student, distilled", "teacher")


def main(experiments: list[str], target: Path) -> None:
    """Score the first model, choose the frames, and plot the predictions of all three."""
    models = [load_depth_model(experiment) for experiment in experiments]
    # The teacher may be trained on other rooms: all three predict the first model's test frames.
    data = data_to_read(models[0], None, None)
    scoring = ScoringConfig(dataset=data.dataset, data_dir=data.root, device="cpu")
    rows = sorted(score_model(models[0], scoring).rows, key=lambda row: float(row["rmse"]))
    steps = np.linspace(0.1, 0.9, FRAMES) * (len(rows) - 1)
    frames = [str(rows[round(step)]["name"]) for step in steps]
    predictions = list(predict_frames(dict(zip(TITLES, models, strict=True)), scoring, frames).values())
    grid = []
    for views in zip(*predictions, strict=True):
        ground_truth, scored = views[0].ground_truth, views[0].scored
        panels = [*input_panels(views[0].inputs), Panel("ground truth", ground_truth, "depth", scored)]
        for title, view in zip(TITLES, views, strict=True):
            error = (view.prediction - ground_truth)[scored]
            note = f"{np.sqrt((error**2).mean()):.2f} m"
            panels.append(Panel(title, view.prediction, "depth", note=note))
        grid.append(panels)
    depths, masks = (np.stack([getattr(view, part) for view in predictions[0]]) for part in ("ground_truth", "scored"))
    save_figure(picture_grid(grid, display_limit(depths, masks), 1.0), target)
    print(target)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        raise SystemExit(__doc__)
    main(sys.argv[1:4], Path(sys.argv[4] if len(sys.argv) == 5 else "results/distillation_examples.png"))

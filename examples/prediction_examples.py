"""Plot test frames with the predictions of one or more models.

    python examples/prediction_examples.py MODEL [MODEL ...] [--titles "student" ...] [--out TARGET.png]

A model is a folder or an experiment. The frames are at even steps in the order of the first model's error on the test
split, from the smallest to the largest, so that their choice is not manual. A single model's error is shown, too.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from echodepth.data.recorded import data_to_read
from echodepth.evaluation.config import ScoringConfig
from echodepth.evaluation.frame_predictions import predict_frames
from echodepth.evaluation.scoring import score_model
from echodepth.models.checkpoint import load_depth_model
from echodepth.report.figures import Panel, display_limit, input_panels, picture_grid, save_figure


def main(experiments: Sequence[str], titles: Sequence[str], out: Path, count: int = 5) -> None:
    """Score the first model, choose the frames, and plot the predictions of all."""
    models = [load_depth_model(experiment) for experiment in experiments]
    # A teacher may be trained on other rooms: all models predict the first one's test frames.
    data = data_to_read(models[0], None, None)
    scoring = ScoringConfig(dataset=data.dataset, data_dir=data.root, device="cpu")
    rows = sorted(score_model(models[0], scoring).rows, key=lambda row: float(row["rmse"]))
    steps = np.linspace(0.1, 0.9, count) * (len(rows) - 1)
    frames = [str(rows[round(step)]["name"]) for step in steps]
    predictions = list(predict_frames(dict(zip(titles, models, strict=True)), scoring, frames).values())
    grid = []
    for views in zip(*predictions, strict=True):
        ground_truth, scored = views[0].ground_truth, views[0].scored
        panels = [*input_panels(views[0].inputs), Panel("ground truth", ground_truth, "depth", scored)]
        for title, view in zip(titles, views, strict=True):
            error = np.abs(view.prediction - ground_truth)
            note = f"{np.sqrt((error[scored] ** 2).mean()):.2f} m"
            panels.append(Panel(title, view.prediction, "depth", note=note))
        if len(views) == 1:
            panels.append(Panel("error", error, "error", scored))
        grid.append(panels)
    depths, masks = (np.stack([getattr(view, part) for view in predictions[0]]) for part in ("ground_truth", "scored"))
    limit = display_limit(depths, masks)
    save_figure(picture_grid(grid, limit, limit / 2), out)
    print(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--titles", nargs="+", help="default: the models' names")
    parser.add_argument("--out", type=Path, default=Path("results/prediction_examples.png"))
    parser.add_argument("--frames", type=int, default=5)
    given = parser.parse_args()
    if given.titles is not None and len(given.titles) != len(given.models):
        parser.error(f"--titles: give one for each of the {len(given.models)} models, not {len(given.titles)}")
    main(given.models, given.titles or given.models, given.out, given.frames)

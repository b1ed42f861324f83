"""A backend whose depth is the brightness of its input."""

import torch

from echodepth.models.layers import Prediction
from echodepth.models.run_record import RunRecord


class Brightness:
    """A backend without a network: depth is proportional to brightness, so that a depth map shows the model's input."""

    input_key = "image"
    image_size = 64
    max_depth = 10.0

    def __init__(self) -> None:
        self.run = RunRecord(experiment_name="brightness")

    def predict(self, raw: torch.Tensor) -> Prediction:
        return Prediction(10 * raw.mean(dim=1, keepdim=True), None, {})

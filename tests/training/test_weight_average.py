"""The moving average of the weights."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from echodepth.training.weight_average import decay_after, growing_average
from tests.training.runs import assert_bit_equal, last_weights, rgb, train


@pytest.mark.parametrize(
    ("steps", "decay", "kept"), [(1, 0.99, 2 / 11), (2, 0.99, 3 / 12), (2, 0.2, 0.2), (890, 0.99, 0.99)]
)
def test_the_decay_grows_to_the_one_asked_for(steps: int, decay: float, kept: float) -> None:
    assert decay_after(steps, decay) == pytest.approx(kept)


def test_an_average_by_hand() -> None:
    """11 after weights of 0, at 2 of 11 kept: 9; then 1, at 3 of 12 kept: 9 / 4 + 3 / 4 = 3."""
    layer = nn.Linear(1, 1, bias=False)
    average = AveragedModel(layer, multi_avg_fn=growing_average(0.99))
    for weight, expected in ((0.0, 0.0), (11.0, 9.0), (1.0, 3.0)):
        nn.init.constant_(layer.weight, weight)
        average.update_parameters(layer)
        assert float(average(torch.ones(1)).detach()) == pytest.approx(expected)


def test_an_average_in_single_precision_takes_double_weights() -> None:
    """As of --precision 64-true, where the average is made first."""
    layer = nn.Linear(1, 1, bias=False)
    average = AveragedModel(layer, multi_avg_fn=growing_average(0.99))
    layer.double()
    for weight in (0.0, 11.0):
        nn.init.constant_(layer.weight, weight)
        average.update_parameters(layer)
    assert float(average(torch.ones(1)).detach()) == pytest.approx(9.0)


def test_the_first_weights_are_forgotten_within_40_steps() -> None:
    """With a constant decay of 0.999, 96 % of the weights that training starts from were left after 40 steps: a short
    run was validated, stopped and saved as it was before it had learnt."""
    left = torch.tensor([decay_after(steps, 0.999) for steps in range(1, 41)]).prod()
    assert left < 1e-4


@pytest.mark.slow
def test_a_short_run_does_not_depend_on_a_long_decay(v2_root: Path) -> None:
    train(rgb(v2_root, ema_decay=0.99))
    short = last_weights("rgb", 1)
    train(rgb(v2_root, ema_decay=0.9999, overwrite=True))
    assert_bit_equal(last_weights("rgb", 1), short)

"""The arithmetic of a study's tables: paired differences, intervals, and the gap closed."""

from statistics import mean
from typing import Any

import pytest

from echodepth.experiments.config import ExperimentConfig
from echodepth.experiments.distillation_table import distillation_markdown, in_words
from echodepth.experiments.ear_table import COLUMNS, against, ear_markdown
from echodepth.experiments.paired import PairedDifference, holm, paired_difference
from echodepth.experiments.table import gap_closed
from echodepth.metrics.depth import METRICS
from echodepth.metrics.direction import DIFFERENCES


def scored(method: str, seed: int, errors: tuple[float, ...], fraction: float = 1.0, **more: Any) -> dict[str, Any]:
    """A run whose rooms have these errors, in four frames each."""
    frames = [
        {"name": f"{room}{frame}", "room": str(room), "pixels": 10}
        | dict.fromkeys(METRICS, error)
        | dict.fromkeys(DIFFERENCES, 0.1 * frame)
        for room, error in enumerate(errors)
        for frame in range(4)
    ]
    figures = dict.fromkeys(COLUMNS, 0.5) | {"rmse": mean(errors), "frames": frames}
    place = {"rooms": 320, "label_fraction": fraction, "teacher_data": "none", "seed": seed}
    return {"method": method} | place | figures | more


def test_the_table_of_distillation_by_hand() -> None:
    """Sixteen rooms, three seeds. The method is .1 m better on the mean, by .05 to .15 m with the room."""
    rooms = tuple(1.5 + 0.01 * room for room in range(16))
    better = tuple(error - 0.1 - 0.05 * (-1) ** room for room, error in enumerate(rooms))
    rows = [scored("none", seed, rooms) for seed in range(3)]
    rows += [scored("same_batches", seed, rooms, teacher_data="same") for seed in range(3)]
    rows += [scored("response", seed, better, teacher_data="same") for seed in range(3)]
    rows += [scored("teacher", 0, tuple(error - 0.4 for error in rooms), teacher_data="same")]
    difference = paired_difference([(rows[6], rows[0]), (rows[7], rows[1]), (rows[8], rows[2])])
    assert difference.mean == pytest.approx(-0.1)
    # The rooms' differences have a standard deviation of .05, so that the mean of 16 has an error of .0125.
    assert difference.error == pytest.approx(0.05 / 4, rel=0.05)
    assert difference.freedom == pytest.approx(15)
    assert difference.interval == pytest.approx((-0.1 - 2.131 * 0.0125, -0.1 + 2.131 * 0.0125), abs=2e-3)
    assert difference.detectable == pytest.approx((2.131 + 0.866) * 0.0125, rel=0.05)
    text = distillation_markdown(ExperimentConfig("distillation"), rows)
    assert "## 320 rooms, labels 1" in text
    line = next(line for line in text.splitlines() if line.startswith("| response |"))
    assert "| 25 % |" in line
    assert line.count("**better**") == 2
    same = next(line for line in text.splitlines() if line.startswith("| same_batches |"))
    assert "+0.000 m (+0.0%) [+0.000, +0.000], p 1: not distinguishable" in same


def test_the_variance_between_seeds_widens_the_interval() -> None:
    rooms = (1.0,) * 16
    pairs = [
        (scored("best", seed, (0.9 + step,) * 16), scored("none", seed, rooms))
        for seed, step in enumerate((-0.1, 0, 0.1))
    ]
    difference = paired_difference(pairs)
    # The seeds' mean differences are -.2, -.1 and 0: a standard deviation of .1, an error of .1 / sqrt 3, 2 degrees.
    assert difference.mean == pytest.approx(-0.1)
    assert difference.error == pytest.approx(0.1 / 3**0.5)
    assert difference.freedom == pytest.approx(2)
    assert difference.interval[1] == pytest.approx(-0.1 + 4.303 * 0.1 / 3**0.5, abs=1e-3)
    with pytest.raises(ValueError, match="different frames"):
        paired_difference([(scored("best", 0, (1.0,) * 15), scored("none", 0, rooms))])


def test_both_variances_together_have_satterthwaites_degrees_of_freedom() -> None:
    rooms = tuple(1.5 + 0.01 * room for room in range(16))
    better = tuple(error - 0.1 - 0.05 * (-1) ** room for room, error in enumerate(rooms))
    pairs = [
        (scored("best", seed, tuple(error + step for error in better)), scored("none", seed, rooms))
        for seed, step in enumerate((-0.02, 0, 0.02))
    ]
    alone = paired_difference(pairs[1:2])  # of one seed, the variance is that between rooms
    assert alone.error == pytest.approx(0.05 / 4, rel=0.05)
    assert alone.freedom == pytest.approx(15)
    of_rooms, of_seeds = alone.error**2, 0.02**2 / 3
    both = paired_difference(pairs)
    assert both.error**2 == pytest.approx(of_rooms + of_seeds)
    assert both.freedom == pytest.approx((of_rooms + of_seeds) ** 2 / (of_rooms**2 / 15 + of_seeds**2 / 2))
    assert both == paired_difference(pairs, seed=0) != paired_difference(pairs, seed=1)


def test_one_room_tells_nothing_of_others() -> None:
    """Its resampled means have no spread but that of rounding: any difference was called better or worse, p 0."""
    for seeds in (1, 3):
        pairs = [(scored("best", seed, (0.9,)), scored("none", seed, (1.0,))) for seed in range(seeds)]
        difference = paired_difference(pairs)
        assert (difference.mean, difference.relative) == pytest.approx((-0.1, -0.1))
        assert (difference.interval, difference.p_value) == ((-float("inf"), float("inf")), 1)
        assert "not distinguishable (≥ inf m would be)" in in_words(difference, difference.p_value)


def test_frames_are_paired_by_name_whatever_their_order() -> None:
    """Frames of the second seed in another order would be averaged with those of other rooms."""
    better, rooms = (0.9, 0.7, 1.1, 0.8), (1.0, 1.1, 1.3, 1.0)
    pairs = [(scored("best", seed, better), scored("none", seed, rooms)) for seed in range(3)]
    expected = paired_difference(pairs)
    for pair, side in ((0, 1), (1, 0), (2, 1)):
        pairs[pair][side]["frames"].reverse()
    assert paired_difference(pairs) == expected
    pairs[2] = (scored("best", 2, better[:3]), scored("none", 2, rooms[:3]))
    with pytest.raises(ValueError, match="different frames"):
        paired_difference(pairs)


def test_a_p_value_by_hand() -> None:
    """With two degrees of freedom, Student's two-sided p-value of t is 1 - t / sqrt(t^2 + 2)."""
    for mean_difference in (-0.3, 0.3):
        assert PairedDifference(mean_difference, 0.0, 0.1, 2.0).p_value == pytest.approx(1 - 3 / 11**0.5)
    assert PairedDifference(-0.3, 0.0, 0.0, float("inf")).p_value == 0
    assert PairedDifference(0.0, 0.0, 0.0, float("inf")).p_value == 1


def test_holm_by_hand() -> None:
    # .01 x 4, then .02 x 3 is .06, .03 x 2 is .06, and .5 stays.
    assert holm([0.03, 0.5, 0.01, 0.02]) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_gap_closed_by_hand() -> None:
    rows = [
        *(scored("none", 0, (1.25,)), scored("none", 1, (1.35,))),
        *(scored("teacher", 0, (0.9,), teacher_data="same"), scored("teacher", 1, (0.7,), teacher_data="same")),
        *(scored("response", 0, (1.2,), teacher_data="same"), scored("response", 1, (1.2,), teacher_data="same")),
    ]
    assert gap_closed(rows, "same", rows[4:]) == pytest.approx((1.3 - 1.2) / (1.3 - 0.8))
    # A seed that one of the three lacks once counted: teachers of five seeds stood beside students of three.
    assert gap_closed(rows, "same", rows[4:5]) == pytest.approx((1.25 - 1.2) / (1.25 - 0.9))
    assert gap_closed(rows[1:], "same", rows[4:]) == pytest.approx((1.35 - 1.2) / (1.35 - 0.7))
    assert gap_closed(rows, "elsewhere", rows[4:]) is None
    assert gap_closed(rows[2:], "same", rows[4:]) is None
    no_gap = [{**row, "rmse": 1.301} if row["method"] == "teacher" else row for row in rows]
    assert gap_closed(no_gap, "same", rows[4:]) is None  # with four labelled rooms it was "-2802 %"


def test_the_table_of_ears_by_hand() -> None:
    """Two rooms of four frames, two seeds; the second student is 0.2 m better in one room and 0.1 m in the other."""
    original = [scored("original", seed, (1.0 + 0.01 * seed, 1.2 + 0.01 * seed)) for seed in (0, 1)]
    better = [scored("all", seed, (0.8 + 0.01 * seed, 1.1 + 0.01 * seed)) for seed in (0, 1)]
    assert against(better, original) == (
        # Student's interval of two rooms: 12.7 times the standard error of -0.2 and -0.1 about -0.15, 0.05.
        "-0.150 m (-13.6%) [-0.785, +0.485]",
        "-13.6% to -13.5%",
    )
    assert against(better[:1], original[1:]) == ("", "")
    text = ear_markdown(ExperimentConfig("ear"), [*better, *original])
    assert "| original | 1.105 ± 0.007 | 0.500 ± 0.000 |" in text
    assert text.index("| original |") < text.index("| all |")

"""Intervals over rooms, differences and verdicts: by hand, in words, and at the top of the page."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echodepth.data.dataset_registry import DATASETS
from echodepth.evaluation.compare import _differences, _log_verdicts, _row, build_comparison
from echodepth.evaluation.comparison import Comparison
from echodepth.evaluation.differences import Difference, verdict
from echodepth.evaluation.formatting import headline
from echodepth.evaluation.html_report import html
from echodepth.evaluation.intervals import MetricTable, Resampling, metric_table
from echodepth.evaluation.report_files import markdown
from echodepth.evaluation.results import Evaluation
from echodepth.metrics.bootstrap import RESAMPLES, percentiles
from echodepth.metrics.depth import METRIC_TABLE, METRICS
from echodepth.metrics.direction import DIFFERENCES, SCORES
from tests.configs import compare_config
from tests.tiny import save_tiny

ROOMS = 12
DIRECTIONLESS = dict.fromkeys(DIFFERENCES, float("nan"))
UNLEARNT = "nothing shows that it has learnt more than the mean room."
UNHEARD = "nothing shows that it uses the echoes."


def scores(rmse: np.ndarray, per_room: int = 2) -> list[dict[str, Any]]:
    """Rows of images whose every metric is ``rmse``, ``per_room`` images a room."""
    return [
        {
            "name": f"frame{i}",
            "room": f"room{i // per_room:02}",
            **dict.fromkeys(METRICS, float(value)),
            **DIRECTIONLESS,
        }
        for i, value in enumerate(rmse)
    ]


def table_of(*columns: np.ndarray, per_room: int = 2, dataset: str = "simulated") -> MetricTable:
    rows = [scores(column, per_room) for column in columns]
    return metric_table(rows, [row["name"] for row in rows[0]], dataset, seed=0)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, v2_root: Path) -> Comparison:
    """Two audio models of one kind; tests change their scores."""
    folder = tmp_path_factory.mktemp("night")
    for name in ("ears", "owl"):
        save_tiny(folder / name, v2_root)
    runs = [str(folder / name / "best") for name in ("ears", "owl")]
    return build_comparison(compare_config(*runs, data_dir=v2_root, pictures=0, extremes=0, device="cpu"))


def with_scores(night: Comparison, per_room: int = 2, **rmse: np.ndarray) -> Comparison:
    """The comparison with other scores: ``ears``, ``owl``, ``mean`` of the baseline, ``shuffled`` of the control."""
    keys = ("ears", "owl", "mean", "shuffled")
    evaluations: list[Evaluation] = [
        replace(row.evaluation, rows=scores(rmse[key], per_room)) for key, row in zip(keys, night.rows, strict=True)
    ]
    images = [row["name"] for row in evaluations[0].rows]
    table = metric_table([each.rows for each in evaluations], images, "batvisionv2", seed=0)
    runs = ("ears", "owl", "ears", "ears")
    rows = [_row(run, each, table, i) for i, (run, each) in enumerate(zip(runs, evaluations, strict=True))]
    return replace(night, rows=rows, resampling=table.resampling, differences=_differences(rows, table), leader=rows[0])


def names(comparison: Comparison) -> list[str]:
    """Of the two models, the baseline and the control."""
    assert [row.evaluation.control for row in comparison.rows] == ["none", "none", "mean_depth", "shuffled_audio"]
    return ["mean-depth baseline" if row.label == "mean-depth baseline" else row.name for row in comparison.rows]


# ---- intervals ----


def test_a_paired_interval_is_that_of_the_room_differences_by_hand() -> None:
    """Six rooms of two frames, metres apart. The models differ in one room alone, by 1 m.

    A resample draws that room k times of six, with the probabilities of a binomial distribution of 1/6: k >= 5 has
    0.07 %, k >= 4 has 0.87 %. The tails of six rooms have 0.24 %, so the interval ends at 4/6 m, and begins at 0.
    """
    rooms = np.repeat([1.0, 2.0, 4.0, 8.0, 16.0, 32.0], 2)
    table = table_of(rooms + np.array([0] * 10 + [1] * 2), rooms)
    assert percentiles(6)[0] == pytest.approx(0.0024, abs=5e-5)
    assert table.mean(0)["rmse"] - table.mean(1)["rmse"] == pytest.approx(1 / 6)
    assert table.intervals(0, 1)["rmse"] == pytest.approx((0, 4 / 6))
    assert table.intervals(1, 0)["rmse"] == pytest.approx((-4 / 6, 0))
    assert table.resampling == Resampling("rooms", 6, "simulated")


def test_two_rooms_have_students_interval() -> None:
    """Differences of 0.1 and 0.3 m: standard error 0.1 m, t(0.975, 1) = 12.706. A bootstrap would say 0.1 to 0.3 m."""
    table = table_of(np.array([1.1, 2.1, 7.3, 8.3]), np.array([1.0, 2.0, 7.0, 8.0]))
    assert table.intervals(0, 1)["rmse"] == pytest.approx((0.2 - 1.2706, 0.2 + 1.2706), abs=1e-4)
    assert verdict(METRIC_TABLE["rmse"], table.intervals(0, 1)["rmse"]) == "not distinguishable in RMSE"


def test_more_frames_of_the_same_rooms_do_not_narrow_the_interval() -> None:
    rooms = np.random.default_rng(0).gamma(4.0, size=ROOMS)
    few, many = table_of(rooms, per_room=1), table_of(np.repeat(rooms, 20), per_room=20)
    assert many.intervals(0)["rmse"] == pytest.approx(few.intervals(0)["rmse"])


def test_an_image_without_a_scored_pixel_counts_for_nobody() -> None:
    whole = table_of(np.arange(8.0), np.arange(8.0) + 1)
    holed = table_of(np.array([np.nan, *range(1, 8)]), np.array([5.0, *range(2, 9)]))
    assert len(holed.values) == len(whole.values) - 1 == 7
    assert holed.mean(1)["rmse"] == np.mean(range(2, 9))
    nothing = table_of(np.full(4, np.nan))
    assert np.isnan(nothing.mean(0)["rmse"])
    assert nothing.intervals(0)["rmse"] is None
    assert nothing.resampling.problem == "no frame has a scored pixel"


def test_one_room_has_no_interval_and_says_why() -> None:
    table = table_of(np.arange(6.0), np.arange(6.0) + 1, per_room=6)
    assert set(table.intervals(0).values()) == set(table.intervals(0, 1).values()) == {None}
    assert table.resampling.sentence == (
        "No confidence intervals: all frames are of one room (room00), and an interval for other rooms needs at least "
        "two."
    )


def test_a_dataset_without_rooms_resamples_frames_and_says_so() -> None:
    assert not DATASETS["rgbd"].has_rooms
    values = np.random.default_rng(0).gamma(4.0, size=40)
    frames, rooms = table_of(values, per_room=40, dataset="rgbd"), table_of(values, per_room=1)
    assert frames.intervals(0) == rooms.intervals(0)
    assert frames.resampling == Resampling("frames", 40, "rgbd")
    assert (
        "The dataset rgbd does not tell rooms apart, so single frames count as independent"
        in frames.resampling.sentence
    )
    assert Resampling("frames", 1, "rgbd").problem == "there is only one frame, and an interval needs at least two"


def test_the_sentence_says_what_is_resampled() -> None:
    start = "In brackets: 95 % confidence interval of the mean over images"
    assert Resampling("rooms", 6, "simulated").sentence == (
        f"{start} ({RESAMPLES} bootstrap resamples of 6 rooms, each with all its frames)."
    )
    assert Resampling("rooms", 5, "simulated").sentence == (
        f"{start} (Student's, by the variance between 5 rooms, too few to resample)."
    )


# ---- verdicts ----


@pytest.mark.parametrize(
    ("metric", "interval", "words"),
    [
        ("rmse", (-0.1184, -0.0412), "better by 0.041–0.118 m in RMSE"),
        ("rmse", (0.0412, 0.1184), "worse by 0.041–0.118 m in RMSE"),
        ("delta1", (0.02, 0.05), "better by 0.020–0.050 in δ1"),
        ("delta1", (-0.05, -0.02), "worse by 0.020–0.050 in δ1"),
        ("abs_rel", (-0.1, 0.001), "not distinguishable in ABS REL"),
        ("rmse", (0.0, 0.3), "not distinguishable in RMSE"),
        ("rmse", (0.0, 0.0), "not distinguishable in RMSE"),
        ("rmse", (1e-17, 3e-17), "not distinguishable in RMSE"),
        ("mae", (-0.0023, -0.00014), "better by 0.0001–0.0023 m in MAE"),
        ("silog", (3.0, 12.0), "worse by 3.000–12.000 in SILog"),
        ("rmse", None, "no interval"),
    ],
)
def test_verdicts_in_words(metric: str, interval: tuple[float, float] | None, words: str) -> None:
    assert verdict(METRIC_TABLE[metric], interval) == words


def test_the_better_model_of_a_pair_comes_first_and_rooms_are_paired(night: Comparison) -> None:
    """Rooms differ by metres, the models by centimetres: only pairing shows it."""
    rng = np.random.default_rng(1)
    rooms = np.repeat(rng.gamma(4.0, size=ROOMS), 2)
    better = rooms - 0.05 + rng.normal(0, 0.01, rooms.size)
    worse = with_scores(night, ears=rooms, owl=better, mean=rooms + 2, shuffled=rooms + 1)
    first = worse.differences[0]
    assert (first.model, first.other) == (worse.rows[1].name, worse.rows[0].name)
    low, high = first.intervals["rmse"] or (0, 0)
    assert -0.06 < low < first.means["rmse"] < high < -0.04
    assert first.verdict() == f"better by {-high:.3f}–{-low:.3f} m in RMSE"
    assert first.verdict("delta1").startswith("worse by 0.0")
    alone = [row.intervals["rmse"] or (0, 0) for row in worse.rows]
    assert alone[0][0] < alone[1][1]  # the intervals of the models themselves overlap
    same = with_scores(night, ears=rooms, owl=rooms, mean=rooms + 2, shuffled=rooms + 1)
    assert same.differences[0].verdict() == "not distinguishable in RMSE"


def test_every_model_is_compared_with_its_own_controls(night: Comparison) -> None:
    """The shuffled audio of ears says nothing about owl, the mean room is the same for both."""
    ears, owl, mean, shuffled = names(night)
    assert {(each.model, each.other) for each in night.differences[1:]} == {(ears, mean), (owl, mean), (ears, shuffled)}
    assert [each.control for each in night.differences] == ["none", "mean_depth", "mean_depth", "shuffled_audio"]


def test_a_model_that_is_no_better_than_its_control_is_warned_of(
    night: Comparison, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="echodepth")
    rng = np.random.default_rng(2)
    rooms = np.repeat(rng.gamma(4.0, size=ROOMS), 2)
    noise = rng.normal(0, 0.2, rooms.size)
    deaf = with_scores(night, ears=rooms, owl=rooms + 0.5, mean=rooms + 0.25, shuffled=rooms + noise)
    ears, owl, mean, shuffled = names(deaf)
    assert deaf.warnings == [
        f"{owl} is no better than {mean} (worse by 0.250–0.250 m in RMSE): {UNLEARNT}",
        f"{ears} is no better than {shuffled} (not distinguishable in RMSE): {UNHEARD}",
    ]
    _log_verdicts(deaf)
    assert caplog.messages == [f"{ears} against {owl}: better by 0.500–0.500 m in RMSE", *deaf.warnings]
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "WARNING"]
    page = html(deaf)
    for warning in deaf.warnings:
        assert f'<p class="note warning">{warning}</p>' in page
        assert f"**Warning:** {warning}" in markdown(deaf)
    good = with_scores(night, ears=rooms, owl=rooms + 0.1, mean=rooms + 2, shuffled=rooms + 1)
    assert good.warnings == []


def test_without_an_interval_only_an_error_that_is_not_lower_is_warned_of(
    night: Comparison, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="echodepth")
    rmse = np.arange(1.0, 7.0)
    room = with_scores(night, per_room=6, ears=rmse, owl=rmse + 1, mean=rmse + 0.5, shuffled=rmse)
    ears, owl, mean, shuffled = names(room)
    assert room.warnings == [
        f"{owl} is no better than {mean} (RMSE higher by 0.500 m): {UNLEARNT}",
        f"{ears} is no better than {shuffled} (the same RMSE): {UNHEARD}",
    ]
    _log_verdicts(room)
    reason = "all frames are of one room (room00), and an interval for other rooms needs at least two"
    assert caplog.messages[0] == f"no intervals and no verdicts: {reason}"
    assert f"No verdicts: {reason}." in html(room)
    unknown = Difference(ears, mean, "mean_depth", dict.fromkeys(SCORES, np.nan), dict.fromkeys(SCORES))
    assert unknown.warning is None


# ---- at the top of the page ----


def test_the_page_begins_with_the_verdict_on_the_leading_model(night: Comparison) -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, 2 * ROOMS)
    ears, mean, shuffled = 1.0 + noise, np.full(2 * ROOMS, 2.0), np.full(2 * ROOMS, 3.0)
    won = with_scores(night, ears=ears, owl=ears + 0.5 + noise, mean=mean, shuffled=shuffled)
    leader, other, *_ = names(won)
    assert headline(won).startswith(f"{leader} is the best audio model: it has the lowest RMSE of the 2 audio models, ")
    top = html(won).partition("<h2")[0]
    assert headline(won) in top
    rows = re.findall(r"<dt>(.+?)</dt><dd>(.+?)</dd>", top)
    assert [each for each, _ in rows] == [other, "mean-depth baseline", won.rows[3].name]
    assert all(verdict.startswith("better by ") for _, verdict in rows)
    assert markdown(won).startswith(f"# {won.name}\n\n**{headline(won)}**")


def test_a_model_that_may_be_as_good_is_named(night: Comparison) -> None:
    noise = np.random.default_rng(0).normal(0, 0.5, (2, 2 * ROOMS))
    ears = 1.0 + noise[0] - noise[0].mean()
    owl = 1.001 + noise[1] - noise[1].mean()
    tied = with_scores(night, ears=ears, owl=owl, mean=ears + 1, shuffled=ears + 2)
    leader, other, *_ = names(tied)
    assert headline(tied).startswith(f"No audio model is certainly the best. {leader} has the lowest RMSE")
    assert headline(tied).endswith(f", not distinguishable from {other}.")
    few = with_scores(night, per_room=2 * ROOMS, ears=ears, owl=owl, mean=ears + 1, shuffled=ears + 2)
    assert few.resampling.problem is not None
    assert headline(few).endswith("; whether it is better is open, without intervals.")
    assert "<dl>" not in html(few)


def test_the_verdict_on_the_second_model_has_the_other_sign() -> None:
    bounds = dict.fromkeys(SCORES, (-0.3, -0.1))
    difference = Difference("rgb", "audio", "none", dict.fromkeys(SCORES, -0.2), dict(bounds))
    assert difference.verdict_on("rgb") == "better by 0.100–0.300 m in RMSE"
    assert difference.verdict_on("audio") == "worse by 0.100–0.300 m in RMSE"


def test_the_contents_lead_to_every_section(night: Comparison) -> None:
    page = html(night)
    links = re.findall(r'<li><a href="#([^"]+)">', page)
    assert links == re.findall(r'<h2 id="([^"]+)">', page)
    assert len(links) >= 5

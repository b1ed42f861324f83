"""What a benchmark measures and keeps; never how long anything takes."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import simulate, timing
from benchmarks.timing import Outcome, in_turn, keep
from echodepth.simulate.config import SimulateConfig


def test_two_things_are_measured_in_turn_and_a_warm_up_does_not_count() -> None:
    order: list[str] = []

    def one(name: str, figures: list[float]) -> float:
        order.append(name)
        return figures.pop(0)

    a, b = [900.0, 1.0, 5.0, 3.0], [700.0, 4.0, 6.0, 40.0]
    outcome = in_turn(lambda: one("a", a), lambda: one("b", b), runs=3, unit="s")
    assert "".join(order) == "abababab"
    assert outcome == Outcome(ours=3.0, other=6.0, unit="s", runs=3)
    assert outcome.ratio == 0.5


def test_a_kept_outcome_joins_those_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "KEPT", tmp_path / "benchmarks.json")
    keep("second", Outcome(2.0, 4.0, "s", 3), ("numpy",))
    keep("first", Outcome(9.0, 3.0, "samples/s", 5), ("numpy",))
    kept = json.loads((tmp_path / "benchmarks.json").read_text())
    assert list(kept) == ["first", "second"]
    assert {name: kept["first"][name] for name in ("ratio", "ours", "other", "unit", "runs")} == {
        **{"ratio": 3.0, "ours": 9.0, "other": 3.0, "unit": "samples/s", "runs": 5},
    }
    assert kept["second"]["load"] >= 0
    assert kept["second"]["cores"] >= 1
    assert kept["second"]["versions"]["numpy"] == np.__version__


def test_the_other_simulator_is_given_the_same_closed_room(tmp_path: Path) -> None:
    room, pose = simulate.furnished(SimulateConfig(tmp_path), 0)
    for block, outwards in ((room.shell, True), (room.boxes[3], False)):
        for wall in simulate.walls_of(block, outwards):
            away = np.dot(wall.normal, wall.corners.mean(axis=1) - np.array(block.centre))
            assert (away > 0) == outwards
        assert sum(wall.area() for wall in simulate.walls_of(block, outwards)) == pytest.approx(
            8 * sum(block.half[i] * block.half[(i + 1) % 3] for i in range(3)), rel=1e-5
        )
    left, right = simulate.hear_with_pyroomacoustics(room, pose)
    # The loudspeaker is 0.35 m from the head's middle, and 40 samples are pyroomacoustics' own delay.
    assert abs(np.argmax(np.abs(left[:400])) - 40 - 0.364 / 343 * 44100) < 2
    assert np.argmax(np.abs(left[:400])) == np.argmax(np.abs(right[:400]))

"""Two hundred damaged files; ``python -m tests.chaos.fuzz`` tries thousands."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from echodepth.core.errors import DataError
from tests.chaos.fuzz import ONE_LINE, RIGHT, Outcome, fuzz, table
from tests.chaos.targets import Target, make_targets


@pytest.mark.slow
def test_damaged_files_give_a_right_answer_or_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,147 damaged files gave 100 tracebacks, 16 memory errors and a hang."""
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    outcomes = list(fuzz(make_targets(tmp_path), range(200), seed=1))
    assert not [outcome for outcome in outcomes if outcome.is_fault]
    assert min(Counter(outcome.kind for outcome in outcomes)[kind] for kind in (RIGHT, ONE_LINE)) >= 20


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DataError("a.json is no list"), ONE_LINE),
        (OSError(28, "No space left on device", "a.json"), ONE_LINE),
        (TypeError("unhashable type"), "traceback"),
        (DataError("something is wrong"), "names no file"),
        (DataError("a.json is\nno list"), "not one line"),
    ],
)
def test_a_fault_is_seen(error: Exception, kind: str, tmp_path: Path) -> None:
    outcomes = _outcomes(error, tmp_path)
    assert [outcome.kind for outcome in outcomes] == [kind]
    assert outcomes[0].is_fault == (kind != ONE_LINE)
    assert (tmp_path / "a.json").read_bytes() == b"[1]"


def test_a_value_that_is_not_finite_is_seen(tmp_path: Path) -> None:
    assert [outcome.kind for outcome in _outcomes(np.array([np.nan]), tmp_path)] == ["not finite"]


def test_the_table_counts() -> None:
    outcomes = [Outcome("a", 0, RIGHT), Outcome("a", 1, "hang"), Outcome("b", 2, ONE_LINE)]
    assert table(outcomes).splitlines()[2:] == [
        "| a | 2 | 1 | 0 | 1 |",
        "| b | 1 | 0 | 1 | 0 |",
        "| all | 3 | 1 | 1 | 1 |",
    ]


def _outcomes(then: Exception | np.ndarray, folder: Path) -> list[Outcome]:
    """Of a reader of one file, which it takes as it is, and gives this for every other."""
    path = folder / "a.json"
    path.write_bytes(b"[1]")

    def read() -> list[np.ndarray]:
        if path.read_bytes() == b"[1]":
            return []
        if isinstance(then, Exception):
            raise then
        return [then]

    return list(fuzz([Target("a", path, read, (lambda rng, data: b"[2]",))], range(1), seed=0))

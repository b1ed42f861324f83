"""Processes of a run on several devices: one that is lost ends the run with one line, a signal's end does not."""

import os
import subprocess
import time
from typing import Any

import pytest

from echodepth.training import rank_watch
from echodepth.training.rank_watch import RankWatch, started_by_rank_0


class EndedError(Exception):
    """In place of the end of the process."""


class Rank:
    """A process with one answer to each question for its status, and the last one for all others."""

    pid = 77

    def __init__(self, *statuses: int | None) -> None:
        self.statuses = list(statuses)
        self.asked = 0

    def poll(self) -> int | None:
        self.asked += 1
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(why: str, others: list[int]) -> None:
        raise EndedError(why, others)

    monkeypatch.setattr(rank_watch, "_end", end)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


@pytest.mark.parametrize(
    ("status", "why"),
    [(-9, "process 77, rank 2 of the run, was killed"), (2, "process 77, rank 2 of the run, ended with status 2")],
)
def test_a_rank_that_is_lost_ends_the_run(status: int, why: str) -> None:
    """The others waited for it, with NCCL for half an hour."""
    ranks: Any = [Rank(None), Rank(None, None, status)]
    with pytest.raises(EndedError) as ended:
        rank_watch._watch(ranks)
    assert ended.value.args == (why, [77, 77])


@pytest.mark.parametrize("status", [0, 75, 130, 143])
def test_a_run_that_ends_as_it_should_is_let_alone(status: int) -> None:
    ended, other = Rank(None, status), Rank(None)
    ranks: Any = [other, ended]
    rank_watch._watch(ranks)
    assert ended.statuses == [status], "it was watched until its end"
    assert ended.asked == 2, "and no longer"


def test_a_rank_that_is_stopped_for_a_while_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = [0]

    def is_stopped(process: int) -> bool:
        looks[0] += 1
        return looks[0] != 30  # it goes on once

    monkeypatch.setattr(rank_watch, "is_stopped", is_stopped)
    ranks: Any = [Rank(None)]
    with pytest.raises(EndedError, match="rank 1 of the run, is stopped"):
        rank_watch._watch(ranks)
    assert looks[0] == 30 + 41, "20 seconds of looks each half second"
    with pytest.raises(EndedError, match="rank 0 of the run, is stopped"):
        rank_watch._watch_first(5)


def test_a_process_knows_who_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(rank_watch._RANK_0, raising=False)
    RankWatch()
    assert os.environ[rank_watch._RANK_0] == str(os.getpid())
    assert not started_by_rank_0()
    command = "import os; print(os.environ['ECHODEPTH_RANK_0'] == str(os.getppid()))"
    assert subprocess.run(["python", "-c", command], capture_output=True, text=True, check=True).stdout == "True\n"
    monkeypatch.setattr(os, "getppid", os.getpid)
    assert started_by_rank_0()

"""Worker processes: tasks that do not grow with the dataset, the arrays of one process, and errors with their row."""

import contextlib
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.rooms import write_many
from echodepth.apps.doctor import examine
from echodepth.apps.doctor.config import DoctorConfig
from echodepth.apps.doctor.diagnosis import Diagnosis
from echodepth.core import workers
from echodepth.core.errors import DataError
from echodepth.core.workers import parallel_map
from echodepth.data.cache import prepared
from echodepth.data.cache.prepared import AudioCacheFormat, write_prepared
from echodepth.data.config import DataConfig
from echodepth.data.streaming import writer
from echodepth.data.streaming.config import ShardConfig
from tests.conftest import ROOT

WAVEFORMS = AudioCacheFormat()


@pytest.fixture(autouse=True)
def in_empty_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that fork take no seconds to import torch; their tasks are pickled all the same."""
    monkeypatch.setattr(workers, "Parallel", ForkedPool)


class ForkedPool:
    """What ``parallel_map`` uses of joblib's ``Parallel``."""

    def __init__(self, n_jobs: int, return_as: str, initializer: Callable[..., None], initargs: tuple[int]) -> None:
        self.pool = ProcessPoolExecutor(n_jobs, multiprocessing.get_context("fork"), initializer, initargs)
        self.ordered = return_as == "generator"

    def __call__(self, jobs: Iterable[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]]) -> Iterator[Any]:
        with self.pool:
            futures = [self.pool.submit(function, *given, **named) for function, given, named in jobs]
            for future in futures if self.ordered else as_completed(futures):
                yield future.result()


def prepare(data: DataConfig, processes: int = 2) -> Path:
    return write_prepared(data, "train", WAVEFORMS, processes)


def pack(data: DataConfig, processes: int = 2) -> Path:
    config = ShardConfig(data=data, out=Path("shards"), splits=("train",), shard_mb=1, workers=processes)
    return writer.shard(config)


def diagnose(data: DataConfig, processes: int = 2) -> Diagnosis:
    return examine.examine(DoctorConfig(data.root, max_depth=3.0, workers=processes))


@pytest.mark.parametrize(
    ("module", "command", "sizes"),
    [(prepared, prepare, (32, 160)), (writer, pack, (60, 200)), (examine, diagnose, (16, 48))],
)
def test_a_task_is_no_larger_when_the_dataset_is(
    module: Any,
    command: Callable[[DataConfig], object],
    sizes: tuple[int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each task of ``prepare`` once held the whole dataset: 4.6 MB at 21,000 rows, for 16 of them."""
    largest, counts = [], []
    for size in sizes:
        pickled: list[int] = []
        monkeypatch.setattr(module, "parallel_map", partial(weigh_tasks, pickled))
        command(write_many(tmp_path / f"{size:04}", size))
        shutil.rmtree("shards", ignore_errors=True)
        largest.append(max(pickled))
        counts.append(len(pickled))
    assert counts[1] > 2 * counts[0] > 0
    # Later rows have longer numbers.
    assert largest[1] < 1.05 * largest[0]


@pytest.mark.usefixtures("forked")
def test_two_workers_write_the_bytes_that_one_process_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_many(tmp_path / "rooms", 40)
    folders = []
    for processes in (1, 2):
        monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / f"cache_{processes}"))
        folders.append(prepare(data, processes))
    files = sorted(path.name for path in folders[0].iterdir())
    assert files == ["audio.npy", "depth.npy", "depth_exact.npy", "image.npy", "index.json"]
    for name in files:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
    assert np.load(folders[1] / "depth.npy").reshape(40, -1).any(1).all()


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("command", [prepare, pack])
def test_an_error_in_a_worker_names_row_and_file(command: Callable[[DataConfig], object], tmp_path: Path) -> None:
    data = write_many(tmp_path / "rooms", 100)
    broken = data.root / "Hall" / "depth" / "depth_70.npy"
    broken.unlink()
    broken.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"train\.csv, line 72: .*depth_70\.npy cannot be read"):
        command(data)


@pytest.mark.usefixtures("forked")
def test_a_finding_of_a_worker_names_its_row_and_rows_stay_in_order(tmp_path: Path) -> None:
    data = write_many(tmp_path / "rooms", 80)
    broken = data.root / "Hall" / "depth" / "depth_70.npy"
    broken.unlink()
    broken.write_bytes(b"broken")
    diagnosis = diagnose(data)
    assert [row.record.name for row in diagnosis.rows] == [f"Hall/{number}" for number in range(80)]
    (finding,) = diagnosis.by_kind()["corrupt"]
    assert finding.where == "Hall/train.csv, line 72"
    assert finding.rows == ("Hall/70",)


@pytest.mark.usefixtures("forked")
def test_results_come_as_they_are_finished_or_in_order() -> None:
    tasks = [(-number,) for number in range(20)]
    assert list(parallel_map(abs, tasks, 2, keep_order=True)) == list(range(20))
    assert sorted(parallel_map(abs, tasks, 2)) == list(range(20))
    assert list(parallel_map(abs, tasks, 1)) == list(range(20))


def test_tasks_are_drawn_when_they_are_needed() -> None:
    drawn: list[int] = []

    def tasks() -> Iterator[tuple[int]]:
        for number in range(3):
            drawn.append(number)
            yield (number,)

    results = parallel_map(abs, tasks(), 1)
    assert next(results) == 0
    assert drawn == [0]


def weigh_tasks(
    pickled: list[int], function: Callable[..., Any], tasks: Iterable[tuple[Any, ...]], *_: Any, **__: Any
) -> Iterator[Any]:
    for task in tasks:
        pickled.append(len(pickle.dumps((function, task))))
        yield function(*task)


WAITING = """
from echodepth.core.workers import parallel_map
wait = "import os, pathlib, time; pathlib.Path(f'worker_{os.getpid()}').touch(); time.sleep(100)"
list(parallel_map(exec, [(wait,)] * 4, 2))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the states of processes from /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert wait_until(lambda: len([*tmp_path.glob("worker_*")]) == 2, 60)
        process.send_signal(signal.SIGKILL)
        process.wait()
        started = [int(path.name.split("_")[1]) for path in tmp_path.glob("worker_*")]
        assert wait_until(lambda: not any(map(is_running, started)), 10), "workers outlived their parent"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


GROUP = """
import os, signal, sys, time
from echodepth.core.workers import start_worker
parent = os.getpid()
worker = os.fork()
if worker == 0:
    start_worker(parent)
    print("ready", flush=True)
    time.sleep(60)
    os._exit(9)
sys.stdin.readline()
for number in (signal.SIGINT, signal.SIGUSR1):
    os.kill(worker, number)
subprocess = os.fork()
if subprocess == 0:  # not the parent
    os.kill(worker, signal.SIGTERM)
    os._exit(0)
os.waitpid(subprocess, 0)
time.sleep(1)
print(os.waitpid(worker, os.WNOHANG), flush=True)
os.kill(worker, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no signal tells who sent it")
def test_a_worker_leaves_signals_to_all_processes_to_its_parent(tmp_path: Path) -> None:
    """A scheduler's SIGTERM, or Ctrl-C, ended the data loader's workers while the run was saving."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.run(
        [sys.executable, "-c", GROUP], env=environment, input="go\n", capture_output=True, text=True, check=True
    )
    assert process.stdout.split("\n") == ["ready", "(0, 0)", "0", ""]


def test_a_stopped_worker_is_ended(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Its pool would wait for it for ever."""
    monkeypatch.setattr(workers, "_LOOK", 0.01)
    monkeypatch.setattr(workers, "_watching", set())
    worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    worker.start()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGSTOP)
    workers.watch_workers()
    worker.join(20)
    assert worker.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("error", "is_death"),
    [
        (RuntimeError("DataLoader worker (pid(s) 3, 4) exited unexpectedly"), True),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), True),
        (RuntimeError("A worker process managed by the executor was unexpectedly terminated. This"), True),
        (RuntimeError("Caught RuntimeError in DataLoader worker process 0."), False),
        (ValueError("DataLoader worker (pid 7) is killed"), False),
    ],
)
def test_the_death_of_a_worker_is_one_line(error: Exception, is_death: bool) -> None:
    line = workers.worker_death(error)
    assert (line is not None) == is_death
    assert not is_death or ("--resume auto" in str(line) and "\n" not in str(line))


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()

"""Time and memory of the commands that read a dataset, over its number of frames.

    python -m benchmarks.data_scaling
    python -m benchmarks.data_scaling --frames 1000 4000 --only prepare doctor

Every command runs on 1000, 4000, 16,000 and 64,000 tiny frames (hard links to 16 files, 500 frames to a location),
16x16 pixels, 10 ms of audio, a network of 2 base channels, so that little but the work per frame is measured. Each
measurement is a process of its own with one thread, where ``prepare``, ``shard`` and ``doctor`` have two workers, as
by default; their processor time is included, and the time in which they start and import is not. What 128 frames take
is subtracted: reports are the same for any number of frames. A measurement that would exceed the time limit, by
extrapolation from the one before, is left out and listed as such.

Writes docs/results/data_scaling.json after each measurement; a later call measures what is missing there.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.data_commands import COMMANDS, SECONDS, SIDE, Work
from benchmarks.rooms import write_many
from benchmarks.timing import KEPT, wall_seconds
from echodepth.core.atomic_io import atomic_write
from echodepth.data.config import DataConfig

TABLE = KEPT.parent / "data_scaling.json"
FEW, FRAMES = 128, (1000, 4000, 16_000, 64_000)
PER_LOCATION = 500
RUNS, LONG_ENOUGH = 5, 5.0
"""At most so many runs count, and no further one after so many seconds."""
CLOCK = 0.05
"""Seconds that are measured well: a worker's time is counted in hundredths."""
LIMIT = 300.0
"""Seconds that a measurement may take."""
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=FRAMES)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=tuple(COMMANDS))
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds that a measurement may take")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--scratch", type=Path, help="folder that keeps the frames for a later call")
    parser.add_argument("--measure", choices=COMMANDS, help="measure one command in this process, in --scratch")
    flags = parser.parse_args()
    if flags.measure:
        print(json.dumps(measure_here(flags.measure, flags.scratch, flags.frames[0])))
        return
    with tempfile.TemporaryDirectory() as folder:
        for frames in tqdm(sorted({FEW, *flags.frames}), desc="frames", disable=None):
            for command in flags.only:
                add_row(command, frames, flags.scratch or Path(folder), flags.limit, flags.table)
            if not flags.scratch and frames != FEW:
                shutil.rmtree(Path(folder) / str(frames), ignore_errors=True)
    print(summary(read_rows(flags.table)))


def read_rows(table: Path) -> list[Row]:
    rows: list[Row] = json.loads(table.read_text())["measured"] if table.exists() else []
    return rows


def add_row(command: str, frames: int, scratch: Path, limit: float, table: Path) -> None:
    """Measure a command in a process of its own, unless that was done or would take too long."""
    rows = read_rows(table)
    if any((row["command"], row["frames"]) == (command, frames) and not row.get("skipped") for row in rows):
        return
    rows = [row for row in rows if (row["command"], row["frames"]) != (command, frames)]
    smaller = [row for row in rows if row["command"] == command and row["frames"] < frames]
    last = max(smaller, key=lambda row: row["frames"], default=None)
    if last and ("skipped" in last or last["seconds"] * frames / last["frames"] > limit):
        row: Row = {"command": command, "frames": frames, "skipped": f"would take more than {limit:g} s"}
    else:
        # Processes that wanted to compute in the last minute: beyond the machine's cores, they slow each other.
        load = round(os.getloadavg()[0], 1)
        row = {"command": command, "frames": frames} | measure(command, scratch, frames) | {"load": load}
    rows = sorted([*rows, row], key=lambda row: (list(COMMANDS).index(row["command"]), row["frames"]))
    write_table(rows, table)


def write_table(rows: list[Row], table: Path) -> None:
    versions = {"machine": platform.machine(), "python": platform.python_version()}
    versions |= {package: version(package) for package in ("torch", "numpy", "joblib")}
    facts = {"cores": os.cpu_count(), "versions": versions, "fitted": fit_all(rows), "measured": rows}
    with atomic_write(table) as unfinished:
        unfinished.write_text(json.dumps(facts, indent=1) + "\n")


def measure(command: str, scratch: Path, frames: int) -> Row:
    for number in {FEW, frames}:
        write_frames(scratch / str(number), number)
    here = Path(__file__).resolve().parents[1]
    call = [sys.executable, "-m", "benchmarks.data_scaling", "--measure", command, "--frames", str(frames)]
    run = subprocess.run(
        [*call, "--scratch", str(scratch.resolve())],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=here,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    row: Row = json.loads(run.stdout.splitlines()[-1])
    return row


def write_frames(folder: Path, frames: int) -> None:
    """A dataset, and for ``predict`` a folder of recordings and one of images of the same names."""
    if (folder / "complete").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    write_many(folder / "rooms", frames, PER_LOCATION)
    for kind, suffix in (("recordings", ".wav"), ("images", ".png")):
        (folder / kind).mkdir()
        for frame in range(frames):
            os.link(folder / "rooms" / f"{frame % 16}{suffix}", folder / kind / f"{frame:06d}{suffix}")
    (folder / "complete").touch()


def measure_here(command: str, scratch: Path, frames: int) -> Row:
    """The median cost of a command. It runs on few frames first, which imports modules and starts the workers."""
    work_in(command, scratch / str(FEW))()
    rows: list[Row] = []
    while not rows or (len(rows) < RUNS and sum(row["seconds"] for row in rows) < LONG_ENOUGH):
        rows.append(measure_once(work_in(command, scratch / str(frames))))
    return {name: round(median(row[name] for row in rows), 4) for name in rows[0]} | {"runs": len(rows)}


def work_in(command: str, folder: Path) -> Work:
    os.chdir(folder)
    os.environ["ECHODEPTH_CACHE"] = str(folder / "cache")
    return COMMANDS[command](DataConfig("batvisionv2", Path("rooms"), SIDE, audio_seconds=SECONDS))


def measure_once(work: Work) -> Row:
    for process in ("self", *workers()):
        Path(f"/proc/{process}/clear_refs").write_text("5")  # the peak is counted anew (man 5 proc)
    before = processor_time()
    seconds = wall_seconds(work)
    row: Row = {"seconds": seconds, "processor_seconds": processor_time() - before, "megabytes": peak("self")}
    return row | ({"worker_megabytes": max(map(peak, workers()))} if workers() else {})


def workers() -> list[str]:
    """Process ids of this process's children."""
    return [child for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text().split()]


def processor_time() -> float:
    """Seconds of this process and of its children, running and ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    stats = [Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split() for child in workers()]
    running = sum(int(ticks) for stat in stats for ticks in stat[11:13]) / os.sysconf("SC_CLK_TCK")
    return time.process_time() + ended.ru_utime + ended.ru_stime + running


def peak(process: str) -> float:
    """The most memory that a process has held, in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def fit_all(rows: list[Row]) -> dict[str, Row]:
    """For each command, growth with the number of frames, where two numbers besides the fewest are measured.

    What takes no more time for many frames than the clock distinguishes is left out.
    """
    fitted = {}
    for command in COMMANDS:
        measured = [row for row in rows if row["command"] == command and "seconds" in row]
        is_measured = len(measured) > 2 and measured[0]["frames"] == FEW
        if is_measured and measured[-1]["processor_seconds"] - measured[0]["processor_seconds"] > CLOCK:
            fitted[command] = fit(measured)
    return fitted


def fit(measured: list[Row]) -> Row:
    """Growth beyond the first row: the exponent of processor time, its range per frame, and memory per frame."""
    few, *more = measured
    frames = np.array([row["frames"] - few["frames"] for row in more], dtype=float)
    seconds = np.array([row["processor_seconds"] - few["processor_seconds"] for row in more])
    per_frame = 1000 * seconds / frames
    growth = {
        name: round(float(1024 * np.polyfit(frames, [row[name] - few[name] for row in more], 1)[0]), 2)
        for name in ("megabytes", "worker_megabytes")
        if name in few
    }
    return {
        "exponent": round(float(np.polyfit(np.log(frames), np.log(np.maximum(seconds, 1e-6)), 1)[0]), 3),
        "processor_ms_per_frame": [round(float(each), 4) for each in per_frame],
        "spread": round(float(per_frame.max() / per_frame.min() - 1), 3),
        "kilobytes_per_frame": growth["megabytes"],
    } | ({"worker_kilobytes_per_frame": growth["worker_megabytes"]} if "worker_megabytes" in growth else {})


def summary(rows: list[Row]) -> str:
    """The fitted figures as a table in Markdown."""
    head = ["command", "exponent", "processor ms per frame", "KB per frame", "KB per frame, worker"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for command, each in fit_all(rows).items():
        times = ", ".join(f"{time:.3g}" for time in each["processor_ms_per_frame"])
        memory = f"{each['kilobytes_per_frame']:.2g} | {each.get('worker_kilobytes_per_frame', '')}"
        lines.append(f"| {command} | {each['exponent']:.2f} | {times} | {memory} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

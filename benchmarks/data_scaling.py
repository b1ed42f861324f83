"""Time and memory of the commands that read a dataset, over its number of frames.

    python -m benchmarks.data_scaling
    python -m benchmarks.data_scaling --frames 1000 4000 --only prepare doctor

Every command runs on 1000, 4000, 16,000 and 64,000 tiny frames (hard links to 16 files, 500 frames to a location),
16x16 pixels, 10 ms of audio, a network of 2 base channels, so that little but the work per frame is measured. Each
measurement is a process of its own with one thread, where ``prepare``, ``shard`` and ``doctor`` start two workers, as
they do by default. Processor time includes that of the workers. What 128 frames take is subtracted: imports, starting
workers, and reports are the same for any number of frames. A measurement that would exceed the time limit, by
extrapolation from the one before, is left out and listed as such.

Writes docs/results/data_scaling.json after each measurement; a later call measures what is missing there.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.rooms import write_many
from benchmarks.timing import KEPT, wall_seconds
from echodepth.core.atomic_io import atomic_write
from echodepth.data.config import DataConfig

TABLE = KEPT.parent / "data_scaling.json"
FEW, FRAMES = 128, (1000, 4000, 16_000, 64_000)
PER_LOCATION, SIDE, SECONDS, MAX_DEPTH, SHARD_MB = 500, 16, 0.01, 3.0, 1
LIMIT = 300.0
"""Seconds that a measurement may take."""
Work = Callable[[], object]
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
            if not flags.scratch:
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
    last = max((row for row in rows if row["command"] == command), key=lambda row: row["frames"], default=None)
    if last and (last.get("skipped") or last["seconds"] * frames / last["frames"] > limit > last["seconds"]):
        row: Row = {"command": command, "frames": frames, "skipped": f"would take more than {limit:g} s"}
    else:
        row = {"command": command, "frames": frames} | measure(command, scratch, frames)
    rows = sorted([*rows, row], key=lambda row: (list(COMMANDS).index(row["command"]), row["frames"]))
    with atomic_write(table) as unfinished:
        unfinished.write_text(json.dumps({"fitted": fit_all(rows), "measured": rows}, indent=1) + "\n")


def measure(command: str, scratch: Path, frames: int) -> Row:
    folder = scratch / str(frames)
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        write_many(folder / "rooms", frames, PER_LOCATION)
        write_folder(folder, frames)
        (folder / "complete").touch()
    here = Path(__file__).resolve().parents[1]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ECHODEPTH_CACHE": str(folder / "cache")}
    call = [sys.executable, "-m", "benchmarks.data_scaling", "--measure", command, "--frames", str(frames)]
    run = subprocess.run(
        [*call, "--scratch", str(scratch.resolve())], stdout=subprocess.PIPE, text=True, check=True, cwd=here,
        env=environment,
    )  # fmt: skip
    row: Row = json.loads(run.stdout.splitlines()[-1])
    return row


def write_folder(folder: Path, frames: int) -> None:
    """One folder of recordings and one of images of the same names, for ``predict``."""
    for kind, suffix in (("recordings", ".wav"), ("images", ".png")):
        (folder / kind).mkdir()
        for frame in range(frames):
            os.link(folder / "rooms" / f"{frame % 16}{suffix}", folder / kind / f"{frame:06d}{suffix}")


def measure_here(command: str, scratch: Path, frames: int) -> Row:
    """Seconds and megabytes of one command; what it needs is made, and what it imports is imported, before."""
    folder = scratch / str(frames)
    os.chdir(folder)
    work = COMMANDS[command](DataConfig("batvisionv2", Path("rooms"), SIDE, audio_seconds=SECONDS))
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew (man 5 proc)
    before = processor_time()

    def work_and_stop() -> None:
        work()
        if "joblib" in sys.modules:  # the time of a process counts once it has ended
            from joblib.externals.loky import get_reusable_executor

            get_reusable_executor(reuse=True).shutdown(wait=True)

    seconds = wall_seconds(work_and_stop)
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    row: Row = {
        "seconds": seconds,
        "processor_seconds": processor_time() - before,
        "megabytes": int(peak.split()[1]) / 1024,
    }
    if command in WITH_WORKERS:
        row["worker_megabytes"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {name: round(value, 3) for name, value in row.items()}


def processor_time() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def prepare_split(data: DataConfig) -> Work:
    from echodepth.core.flags import build
    from echodepth.training.compose import Choices, prepare_class
    from echodepth.training.prepare import prepare

    shutil.rmtree(os.environ["ECHODEPTH_CACHE"], ignore_errors=True)
    settings = {"data_dir": data.root, "image_size": SIDE, "audio_seconds": SECONDS, "splits": ("train",)}
    config: Any = build(prepare_class(Choices()), settings)
    return lambda: prepare(config)


def pack_shards(data: DataConfig) -> Work:
    from echodepth.data.streaming.config import ShardConfig
    from echodepth.data.streaming.writer import shard

    shutil.rmtree("shards", ignore_errors=True)
    config = ShardConfig(data=data, out=Path("shards"), splits=("train",), shard_mb=SHARD_MB)
    return lambda: shard(config)


def examine_rows(data: DataConfig) -> Work:
    from echodepth.apps.doctor.config import DoctorConfig
    from echodepth.apps.doctor.examine import doctor

    return lambda: doctor(DoctorConfig(data.root, max_depth=MAX_DEPTH, out=Path("doctor")))


def cache_outputs(data: DataConfig) -> Work:
    from echodepth.training.config import CacheTeacherConfig
    from echodepth.training.teacher_setup import cache_teacher

    shutil.rmtree(Path(os.environ["ECHODEPTH_CACHE"]) / "teachers", ignore_errors=True)
    config = CacheTeacherConfig(teacher=save_model(data, "rgb"), num_workers=0, device="cpu", data=data)
    return lambda: cache_teacher(config)


def evaluate_model(data: DataConfig) -> Work:
    from echodepth.evaluation.config import EvaluateConfig, ScoringConfig
    from echodepth.evaluation.evaluate import evaluate

    config = EvaluateConfig(
        checkpoint=save_model(data, "binaural_attention"), scoring=ScoringConfig(split="train", device="cpu")
    )
    return lambda: evaluate(config)


def compare_models(data: DataConfig) -> Work:
    from echodepth.evaluation.compare import compare
    from echodepth.evaluation.config import CompareConfig, ScoringConfig

    runs = (save_model(data, "binaural_attention"),)
    return lambda: compare(CompareConfig(runs=runs, scoring=ScoringConfig(split="train", device="cpu")))


def predict_folder(data: DataConfig) -> Work:
    from echodepth.inference.config import PredictConfig
    from echodepth.inference.predict import predict

    config = PredictConfig(
        (Path("recordings"),), save_model(data, "binaural_attention"), save=("npy",), image=Path("images"),
        overwrite=True, out=Path("predictions"), device="cpu",
    )  # fmt: skip
    return lambda: predict(config)


def open_files(data: DataConfig) -> Work:
    from echodepth.data.opening import open_split

    return lambda: open_split(data, "train")


def open_arrays(data: DataConfig) -> Work:
    from echodepth.data.cache.prepared import AudioCacheFormat, open_prepared, write_prepared

    write_prepared(data, "train", AudioCacheFormat(), workers=2)
    return lambda: open_prepared(data, "train", ("image", "audio", "depth"), AudioCacheFormat())


def open_tars(data: DataConfig) -> Work:
    from echodepth.data.opening import open_split

    if not Path("shards/index.json").exists():
        pack_shards(data)()
    config = DataConfig("batvisionv2", Path("shards"), SIDE, audio_seconds=SECONDS)
    return lambda: open_split(config, "train")


def save_model(data: DataConfig, network: str) -> str:
    """An untrained model of two base channels, in ``checkpoints``; its name."""
    from echodepth.models import checkpoint
    from echodepth.models.run_record import RunRecord

    arguments: dict[str, Any] = {"base_channels": 2, "output_size": SIDE, "max_depth": 30.0}
    settings = {
        "dataset": data.dataset, "data_dir": str(data.root), "image_size": SIDE, "audio_seconds": SECONDS
    }  # fmt: skip
    run = RunRecord(kind="rgb" if network == "rgb" else "binaural", experiment_name=network, seed=0, data=settings)
    spec = checkpoint.ModelSpec(network, arguments, {"image_size": SIDE})
    checkpoint.save_model(checkpoint.DepthModel(spec, run).eval(), Path("checkpoints") / network / "best")
    return network


COMMANDS: dict[str, Callable[[DataConfig], Work]] = {
    "prepare": prepare_split,
    "shard": pack_shards,
    "doctor": examine_rows,
    "cache-teacher": cache_outputs,
    "evaluate": evaluate_model,
    "compare": compare_models,
    "predict a folder": predict_folder,
    "open files": open_files,
    "open prepared": open_arrays,
    "open shards": open_tars,
}
"""Each makes what it needs and returns what is to be measured."""
WITH_WORKERS = {"prepare", "shard", "doctor"}


def fit_all(rows: list[Row]) -> dict[str, Row]:
    """For each command, growth with the number of frames, where two numbers besides the fewest are measured."""
    fitted = {}
    for command in COMMANDS:
        measured = [row for row in rows if row["command"] == command and "seconds" in row]
        if len(measured) > 2 and measured[0]["frames"] == FEW:
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

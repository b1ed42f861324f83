"""Kills every command that writes files at random moments, and training before each file operation.

    python -m tests.chaos.kills [--train 50] [--others 20] [--points] [--only train ...]

After a kill the best model loads, and so does every checkpoint. Then the same command is run to its end, training with
``--resume auto``: what it leaves has to equal an undisturbed run's, byte by byte, and nothing unfinished may be left.
``record`` adds to what is there: its recordings have to be those of an undisturbed run, as far as they go, and stay.
The table lists for each command the kills, and those after which anything was lost.
"""

import argparse
import csv
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.calibrate import HIDDEN
from echodepth import cli
from echodepth.apps import commands
from tests.apps.calibrate.recordings import write_recordings
from tests.chaos.crash import finishes, killed_after, killed_before
from tests.tiny import SECONDS, save_tiny, save_tiny_rgb, write_v2

TRAIN = (
    "--image_size 32 --base_channels 2 --attention_levels 5 --batch_size 2 --num_workers 0 --nb_epochs 3 "
    "--learning_rate 1e-3 --device cpu --save_frequency 2 --save_minutes 0.0001 --experiment_name run --resume auto"
)


OUTPUT = Path(tempfile.gettempdir()) / f"echodepth_kills_{os.getpid()}.txt"
"""What the latest command printed."""


@dataclass(frozen=True)
class Command:
    """A command line, which is run in a folder of its own.

    ROOT is the dataset, MODELS the folder of saved models, ROBOT that of recordings whose rig is to be found.
    """

    name: str
    words: str
    adds: bool = False
    """Whether a second run adds its files to those of the first."""


COMMANDS = (
    Command("train", f"train binaural --data_dir ROOT --audio_seconds {SECONDS} {TRAIN}"),
    Command("simulate", "simulate --out rooms --rooms 3 --poses 1 --image_size 48 --workers 1"),
    Command("prepare", f"prepare --data_dir ROOT --audio_seconds {SECONDS} --image_size 32 --workers 1"),
    Command("shard", "shard --data_dir ROOT --out shards --workers 1 --shard_mb 1"),
    Command("cache-teacher", f"cache-teacher --data_dir ROOT --audio_seconds {SECONDS} --image_size 32 "
            "--teacher MODELS/rgb --batch_size 2 --num_workers 0 --device cpu"),
    Command("predict", "predict ROOT/Attic/audio --checkpoint MODELS/ears --device cpu --out out --save npy png"),
    Command("evaluate", "evaluate --checkpoint MODELS/ears --data_dir ROOT --device cpu"),
    Command("export", "export --checkpoint MODELS/ears --format onnx --out out"),
    Command("doctor", "doctor ROOT --workers 1"),
    Command("convert", "convert --out rooms --location kitchen --audio ROOT/Attic/audio/*.wav "
            "--depth ROOT/Attic/depth/*.npy --camera ROOT/Attic/camera/*.png --pair order"),
    Command("compare", "compare MODELS/ears MODELS/rgb --data_dir ROOT --device cpu"),
    Command("calibrate", "calibrate ROBOT --count 4 --reference_rooms 8"),
    Command("record", "record --card simulated --location kitchen --count 6 --interval 0.2", adds=True),
)  # fmt: skip


def run(words: str) -> Callable[[], object]:
    """The command as a function."""

    def call() -> None:
        output = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        try:
            cli.main(words.split())
        except SystemExit as end:
            if end.code:
                raise

    return call


def contents(folder: Path) -> dict[str, object]:
    """Every file below a folder in a form that is equal for equal results: a curve has no times."""
    return {str(path.relative_to(folder)): _content(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def _content(path: Path) -> object:
    if path.name == "metrics.csv":
        with path.open(newline="") as file:
            return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
    if path.suffix == ".pth":
        state = torch.load(path, weights_only=True)
        del state["loops"]  # Lightning's counters, which tell how often a run was interrupted
        return _plain(state)
    return path.read_bytes()


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def whole(folder: Path) -> bool:
    """Whether what is read from a run that was killed is there: every checkpoint loads, and the best model if any."""
    from echodepth.models.checkpoint import load_depth_model, read_checkpoint

    run = folder / "checkpoints" / "run"
    for path in run.glob("*.pth"):
        read_checkpoint(path)
    if (folder / "logs" / "run" / "metrics.csv").exists():  # the first epoch was validated
        load_depth_model(run / "best")
    return True


def lost(command: Command, words: str, folder: Path, expected: dict[str, object]) -> str:
    """What a killed command lost, after it is run again; empty if nothing."""
    left = contents(folder)
    if left == expected:  # killed after its work: convert does not write over a finished room
        return ""
    try:
        whole(folder)
        finishes(run(words))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    found = contents(folder)
    if command.adds:
        return _lost_recordings(left, found, expected)
    differing = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    return f"differs in {', '.join(differing[:5])}" if differing else ""


def _lost_recordings(left: dict[str, object], found: dict[str, object], expected: dict[str, object]) -> str:
    """What a second run of ``record`` lost of a first one that was killed, or does not list once; empty if nothing."""
    recordings = {name: content for name, content in left.items() if name.endswith(".wav")}
    differing = [name for name, content in recordings.items() if not content == found.get(name) == expected.get(name)]
    listed = [Path(row["audio file name"]).name for row in _rows(found["recordings/kitchen/recordings.csv"])]
    there = [Path(name).name for name in found if not name.endswith(".csv")]
    if sorted(listed) != sorted(there):
        differing.append(f"the table, which lists {listed} of {there}")
    return f"differs in {', '.join(differing[:5])}" if differing else ""


def _rows(table: object) -> list[dict[str, str]]:
    assert isinstance(table, bytes)
    return list(csv.DictReader(table.decode().splitlines()))


def main() -> None:
    """Kill and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=int, default=50)
    parser.add_argument("--others", type=int, default=20)
    parser.add_argument("--points", action="store_true", help="also kill training before each file operation")
    parser.add_argument("--only", nargs="*", default=[each.name for each in COMMANDS])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for each in commands.COMMANDS:  # once, and not in each of the processes that are killed
        if any(command.words.startswith(each.name) for command in COMMANDS if command.name in options.only):
            cli._load(each.run)
            cli._load(each.flags)
    base = Path(tempfile.mkdtemp(prefix="echodepth_kills_"))
    os.environ["OMP_NUM_THREADS"] = "1"
    root = write_v2(base / "root")
    os.chdir(base)
    save_tiny(base / "models" / "ears", root)
    save_tiny_rgb(base / "models" / "rgb", root)
    write_recordings(base / "robot", HIDDEN, 4)
    print("| command | kills | of them before its end | lost |\n|---|---|---|---|", flush=True)
    failed = False
    for command in (each for each in COMMANDS if each.name in options.only):
        kills = options.train if command.name == "train" else options.others
        failed |= bool(_disturb(command, base, kills, options))
    shutil.rmtree(base, ignore_errors=True)
    raise SystemExit(failed)


def _disturb(command: Command, base: Path, kills: int, options: Any) -> int:
    words = command.words
    for name in ("ROOT", "MODELS", "ROBOT"):
        words = words.replace(name, str(base / name.lower()))
    rng = random.Random(f"{options.seed} {command.name}")

    def fresh(name: str) -> Path:
        folder = base / command.name / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        os.chdir(folder)
        os.environ["ECHODEPTH_CACHE"] = str(folder / "cache")
        return folder

    expected_in = fresh("undisturbed")
    try:
        finishes(run(words))
    except AssertionError:
        print(OUTPUT.read_text()[-2000:], file=sys.stderr)
        raise
    expected = contents(expected_in)
    fresh("timed")  # a second time: the first compiles what numba then finds in its cache
    before = os.times()
    finishes(run(words))
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    total = landed = 0
    losses = []
    for number in range(kills):
        folder = fresh("killed")
        landed += killed_after(rng.uniform(0.02, 1.0) * seconds, run(words))
        total += 1
        if problem := lost(command, words, folder, expected):
            losses.append(f"kill {number}: {problem}")
        print(f"{command.name}: {total} of {kills} kills, {landed} before its end, {len(losses)} lost", file=sys.stderr)
    print(f"| {command.name} | {total} | {landed} | {len(losses)} |", flush=True)
    if options.points and command.name == "train":
        point = 1
        while killed_before(point, run(words)) if fresh("killed") else False:
            if problem := lost(command, words, Path.cwd(), expected):
                losses.append(f"point {point}: {problem}")
            point += 1
        print(f"| {command.name}, before each file operation | {point - 1} | {point - 1} | {len(losses)} |", flush=True)
    for problem in losses:
        print(f"{time.strftime('%H:%M:%S')} {command.name}: {problem}", flush=True)
    return len(losses)


if __name__ == "__main__":
    main()

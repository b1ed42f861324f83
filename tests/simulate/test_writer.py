"""Simulated sets on disk: reproducible bytes, BatVision's format, and recovery from interruptions."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from echodepth import cli
from echodepth.core.errors import ConfigError
from echodepth.simulate.config import PRESETS, Amount, SimulateConfig
from echodepth.simulate.plan import file_kinds, plan, split_of
from echodepth.simulate.writer import simulate, write_room
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[SimulateConfig, Path]:
    config = SimulateConfig(
        tmp_path_factory.mktemp("simulated") / "set", rooms=4, poses=2, image_size=32, workers=1, keep_exact=True
    )
    return config, simulate(config)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def wait_until(reached: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not reached() and time.monotonic() < end:
        time.sleep(0.02)
    return reached()


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_number_of_workers(small: tuple[SimulateConfig, Path], tmp_path: Path) -> None:
    config, root = small
    assert contents(simulate(replace(config, out=tmp_path / "two", workers=2))) == contents(root)


@pytest.mark.slow
def test_a_killed_run_leaves_no_partial_file_and_no_worker_and_resumes_to_the_same_bytes(
    tmp_path: Path,
) -> None:
    amount = ["--rooms", "12", "--poses", "4", "--image_size", "48", "--workers", "2"]
    killed, through = tmp_path / "killed", tmp_path / "through"
    process = subprocess.Popen(
        [sys.executable, "-m", "echodepth", "simulate", "--out", str(killed), *amount],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # The parent writes the first room; with more files, the workers are writing the others.
    assert wait_until(lambda: len([*killed.rglob("audio_*.wav")]) > 8 or process.poll() is not None, 120)
    assert process.poll() is None, "the run ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()

    def group_is_gone() -> bool:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    assert wait_until(group_is_gone, 20), "workers outlived their parent process"
    assert not [*killed.rglob("*.csv")], "an incomplete set must not be readable"
    assert len([*killed.rglob("depth_*.npy")]) < 48
    for path in killed.rglob("depth_*.npy"):
        assert np.load(path).shape == (48, 48)
    for path in killed.rglob("audio_*.wav"):
        assert soundfile.read(path)[0].shape == (20000, 2)
    cli.main(["simulate", "--out", str(killed), *amount])
    cli.main(["simulate", "--out", str(through), *amount, "--workers", "1"])
    assert contents(killed) == contents(through)


@pytest.mark.slow
def test_deleted_files_are_restored_and_the_others_are_kept(small: tuple[SimulateConfig, Path], tmp_path: Path) -> None:
    config, root = small
    again = tmp_path / "again"
    shutil.copytree(root, again)
    deleted = [*again.rglob("*_0001_*"), *again.rglob("depth_0003_000.npy"), *again.rglob("*.csv")]
    for path in deleted:
        path.unlink()
    kept = next(again.rglob("audio_0000_000.wav"))
    untouched = kept.stat().st_mtime_ns
    simulate(replace(config, out=again))
    assert len(deleted) == 8 + 1 + 3
    assert contents(again) == contents(root)
    assert kept.stat().st_mtime_ns == untouched


def test_a_larger_set_contains_the_same_samples(small: tuple[SimulateConfig, Path], tmp_path: Path) -> None:
    config, root = small
    other = replace(config, out=tmp_path, rooms=23, poses=3)
    (instance,) = (i for i in plan(other) if (i.room, i.pose) == (2, 1))
    write_room(other, [instance], {})
    for kind in file_kinds(other):
        (original,) = root.rglob(instance.file_name(kind))
        assert instance.path(other.out, kind).read_bytes() == original.read_bytes()


def test_files_are_in_batvision_format(small: tuple[SimulateConfig, Path]) -> None:
    _, root = small
    header = (
        "index,time,left audio time,right audio time,audio path,audio file name,"
        "camera time,camera path,camera file name,depth time,depth path,depth file name"
    )
    rows: list[dict[str, str]] = []
    for split in ("train", "val", "test"):
        table = root / "simulated_00" / f"{split}.csv"
        assert table.read_text().splitlines()[0] == header
        with table.open(newline="") as file:
            rows += csv.DictReader(file)
    assert len(rows) == 8
    for row in rows:
        assert row["audio path"] == "simulated_00/audio/"
        sound = soundfile.info(str(root / (row["audio path"] + row["audio file name"])))
        assert (sound.subtype, sound.channels, sound.frames, sound.samplerate) == ("PCM_32", 2, 20000, 44100)
        image = Image.open(root / (row["camera path"] + row["camera file name"]))
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (32, 32))
        depth = np.load(root / (row["depth path"] + row["depth file name"]))
        assert (depth.dtype, depth.shape) == (np.uint16, (32, 32))
        assert 200 < depth[depth > 0].min() < depth.max() < 35000
        assert (depth == 0).any()
    raw, _ = soundfile.read(str(root / (rows[0]["audio path"] + rows[0]["audio file name"])), dtype="int32")
    assert (raw % 256 == 0).all()  # 24 bits in 32


def test_depth_outside_holes_is_exact_to_a_few_millimetres(small: tuple[SimulateConfig, Path], tmp_path: Path) -> None:
    config, root = small
    for path in root.rglob("depth_0*.npy"):
        measured = np.load(path)
        exact = np.load(path.parents[1] / "depth_exact" / path.name.replace("depth_", "depth_exact_"))
        assert exact.dtype == np.float32
        assert exact.min() > 0
        assert 0 < (measured == 0).mean() < 0.6
        error = np.abs(measured / 1000 - exact)[measured > 0]
        assert np.median(error) < 0.005
    without_holes = replace(config, out=tmp_path, depth_holes=0.0)
    write_room(without_holes, [i for i in plan(without_holes) if i.room == 0], {})
    for path in tmp_path.rglob("depth_0*.npy"):
        exact = np.load(path.parents[1] / "depth_exact" / path.name.replace("depth_", "depth_exact_"))
        assert np.abs(np.load(path) / 1000 - exact).max() <= 0.0005001


def test_the_card_holds_settings_rooms_and_depth_statistics(small: tuple[SimulateConfig, Path]) -> None:
    config, root = small
    card = json.loads((root / "simulation.json").read_text())
    assert card["settings"]["rooms"] == 4
    assert card["settings"]["seed"] == config.seed
    assert card["samples"] == {"train": 4, "val": 2, "test": 2}
    assert sum(card["rooms"].values()) == 4
    # All pixels count: statistics of a sparse grid overestimated the hole at the left border by a factor of four.
    depth = np.concatenate([np.load(path).ravel() for path in root.rglob("depth_0*.npy")]) / 1000
    valid = depth[depth > 0]
    statistics = card["depth"]
    for name, share in (("percentile_5_m", 5), ("median_m", 50), ("percentile_95_m", 95), ("largest_m", 100)):
        assert statistics[name] == pytest.approx(np.percentile(valid, share, method="inverted_cdf"))
    assert statistics["invalid_share"] == pytest.approx((depth == 0).mean(), abs=1e-4)
    assert statistics["share_beyond_8_m"] == pytest.approx((valid > 8).mean(), abs=1e-4)
    assert statistics["pixels_per_metre"] == np.bincount(valid.astype(int)).tolist()
    with Image.open(root / "contact_sheet.png") as sheet:
        assert sheet.width > 1000


@pytest.mark.parametrize("rooms", [3, 10, 24, 57])
def test_splits_share_no_room_and_every_location_has_all_three(rooms: int) -> None:
    instances = plan(SimulateConfig(Path("unused"), rooms=rooms, poses=2))
    assert len({(i.room, i.pose) for i in instances}) == 2 * rooms
    for _, members in groupby(instances, key=lambda i: i.room):
        assert len({(i.split, i.location) for i in members}) == 1
    for location in {i.location for i in instances}:
        assert {i.split for i in instances if i.location == location} == {"train", "val", "test"}
    if rooms >= 10:
        train = sum(i.split == "train" for i in instances) / len(instances)
        assert 0.6 < train < 0.8


@pytest.mark.parametrize("seed", [0, 7])
def test_a_room_has_the_same_split_in_sets_of_all_sizes(seed: int) -> None:
    """Splits depended on the number of rooms: 75 % of the demo set's test rooms were training rooms of the larger."""
    sets = [
        {i.room: i.split for i in plan(SimulateConfig(Path("unused"), rooms=rooms, poses=1, seed=seed))}
        for rooms in (3, 17, 100, 312, 2400)
    ]
    for smaller, larger in pairwise(sets):
        assert smaller.items() <= larger.items()
        assert set(smaller.values()) == {"train", "val", "test"}
    assert Counter(sets[-1].values()) == {"train": 1680, "val": 240, "test": 480}
    # Not a pattern in the room's number: every place of a block of ten occurs in every split.
    for split in ("train", "val", "test"):
        assert {room % 10 for room, name in sets[-1].items() if name == split} == set(range(10))


def test_splits_depend_on_the_seed_and_not_on_the_version_of_a_generator() -> None:
    assert "".join(split_of(0, room)[1] for room in range(30)) == "arererrrrrerrrerarrrrrrrererar"
    assert [split_of(0, room) for room in range(100)] != [split_of(1, room) for room in range(100)]


@pytest.mark.slow
def test_a_preset_and_equal_flags_give_the_same_set(small: tuple[SimulateConfig, Path], tmp_path: Path) -> None:
    config, root = small
    shutil.copytree(root, tmp_path / "copy")
    simulate(replace(config, out=tmp_path / "copy", preset="demo", workers=2))
    assert contents(tmp_path / "copy") == contents(root)


def test_other_settings_in_the_same_root_are_refused(small: tuple[SimulateConfig, Path]) -> None:
    config, root = small
    with pytest.raises(ConfigError) as refused:
        simulate(replace(config, seed=5, poses=3))
    message = str(refused.value)
    assert str(root) in message
    assert "poses 2 (requested: 3)" in message
    assert "seed 0 (requested: 5)" in message
    assert "another --out" in message


@pytest.mark.slow
def test_dataset_simulated_is_made_at_first_use_then_reused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(PRESETS, "demo", Amount(3, 2, 32))
    train = ["train", "rgb", "--dataset", "simulated", "--image_size", "32", "--base_channels", "4"]
    train += ["--batch_size", "2", "--num_workers", "0", "--device", "cpu", "--nb_epochs", "1"]
    cli.main([*train, "--experiment_name", "first"])
    root = tmp_path / "cache" / "simulated"
    made = contents(root)
    assert len([name for name in made if name.endswith(".wav")]) == 6
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    cli.main([*train, "--experiment_name", "second"])
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == times
    assert caplog.text.count("simulating the default rooms in") == 1
    for name in ("simulated_00/test.csv", next(name for name in made if name.endswith(".npy"))):
        (root / name).unlink()
    cli.main(["evaluate", "--checkpoint", "first", "--device", "cpu", "--num_workers", "0"])
    assert contents(root) == made


def test_a_default_set_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path))
    (tmp_path / "simulated").mkdir()
    (tmp_path / "simulated" / "simulation.json").write_text('{"settings": {"simulator": 2}}')
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "rgb", "--dataset", "simulated", "--num_workers", "0", "--device", "cpu"])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert "simulator 2 (requested: 3)" in error
    assert "delete the folder" in error

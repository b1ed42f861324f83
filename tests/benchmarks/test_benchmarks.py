"""What a benchmark measures and keeps; never how long anything takes."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import attention, cost, data_commands, data_scaling, feed, report, simulate, timing
from benchmarks.rooms import write_many
from benchmarks.timing import Outcome, in_turn, keep
from echodepth.data.config import DataConfig
from echodepth.data.dataset import open_dataset
from echodepth.models.attention import cross_attention
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
    left, right = simulate.pyroomacoustics_responses(room, pose)
    # The loudspeaker is 0.18 m from the ears, and 40 samples are pyroomacoustics' own delay.
    assert abs(np.argmax(np.abs(left[:400])) - 40 - 0.179 / 343 * 44100) < 2
    assert np.argmax(np.abs(left[:400])) == np.argmax(np.abs(right[:400]))


def test_the_textbook_network_computes_the_same_as_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer = cross_attention.CrossAttention(16)
    torch.nn.init.ones_(layer.gate)
    own, other = torch.randn(2, 1, 16, 6, 5)
    exact = layer(own, other)
    monkeypatch.setattr(cross_attention, "memory_efficient_attention", attention.textbook)
    torch.testing.assert_close(layer(own, other), exact)


def test_costs_of_attention_are_kept_under_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "KEPT", tmp_path / "benchmarks.json")
    costs = {attention.TEXTBOOK: (40.0, 6000.0), attention.EXACT: (20.0, 600.0)}
    monkeypatch.setattr(attention, "measure", lambda name, form: attention.Cost(*costs[form]))
    attention.compare("step_base64", "binaural_step", "_base64")
    kept = json.loads((tmp_path / "benchmarks.json").read_text())
    assert {name: outcome["ratio"] for name, outcome in kept.items()} == {
        "binaural_step_exact_memory_base64": 0.1,
        "binaural_step_exact_time_base64": 0.5,
    }


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory as Linux counts it")
def test_what_a_process_holds_at_most_is_seen() -> None:
    before = attention.megabytes("VmRSS")
    held = np.ones(2**23)
    assert attention.megabytes("VmHWM") - before > held.nbytes / 2**20 - 8


def test_the_cost_of_data_is_that_of_as_many_frames_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "cache"))
    data = write_many(tmp_path / "rooms", 5)
    split = open_dataset(data, "train", ("audio", "depth"))
    assert sorted(split[i]["name"] for i in range(len(split))) == [f"Hall/{number}" for number in range(5)]
    rows = cost.measure_data(32, tmp_path)
    assert [(row["growing"], row["what"], row["size"]) for row in rows] == [
        ("frames", "opening the split", 32),
        ("frames", "a batch of 16", 32),
    ]
    assert len({*map(str, (tmp_path / "rooms_32" / "Hall" / "audio").iterdir())}) == 32


@pytest.mark.slow
def test_a_fed_run_is_measured_and_a_row_that_fails_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "cache"))
    said: list[str] = []
    words = "--device cpu --image_sizes 16 --networks rgb unet_baseline --frames 8 --batch_size 4 --base_channels 2"
    monkeypatch.setattr(feed, "EPOCHS", 2)
    config_of = feed.config_of

    def failing(network: str, *arguments: Any) -> Any:
        if network == "unet_baseline":
            raise RuntimeError("out of memory")
        return config_of(network, *arguments)

    monkeypatch.setattr(feed, "config_of", failing)
    out = tmp_path / "rows"
    (row,) = feed.main([*words.split(), "--seconds", "0.01", "--workers", "1", "--out", str(out)], said.append)
    assert (row.network, row.image_size, row.batch_size, row.syncs) == ("rgb", 16, 4, 0)
    assert min(row.bare, row.fed, row.run) > 0
    assert 0 < row.fetch < 1
    assert json.loads(out.read_text())["network"] == "rgb"
    assert said[2:4] == [str(row), "unet_baseline           16: out of memory"]


def measured(frames: int, seconds: float, **more: float) -> data_scaling.Row:
    row = {"command": "prepare", "frames": frames, "seconds": seconds, "processor_seconds": seconds}
    return row | {"megabytes": 300 + frames / 1024} | more


@pytest.mark.parametrize("exponent", [1, 2])
def test_growth_is_fitted_beyond_what_few_frames_take(exponent: int) -> None:
    few = data_scaling.FEW
    sizes = [few, few + 1000, few + 4000, few + 16_000]
    rows = [measured(size, 7.0 + 1e-3 * (size - few) ** exponent) for size in sizes]
    fitted = data_scaling.fit_all(rows)["prepare"]
    assert fitted["exponent"] == exponent
    assert fitted["kilobytes_per_frame"] == 1.0
    if exponent == 1:
        assert fitted["processor_ms_per_frame"] == [1.0, 1.0, 1.0]
        assert fitted["spread"] == 0.0
    assert data_scaling.fit_all(rows[:2]) == {}
    assert f"| prepare | {exponent}.00 |" in data_scaling.summary(rows)


def test_a_measurement_is_kept_and_one_beyond_the_limit_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []

    def measure(command: str, scratch: Path, frames: int) -> data_scaling.Row:
        done.append(frames)
        return measured(frames, frames / 10)

    monkeypatch.setattr(data_scaling, "measure", measure)
    table = tmp_path / "table.json"
    for limit, expected in ((200.0, [128, 1000]), (200.0, []), (500.0, [4000])):
        done.clear()
        for frames in (128, 1000, 4000, 16_000):
            data_scaling.add_row("prepare", frames, tmp_path, limit, table)
        assert done == expected
    rows = data_scaling.read_rows(table)
    assert [row["frames"] for row in rows if "skipped" in row] == [16_000]


def test_commands_are_measured_on_as_many_frames_as_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_scaling, "FEW", 3)
    monkeypatch.setenv("ECHODEPTH_CACHE", "set by the benchmark")
    monkeypatch.chdir(tmp_path)
    for frames in (3, 20):
        data_scaling.write_frames(tmp_path / str(frames), frames)
    row = data_scaling.measure_here("open files", tmp_path, 20)
    assert row["runs"] == data_scaling.RUNS
    assert 0 < row["processor_seconds"] < row["megabytes"]
    assert len([*(tmp_path / "20" / "recordings").iterdir()]) == 20
    assert len(data_commands.COMMANDS["open files"](DataConfig(data_dir=tmp_path / "20/rooms"))()) == 20  # type: ignore[arg-type]


def test_a_report_replaces_the_text_of_its_section_alone() -> None:
    page = "a\n<!-- one -->\nold\n<!-- end of one -->\nb\n<!-- two -->\n<!-- end of two -->\n"
    new = page.replace("\nold\n", "\n\nnew\n")
    assert report.insert(page, "one", "new") == new


@pytest.mark.parametrize("name", cost.NETWORKS)
def test_every_step_whose_cost_is_measured_learns(name: str) -> None:
    torch.manual_seed(0)
    before = [parameter.clone() for parameter in cost.NETWORKS[name][0](8, output_size=32).parameters()]
    torch.manual_seed(0)
    trained: list[torch.nn.Module] = []
    make, channels = cost.NETWORKS[name]

    def keeping(*arguments: object, **named: object) -> torch.nn.Module:
        trained.append(make(*arguments, **named))
        return trained[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(cost.NETWORKS, name, (keeping, channels))
        cost.stepping(name, 32, 8, 2)()
    assert any(not torch.equal(a, b) for a, b in zip(before, trained[0].parameters(), strict=True))


def test_costs_are_drawn_each_in_its_place() -> None:
    rows: list[cost.Row] = [
        {"growing": growing, "what": name, "size": size, "seconds": size / 100, "megabytes": size * 2}
        for growing, sizes in cost.SIZES.items()
        for name in cost.NETWORKS
        for size in sizes
    ]
    rows += [{"growing": "frames", "what": "a batch of 16", "size": size, "seconds": 1.0} for size in cost.FRAMES]
    rows += [{"growing": "processes", "what": "a step of all", "size": n, "seconds": 2.0} for n in (1, 2)]
    axes = cost.draw(rows).axes
    labels = sorted(axis.get_xlabel() for axis in axes)
    growing = ["base channels", "batch", "side in pixels"]
    assert labels == sorted([*growing, *growing, "frames in the split", "processes"])
    throughput = next(axis for axis in axes if axis.get_xlabel() == "processes").lines[0]
    assert np.asarray(throughput.get_ydata()).tolist() == [4.0, 8.0]  # frames a second, 8 a process in 2 s

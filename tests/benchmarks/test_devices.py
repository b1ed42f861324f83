"""What the benchmark of a device measures and writes; never how long anything takes."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks.devices.checks import attention, determinism
from benchmarks.devices.latency import frame, load
from benchmarks.devices.networks import ceiling, training
from benchmarks.devices.run import MODELS, Run, flop
from benchmarks.devices.tables import tables


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """On the CPU, of one small network."""
    for name in [each for each in MODELS if each != "student, full"]:
        monkeypatch.delitem(MODELS, name)
    run = Run(torch.device("cpu"), tmp_path / "figures.json", seconds=1e9, size=32, base=8, batch=2)
    monkeypatch.setattr(Run, "seconds_of", lambda run, work, **limits: [work(), 0.5][1])
    return run


def test_figures_are_written_one_by_one_and_become_tables(run: Run) -> None:
    for part in (ceiling, training, attention, determinism):
        part(run)
    run.keep("latency", "student, full, plain", lambda: frame(run, "student, full", "plain", 1, load(run, "student, full", "plain")))  # fmt: skip  # noqa: E501
    kept = json.loads(run.path.read_text())
    assert kept["training"]["student, full, fp32"]["frames_per_second"] == 2 / 0.5
    assert kept["determinism"]["student, full, bf16"]["bit_equal"] is True
    assert kept["attention"]["fp32"]["gradient_relative"] < 1e-5
    assert kept["latency"]["student, full, plain"]["hertz"] == 2.0
    rate = 2048**3 * 2 / 0.5 / 1e12
    assert kept["ceiling"]["fp32"]["product_tflops"] == pytest.approx(rate)
    lines = tables(kept).splitlines()
    assert f"| fp32 | {kept['ceiling']['fp32']['convolution_tflops']:.3g} | {rate:.3g} |" in lines
    share = kept["training"]["student, full, fp32"]["tflops"] / rate
    assert any(line.startswith("| student, full, fp32 | 4 |") and f"| {share:.0%} |" in line for line in lines)


def test_nothing_is_measured_once_the_time_is_over(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.seconds = -1.0
    run.keep("training", "one", lambda: pytest.fail("measured"))
    assert "training: one: left out" in capsys.readouterr().out
    assert not run.path.exists()


def test_arithmetic_is_that_of_one_frame(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the teacher without its decoder alone: the first convolution is 2 x 27 x 8 operations for each pixel."""
    monkeypatch.setitem(MODELS, "teacher", ("rgb", {}))
    assert flop(run, "teacher") > 2 * 27 * 8 * 32**2
    whole = flop(run, "teacher")
    run.size = 64
    assert flop(run, "teacher") == 4 * whole

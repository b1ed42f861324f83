"""Settings of a simulation: presets, ranges, the folder, and the packages of a backend."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from echodepth import cli
from echodepth.core.errors import ConfigError
from echodepth.simulate.config import PRESETS, Amount, SimulateConfig
from echodepth.simulate.writer import simulate


def test_a_preset_gives_the_amounts_that_no_flag_gives() -> None:
    assert SimulateConfig(Path("o")).amount == Amount(312, 10, 256)
    assert SimulateConfig(Path("o"), preset="demo").amount == PRESETS["demo"] == Amount(120, 6, 128)
    assert SimulateConfig(Path("o"), preset="demo", rooms=5, image_size=32).amount == Amount(5, 6, 32)


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"not empty and holds no simulation\.json"):
        simulate(SimulateConfig(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: replace(c, rooms=2), "rooms is 2: .* at least 3"),
        (lambda c: replace(c, poses=0), "poses is 0"),
        (lambda c: replace(c, image_size=8), "image_size is 8"),
        (lambda c: replace(c, workers=0), "workers is 0"),
        (lambda c: replace(c, seed=-1), "seed is -1"),
        (lambda c: replace(c, depth_holes=-0.1), "depth_holes is -0.1"),
        (lambda c: replace(c, snr=float("nan")), "snr is nan"),
        (lambda c: replace(c, robot_height=0.2), "robot_height is 0.2: .* 0.3 to 1.8"),
        (lambda c: replace(c, isolation=-3.0), "isolation is -3.0"),
        (lambda c: replace(c, speed_of_sound=34.0), "speed_of_sound is 34.0"),
    ],
)
def test_settings_out_of_range_are_refused(
    change: Callable[[SimulateConfig], SimulateConfig], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate(change(SimulateConfig(tmp_path / "set")))
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(("backend", "package"), [("ray", "ray"), ("dask", "distributed")])
def test_the_error_of_a_missing_backend_names_its_package(
    backend: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (package, "ray.util.joblib"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit) as stop:
        cli.main(["simulate", "--out", str(tmp_path / "set"), "--rooms", "3", "--backend", backend])
    assert stop.value.code == 2
    assert f"--backend {backend} needs the package {package}: pip install {package}" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()

"""Recordings of a hidden rig, and a quick comparison with few rooms."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.calibrate import HIDDEN
from echodepth.apps.calibrate import echoes, fit
from echodepth.apps.calibrate.reference import Reference, measure_reference, simulate_reference
from echodepth.apps.calibrate.sound import Sound
from echodepth.core.field_of_view import BATVISION_V2
from echodepth.simulate.rig import DEFAULT_RIG
from tests.apps.calibrate.recordings import write_recordings


@pytest.fixture(scope="session")
def few_rooms() -> Reference:
    return simulate_reference(replace(DEFAULT_RIG, height=0.62, pitch=7.0), 8, BATVISION_V2)


@pytest.fixture(scope="session")
def few_sounds(few_rooms: Reference) -> list[Sound]:
    return measure_reference(few_rooms, DEFAULT_RIG)


@pytest.fixture
def quick(few_rooms: Reference, few_sounds: list[Sound], monkeypatch: pytest.MonkeyPatch) -> None:
    """A comparison with few rooms, measured once: for what does not depend on its accuracy."""
    monkeypatch.setattr(fit, "simulate_reference", lambda *_: few_rooms)
    monkeypatch.setattr(echoes, "measure_reference", lambda *_: few_sounds)


@pytest.fixture(scope="session")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recordings(tmp_path_factory.mktemp("recordings") / "hidden", HIDDEN, 8)

"""Shared fixtures: where the real recordings lie, and a quiet, repeatable torch."""

import os
from pathlib import Path

import pytest
import torch

from tests.tiny import write_v2

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need the real recordings."""
    for item in items:
        if "real_data" in getattr(item, "fixturenames", ()):
            item.add_marker("real")


@pytest.fixture(autouse=True, scope="session")
def one_thread_per_worker() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real recordings that some tests check against."""
    folder = Path(os.environ.get("ECHODEPTH_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings in {folder}: set ECHODEPTH_REAL_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def v2_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BatVision V2 root; read only."""
    return write_v2(tmp_path_factory.mktemp("batvisionv2"))

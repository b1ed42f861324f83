"""Shared fixtures: where the real recordings lie, and a quiet, repeatable torch."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from tests.tiny import write_v2

if TYPE_CHECKING:
    from echodepth.inference.export_graph import DepthGraph

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need the real recordings."""
    for item in items:
        if "real_data" in getattr(item, "fixturenames", ()):
            item.add_marker("real")


@pytest.fixture(autouse=True, scope="session")
def one_thread_per_worker() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def one_frame_per_picture() -> None:
    """Drawing four validation frames takes longer than the training of most tests."""
    pytest.MonkeyPatch().setattr("echodepth.training.image_logging.FRAMES", 1)


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


@pytest.fixture(scope="module")
def traced_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trace each model in each precision once, because tracing takes seconds."""
    from echodepth.inference import exporters  # not above: the process that starts the workers imports this file too

    folder = tmp_path_factory.mktemp("traced")
    traced: dict[tuple[Any, ...], Path] = {}
    trace = exporters.trace_onnx

    def trace_once(graph: "DepthGraph", example: torch.Tensor, outputs: int, path: Path) -> None:
        parameters = list(graph.parameters())
        sums = [float(each.double().sum()) for each in parameters]
        key = (type(graph.network), example.shape, parameters[0].dtype, *sums)
        if key not in traced:
            traced[key] = folder / f"{len(traced)}.onnx"
            trace(graph, example, outputs, traced[key])
        shutil.copy(traced[key], path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echodepth.inference.export.trace_onnx", trace_once)
        yield

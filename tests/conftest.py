"""Shared fixtures: where the real recordings lie, and a quiet, repeatable torch.

The process that starts the workers imports this file, too, and needs neither torch nor the package.
"""

import fcntl
import hashlib
import importlib
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import torch

    from echodepth.inference.export_graph import DepthGraph
    from echodepth.simulate.config import SimulateConfig

ROOT = Path(__file__).resolve().parents[1]


IMPORTED_FIRST = (
    *("torch", "lightning.pytorch", "torchmetrics", "scipy.signal", "scipy.spatial", "transformers", "numba"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg", "sympy", "rich", "huggingface_hub", "joblib", "jinja2"),
)
"""While jaxtyping's hook imports a module of the package, Python looks for the bytecode of all that this one imports
under a name of jaxtyping's, finds none and compiles thousands of files, which takes ten seconds."""
if "PYTEST_XDIST_WORKER" in os.environ:  # one test alone may need none of them
    for _name in IMPORTED_FIRST:
        importlib.import_module(_name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need the real recordings."""
    for item in items:
        if "real_data" in getattr(item, "fixturenames", ()):
            item.add_marker("real")


@pytest.fixture(autouse=True, scope="session")
def one_thread_per_worker() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def pictures_on_demand(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing validation frames takes a third of most tests' training: only those marked ``pictures`` do it."""
    module = sys.modules.get("echodepth.training.image_logging")  # importing it takes seconds; most tests do not train
    if module is not None and "pictures" not in request.keywords:
        monkeypatch.setattr(module.ResultPictures, "on_validation_batch_end", lambda *_: None)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests leave nothing in the user's cache."""
    pytest.MonkeyPatch().setenv("ECHODEPTH_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    import torch

    torch.manual_seed(0)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """The largest memory that this process has had so far rises by less than 500 MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    risen = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    assert risen < 500, f"the test took {risen:.0f} MB more than any before"


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
    from tests.tiny import write_v2

    return write_v2(tmp_path_factory.mktemp("batvisionv2"))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of pytest that all its workers share."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


def made_once(folder: Path, key: object, make: Callable[[Path], object]) -> Path:
    """What ``make`` writes for this key, made by the first worker that needs it while the others wait."""
    path = folder / hashlib.sha256(repr(key).encode()).hexdigest()[:20]
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            make(unfinished)
            unfinished.rename(path)
    return path


@contextmanager
def tracing_once(shared_folder: Path) -> Iterator[None]:
    """Trace each model in each precision once, because tracing takes seconds."""
    from echodepth.inference import exporters

    trace = exporters.trace_onnx

    def trace_once(graph: "DepthGraph", example: "torch.Tensor", outputs: int, path: Path) -> None:
        plain = (int, float, str, tuple)
        modules = [
            (type(module).__name__, {name: value for name, value in vars(module).items() if isinstance(value, plain)})
            for module in graph.modules()
        ]
        tensors = [each.double() for each in (*graph.parameters(), *graph.buffers())]
        sums = [(float(each.sum()), float(each.square().sum())) for each in tensors]
        key = (modules, sums, next(graph.network.parameters()).dtype, example.shape, outputs)
        shutil.copy(made_once(shared_folder, key, lambda made: trace(graph, example, outputs, made)), path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("echodepth.inference.export.trace_onnx", trace_once)
        yield


@pytest.fixture(scope="module")
def traced_once(shared_folder: Path) -> Iterator[None]:
    with tracing_once(shared_folder):
        yield


@pytest.fixture
def simulated_once(shared_folder: Path) -> Iterator[None]:
    """Simulate each set of rooms once, because drawing its contact sheet alone takes half a second."""
    from echodepth.experiments import study
    from echodepth.simulate import writer

    simulate = writer.simulate

    def simulate_once(config: "SimulateConfig") -> Path:
        if config.out.exists() and any(each.is_dir() for each in config.out.iterdir()):
            return simulate(config)  # the rest of an interrupted set
        key = replace(config, out=Path(), workers=1, backend="loky"), config.amount
        # In this process: a worker of its own starts for seconds, and would not know of presets that a test changed.
        made = made_once(shared_folder, key, lambda folder: simulate(replace(config, out=folder, workers=1)))
        shutil.copytree(made, config.out, dirs_exist_ok=True)
        return config.out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "simulate", simulate_once)
        patch.setattr(study, "simulate", simulate_once)
        yield

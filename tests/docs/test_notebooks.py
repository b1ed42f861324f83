"""The notebooks run from top to bottom at a small size, and are stored without outputs.

Their cells are plain Python and run in this process, without a Jupyter kernel.
"""

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
SMALL: dict[str, dict[str, Any]] = {
    "simulate_a_room": {"IMAGE_SIZE": 32},
    "distill_a_student": {"ROOMS": 5, "POSES": 2, "IMAGE_SIZE": 32, "CHANNELS": 2, "EPOCHS": 1, "LABELLED": 1.0},
}
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_of(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def run(path: Path) -> dict[str, Any]:
    """Execute the cells in order; small values replace those of a cell tagged as parameters, as papermill does."""
    names: dict[str, Any] = {"__name__": "notebook"}
    for number, cell in enumerate(code_of(path), 1):
        exec(compile("".join(cell["source"]), f"{path.name}, code cell {number}", "exec"), names)
        if "parameters" in cell["metadata"].get("tags", []):
            assert SMALL[path.stem].keys() <= names.keys()
            names |= SMALL[path.stem]
    return names


@each_notebook
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code_of(path))


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "cache"))
    try:
        names = run(path)
    finally:
        plt.close("all")
    if path.stem == "simulate_a_room":
        assert 270 < names["onset"] < 295
        assert names["spectrograms"].shape == (2, 128, 128)
    else:
        table = (names["report"] / "comparison.md").read_text()
        assert all(name in table for name in names["runs"])
        assert names["maps"]["notebook_distilled"].shape == (32, 32)

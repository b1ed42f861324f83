"""The notebooks run from top to bottom, small, and are kept without what they showed.

Their cells are plain Python, so they are executed here, without a kernel and all that it would need.
"""

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
SMALL: dict[str, dict[str, Any]] = {
    "hear_a_room": {"IMAGE_SIZE": 32},
    "teach_an_ear": {"ROOMS": 5, "POSES": 2, "IMAGE_SIZE": 32, "CHANNELS": 2, "EPOCHS": 1, "LABELLED": 1.0},
}
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_of(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def run(path: Path) -> dict[str, Any]:
    """Execute the cells in order; those tagged as parameters are followed by small ones, as papermill does it."""
    names: dict[str, Any] = {"__name__": "notebook"}
    for number, cell in enumerate(code_of(path), 1):
        exec(compile("".join(cell["source"]), f"{path.name}, code cell {number}", "exec"), names)
        if "parameters" in cell["metadata"].get("tags", []):
            assert SMALL[path.stem].keys() <= names.keys()
            names |= SMALL[path.stem]
    return names


@each_notebook
def test_nothing_that_was_shown_is_kept(path: Path) -> None:
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code_of(path))


@each_notebook
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "cache"))
    try:
        names = run(path)
    finally:
        plt.close("all")
    if path.stem == "hear_a_room":
        assert 270 < names["onset"] < 295
        assert names["spectrograms"].shape == (2, 128, 128)
    else:
        table = (names["report"] / "comparison.md").read_text()
        assert all(name in table for name in names["runs"])
        assert names["maps"]["notebook_taught"].shape == (32, 32)

"""The notebooks run from top to bottom at a small size, and are stored with the outputs of one run.

Their cells are plain Python and run in this process, without a Jupyter kernel.
"""

import json
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
SMALL: dict[str, dict[str, Any]] = {
    "simulate_a_room": {"IMAGE_SIZE": 32},
    "own_training_loop": {"ROOMS": 5, "POSES": 1, "IMAGE_SIZE": 32, "CHANNELS": 2, "EPOCHS": 2},
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
def test_a_notebook_is_stored_with_the_outputs_of_one_run(path: Path) -> None:
    cells = code_of(path)
    assert [cell["execution_count"] for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"stream", "display_data", "execute_result"}  # no error
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not re.search(r"/(?:tmp|home|root|work)/", path.read_text())
    assert path.stat().st_size < 500_000


@each_notebook
def test_a_notebook_opens_in_colab(path: Path) -> None:
    first, second, *_ = json.loads(path.read_text())["cells"]
    link = f"https://colab.research.google.com/github/OWNER/echodepth/blob/main/examples/{path.name}"
    assert f"[Run in Colab]({link})" in "".join(first["source"])
    assert '"pip", "install"' in "".join(second["source"])


def weights(network: torch.nn.Module) -> list[torch.Tensor]:
    return [*network.state_dict().values()]


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
    elif path.stem == "own_training_loop":
        assert len(names["history"]) == 2 * len(names["dataloader"]) > 0
        assert names["predicted"].shape == names["depth_gt"].shape
        assert all(
            torch.equal(one, other)
            for one, other in zip(*map(weights, (names["again"], names["student"])), strict=True)
        )
    else:
        table = Path("results/notebook/comparison.md").read_text()
        assert all(name in table for name in names["runs"])
        assert names["maps"]["notebook_distilled"].shape == (32, 32)

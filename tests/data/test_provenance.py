"""Simulated rooms say so wherever they lie and whatever they are read as: in cards, evaluations and comparisons."""

import json
import shutil
from pathlib import Path

import pytest

from echodepth.core.errors import DataError
from echodepth.core.integrity import unseal
from echodepth.data.config import DataConfig
from echodepth.data.dataset import list_split
from echodepth.data.opening import data_provenance, data_terms, dataset_camera
from echodepth.data.streaming.config import ShardConfig
from echodepth.data.streaming.index import ShardIndex
from echodepth.data.streaming.writer import shard
from echodepth.evaluation.compare import build_comparison
from echodepth.evaluation.config import CompareConfig, ScoringConfig
from echodepth.evaluation.report_files import write_report
from echodepth.evaluation.results import summary
from echodepth.evaluation.scoring import score_model
from echodepth.models.checkpoint import save_model
from echodepth.training.compose import train_config
from echodepth.training.train import new_model
from tests.roots import v2, write_v2_root
from tests.tiny import save_tiny

SIMULATION = {"what": "Simulated binaural echoes", "conventions": {"field_of_view_degrees": [70.0, 50.0]}}


@pytest.fixture
def simulated(v2_root: Path, tmp_path: Path) -> Path:
    """Rooms with the simulator's file, at the place of BatVision V2."""
    root = tmp_path / "data" / "batvisionv2"
    shutil.copytree(v2_root, root)
    (root / "simulation.json").write_text(json.dumps(SIMULATION))
    return root


def card(root: Path, folder: Path) -> str:
    save_model(new_model(train_config("binaural", data_dir=root, image_size=32, base_channels=4)), folder)
    return (folder / "README.md").read_text()


def test_a_card_does_not_call_simulated_rooms_batvision(simulated: Path, v2_root: Path, tmp_path: Path) -> None:
    text = card(simulated, tmp_path / "model")
    assert "- data: simulated rooms, read as batvisionv2\n" in text
    assert "Training data: rooms that echodepth simulated." in text
    assert "CC BY-SA" not in text
    assert "the accuracy in real rooms is not known" in text
    text = card(v2_root, tmp_path / "real")
    assert "- data: batvisionv2\n" in text
    assert "Training data: BatVision V2, CC BY-SA 4.0" in text
    assert "simulated" not in text


def test_a_part_that_is_simulated_is_named_beside_the_rest(v2_root: Path, tmp_path: Path) -> None:
    """One location copied from a simulated set, with its file, among recorded ones."""
    root = tmp_path / "mixed"
    shutil.copytree(v2_root, root)
    (root / "Attic" / "simulation.json").write_text("{}")
    assert data_provenance(v2(root)) == "partly simulated"
    licence, limits = data_terms(v2(root))
    assert licence.startswith("BatVision V2, CC BY-SA 4.0")
    assert licence.endswith("; in part rooms that echodepth simulated")
    assert "A part of the training data are simulated rooms" in str(limits)
    (root / "Cellar" / "simulation.json").write_text("{}")
    assert data_provenance(v2(root)) == "simulated"
    assert data_provenance(v2(v2_root)) is None
    assert data_provenance(DataConfig("simulated", v2_root)) == "simulated"


def test_the_camera_is_that_of_the_simulation(simulated: Path) -> None:
    assert str(dataset_camera(v2(simulated))) == "70 x 50 degrees"


def test_the_reader_says_it_once(simulated: Path, caplog: pytest.LogCaptureFixture) -> None:
    for split in ("train", "val"):
        list_split(v2(simulated), split, ("audio",))
    (message,) = (record.message for record in caplog.records)
    assert f"{simulated} is simulated, as simulation.json in it says" in message
    assert "--dataset simulated tells its rooms apart" in message


def test_evaluation_and_comparison_say_it(simulated: Path, tmp_path: Path) -> None:
    ears = save_tiny(tmp_path / "ears", simulated)
    scoring = ScoringConfig(data_dir=simulated, device="cpu")
    evaluation = score_model(ears, scoring)
    assert evaluation.provenance == "simulated"
    assert "batvisionv2 (simulated) test" in summary(evaluation)
    comparison = build_comparison(
        CompareConfig(runs=(str(tmp_path / "ears"),), pictures=0, extremes=0, scoring=scoring)
    )
    write_report(comparison, tmp_path / "report")
    for name in ("comparison.md", "comparison.html", "comparison.csv", "comparison.json"):
        assert "simulated" in (tmp_path / "report" / name).read_text()


def test_shards_of_simulated_rooms_are_simulated(simulated: Path, tmp_path: Path) -> None:
    config = ShardConfig(out=tmp_path / "shards", splits=("val",), workers=1, data=v2(simulated))
    packed = v2(shard(config))
    assert data_provenance(packed) == "simulated"
    assert data_terms(packed)[0] == "rooms that echodepth simulated"
    content, _ = unseal(json.loads((tmp_path / "shards" / "index.json").read_text()))
    assert content["provenance"] == "simulated"
    with pytest.raises(DataError, match="its provenance is 'genuine'"):
        ShardIndex.from_json(json.dumps(content | {"provenance": "genuine"}), "index")


def test_an_unfinished_location_is_none(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, ("Attic",), rows=1)
    shutil.copytree(root / "Attic", root / ".Kitchen.unfinished")
    assert [record.name for record in list_split(v2(root), "train", ("audio",))[0]] == ["Attic/0"]

"""The registry of datasets: defaults of each, configs of their own flags, recognition, and creation at first use."""

import subprocess
import sys
from pathlib import Path

import pytest

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.config import DataConfig, change_source, data_config, extract_data_config, flag_names
from echodepth.data.dataset import list_split
from echodepth.data.dataset_registry import DATASETS, recognise_dataset
from echodepth.data.datasets.rgbd import RGBDConfig
from echodepth.simulate.dataset import Simulated
from tests.roots import write_rgbd_root, write_v2_root


@pytest.mark.parametrize(
    ("dataset", "metres"), [("batvisionv1", 12.0), ("batvisionv2", 30.0), ("rgbd", 10.0), ("simulated", 30.0)]
)
def test_each_dataset_has_its_own_default_depth_and_cut(dataset: str, metres: float) -> None:
    for config in (DataConfig(dataset), data_config(dataset)):
        assert config.depth_limit == metres
        assert config.cut_seconds == 2 * metres / 340.0
    assert DataConfig(dataset, max_depth=5.0).depth_limit == 5.0


def test_an_unknown_dataset_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"batvision2: there is no such dataset; did you mean batvisionv2\?"):
        _ = DataConfig("batvision2").depth_limit


def test_readers_and_flags_need_no_torch() -> None:
    listed = (
        "import sys; from echodepth.data.config import data_config; "
        "from echodepth.data.dataset_registry import DATASETS; "
        "import echodepth.data.streaming.config; print(*DATASETS.names(), data_config('rgbd').depth_limit); "
        "assert 'torch' not in sys.modules"
    )
    shown = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True)
    assert {"batvisionv1", "batvisionv2", "rgbd", "simulated", "10.0"} <= {*shown.stdout.split()}


def test_another_source_resets_what_belongs_to_the_dataset() -> None:
    trained = DataConfig("batvisionv2", Path("rooms"), 64, 20.0, locations=("Attic",), leave_out="Cave")
    assert change_source(trained, None, None) == trained
    assert change_source(trained, "batvisionv2", Path("copy")).locations == ("Attic",)
    assert change_source(trained, "rgbd", None) == RGBDConfig("rgbd", None, 64, 20.0)
    assert type(change_source(RGBDConfig("rgbd", depth_scale=1.0), "batvisionv1", None)) is DataConfig


def test_data_flags_are_taken_out_of_a_commands_config() -> None:
    assert "depth_scale" in flag_names()
    assert extract_data_config(RGBDConfig("rgbd", depth_scale=7.0)) == RGBDConfig("rgbd", depth_scale=7.0)
    assert extract_data_config(DataConfig("rgbd", image_size=9)) == RGBDConfig("rgbd", image_size=9)


def test_the_layout_decides_the_reader(tmp_path: Path) -> None:
    v2 = write_v2_root(tmp_path / "v2", ("Attic",), rows=1)
    assert recognise_dataset(v2) == "batvisionv2"
    (v2 / "simulation.json").touch()
    assert recognise_dataset(v2) == "simulated"  # a plugin refines the layout that it reads
    assert recognise_dataset(write_rgbd_root(tmp_path / "rgbd")) == "rgbd"
    with pytest.raises(DataError, match=r"known dataset .*batvisionv2: ROOT/<location>/train\.csv.*--dataset"):
        recognise_dataset(tmp_path / "rgbd" / "depth")


def test_a_default_set_is_created_when_it_is_opened_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path))
    created: list[Path] = []

    def create(root: Path) -> None:
        created.append(root)
        write_v2_root(root, ("Attic",), rows=1)

    monkeypatch.setattr(Simulated, "create_default", create)
    config = DataConfig("simulated")
    assert config.root == tmp_path / "simulated"
    with pytest.raises(DataError, match=r"A simulated set not found in .*: make it with `echodepth simulate --out"):
        list_split(DataConfig("simulated", tmp_path / "absent"), "train", ("depth",))
    assert not created
    records, _ = list_split(config, "train", ("depth",))
    assert created == [tmp_path / "simulated"]
    assert [record.name for record in records] == ["Attic/0"]
    assert DATASETS["simulated"].depth_units(config) == 1000.0

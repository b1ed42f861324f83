"""RGB-D folders with an association list: pairs, split by time, 16-bit depth."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.config import DataConfig, data_config
from echodepth.data.dataset import open_dataset
from echodepth.data.datasets.rgbd import RGBDConfig
from echodepth.data.records import Modality, Split
from tests.roots import write_rgbd_root

SIGHT: tuple[Modality, ...] = ("image", "depth")


def rgbd(root: Path, **flags: object) -> DataConfig:
    return data_config("rgbd", **{"data_dir": root, "image_size": 32, **flags})


def numbers(root: Path, split: Split) -> list[int]:
    return [int(Path(record.name).stem) for record in open_dataset(rgbd(root), split, SIGHT).records]


def test_the_time_line_is_split_with_gaps(tmp_path: Path) -> None:
    root = write_rgbd_root(tmp_path, frames=100)
    assert numbers(root, "train") == list(range(70))
    assert numbers(root, "val") == list(range(72, 78))
    assert numbers(root, "test") == list(range(80, 100))


def test_time_decides_not_the_lists_order(tmp_path: Path) -> None:
    root = write_rgbd_root(tmp_path)
    table = root / "assoc.txt"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(["# a comment", "", *reversed(lines)]))
    assert numbers(root, "test") == [16, 17, 18, 19]


@pytest.mark.parametrize("depth_first", [False, True])
@pytest.mark.parametrize("folders", [("rgb", "depth"), ("a", "b")])
def test_picture_and_depth_are_told_apart_in_either_order(
    tmp_path: Path, depth_first: bool, folders: tuple[str, str]
) -> None:
    root = write_rgbd_root(tmp_path, depth_first=depth_first, folders=folders)
    sample = open_dataset(rgbd(root), "train", SIGHT)[0]
    assert sample["name"] == f"{folders[1]}/000.png"
    assert float(sample["depth"][0, -1, 0]) == pytest.approx(1.0, abs=0.03)  # 5000 units are one metre
    assert float(sample["depth"].max()) == pytest.approx(1.5, abs=0.03)
    assert 0.7 < float(sample["valid"].float().mean()) < 1
    assert float(sample["image"][0].max()) == pytest.approx(1 / 1.2, abs=0.02)


def test_the_depth_scale_reaches_the_depth(tmp_path: Path) -> None:
    root = write_rgbd_root(tmp_path)
    sample = open_dataset(rgbd(root, depth_scale=10_000.0), "train", ("depth",))[0]
    assert float(sample["depth"][0, -1, 0]) == pytest.approx(0.5, abs=0.02)
    assert {*sample} == {"name", "room", "depth", "valid"}
    with pytest.raises(ConfigError, match=r"depth_scale is 0\.0: give the depth image's units per metre"):
        open_dataset(rgbd(root, depth_scale=0.0), "train", ("depth",))


def test_the_depth_scale_is_a_flag_of_this_dataset_alone() -> None:
    assert data_config("rgbd") == RGBDConfig("rgbd", depth_scale=5000.0)
    with pytest.raises(ConfigError, match="--depth_scale: there is no such flag"):
        data_config("batvisionv2", depth_scale=1000.0)


def test_the_other_usual_name_of_the_list_is_read_too(tmp_path: Path) -> None:
    root = write_rgbd_root(tmp_path)
    (root / "assoc.txt").rename(root / "associations.txt")
    assert len(numbers(root, "train")) == 14


def test_the_real_recording(real_data: Path) -> None:
    config = rgbd(real_data / "tum_fr1_rpy", image_size=64)
    sizes: dict[Split, int] = {"train": 163, "val": 13, "test": 46}
    for split, size in sizes.items():
        dataset = open_dataset(config, split, SIGHT)
        assert len(dataset) == size
        sample = dataset[0]
        assert float(sample["depth"][sample["valid"]].min()) > 0.3
        assert 0.5 < float(sample["depth"][sample["valid"]].median()) < 4
        assert 0 < float(sample["image"].mean()) < 1


def test_there_is_no_audio(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--dataset rgbd has no audio, only image, depth"):
        open_dataset(rgbd(write_rgbd_root(tmp_path)), "train")


@pytest.mark.parametrize("flags", [{"locations": ("Attic",)}, {"leave_out": "Attic"}])
def test_there_are_no_locations(tmp_path: Path, flags: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="--dataset rgbd has no locations: omit --locations and --leave_out"):
        open_dataset(rgbd(write_rgbd_root(tmp_path), **flags), "train", SIGHT)


def test_too_short_a_recording_has_no_validation_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lists 5 pairs, too few for a val split: at least 17 are needed"):
        open_dataset(rgbd(write_rgbd_root(tmp_path, frames=5)), "val", SIGHT)


@pytest.mark.parametrize("frames", range(17, 60))
def test_seventeen_pairs_are_enough(frames: int) -> None:
    assert any(0.72 <= position / frames < 0.78 for position in range(frames))


def test_missing_folder_and_list_say_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"RGB-D folder .*absent not found: --data_dir selects it"):
        open_dataset(rgbd(tmp_path / "absent"), "train", SIGHT)
    with pytest.raises(DataError, match=r"has no assoc\.txt or associations\.txt: create one"):
        open_dataset(rgbd(tmp_path), "train", SIGHT)
    (tmp_path / "assoc.txt").write_text("# nothing\n")
    with pytest.raises(DataError, match=r"assoc\.txt lists no pairs"):
        open_dataset(rgbd(tmp_path), "train", SIGHT)


@pytest.mark.parametrize("line", ["1.0 rgb/1.png", "one rgb/1.png 1.0 depth/1.png"])
def test_a_malformed_line_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "assoc.txt").write_text(f"# header\n{line}\n")
    with pytest.raises(DataError, match=r"assoc\.txt, line 2: .* does not read `time file time file`"):
        open_dataset(rgbd(tmp_path), "train", SIGHT)


def test_bad_frames_name_their_line_and_can_be_skipped(tmp_path: Path) -> None:
    root = write_rgbd_root(tmp_path)
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(root / "depth/001.png")
    with pytest.raises(
        DataError, match=r"assoc\.txt, line 3: .*001\.png holds L pixels: depth is a one-channel 16-bit"
    ):
        open_dataset(rgbd(root), "train", SIGHT)[1]
    path = root / "depth/002.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"assoc\.txt, line 4: .*002\.png cannot be"):
        open_dataset(rgbd(root), "train", SIGHT)[2]
    dataset = open_dataset(rgbd(root, skip_bad=True), "train", SIGHT)
    assert (len(dataset), len(dataset.bad_rows)) == (12, 2)

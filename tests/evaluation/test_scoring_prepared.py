"""Evaluation from prepared data: the figures of the files to the last bit, or the files themselves and a reason."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echodepth.core.array_store import read_index, write_index
from echodepth.core.run_paths import cache_folder
from echodepth.data.cache.prepared import AudioCacheFormat, write_prepared
from echodepth.data.config import DataConfig
from echodepth.evaluation.compare import build_comparison
from echodepth.evaluation.config import Control, ScoringConfig
from echodepth.evaluation.results import Evaluation
from echodepth.evaluation.scoring import score_model
from echodepth.models.checkpoint import DepthModel
from tests.configs import compare_config
from tests.tiny import SECONDS, SIDE, constant, save_tiny, save_tiny_rgb, write_v2

FILES = "test: read from the files, not the prepared arrays: "


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "cache"))
    caplog.set_level("INFO", logger="echodepth")
    return write_v2(tmp_path / "v2", {"train": 1, "val": 1, "test": 2})


def prepare(root: Path, *splits: str, **flags: Any) -> None:
    for split in splits:
        config = DataConfig(data_dir=root, image_size=SIDE, audio_seconds=SECONDS, **flags)
        write_prepared(config, split, AudioCacheFormat())  # type: ignore[arg-type]


def change_depth(split: str, millimetres: int) -> None:
    """Give all prepared pixels of a split one depth, as if it had been prepared so."""
    (path,) = (cache_folder() / "prepared").glob(f"v2_{split}_*/depth.npy")
    opened = np.lib.format.open_memmap(path, "r+")
    opened[:] = millimetres
    opened.flush()
    index = read_index(path.parent)
    write_index(path.parent, index, index["arrays"])


def assert_same_figures(first: Evaluation, second: Evaluation) -> None:
    np.testing.assert_equal(asdict(first), asdict(second))


@pytest.mark.parametrize(("kind", "control"), [("ears", "none"), ("ears", "shuffled_audio"), ("eyes", "mean_depth")])
def test_figures_of_prepared_data_are_those_of_the_files(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, control: Control
) -> None:
    model = (save_tiny if kind == "ears" else save_tiny_rgb)(tmp_path / "checkpoints" / kind, root)
    files = score_model(model, ScoringConfig(), control)
    assert not caplog.messages
    prepare(root, "train", "test")
    caplog.clear()
    prepared = score_model(model, ScoringConfig(batch_size=3), control)
    expected = {"none": ["test: prepared audio"], "shuffled_audio": ["test: prepared audio"]}
    assert caplog.messages == expected.get(control, ["train: prepared depth", "test: prepared depth"])
    assert_same_figures(files, prepared)


def test_the_arrays_are_what_is_scored_unless_the_flag_or_the_protocol_asks_for_files(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = constant(save_tiny(tmp_path / "checkpoints" / "ears", root), 2.0)
    prepare(root, "test")
    change_depth("test", 2000)
    assert score_model(model, ScoringConfig()).metrics["mae"] == 0
    caplog.clear()
    assert score_model(model, ScoringConfig(use_prepared=False)).metrics["mae"] > 0.1
    assert not caplog.messages
    assert score_model(model, ScoringConfig(protocol="official")).metrics["mae"] > 0.1
    assert caplog.messages == [f"{FILES}the protocol resizes (bilinear) depth maps of the original size"]


def score_from_files(model: DepthModel, caplog: pytest.LogCaptureFixture, **flags: Any) -> str:
    """The message of an evaluation whose prepared arrays, all 0.6 m by now, must not be used."""
    change_depth("test", 600)
    caplog.clear()
    prepared = score_model(model, ScoringConfig(**flags))
    (message,) = [message for message in caplog.messages if message.startswith(FILES)]
    assert_same_figures(prepared, score_model(model, ScoringConfig(use_prepared=False, **flags)))
    return message.removeprefix(FILES)


def test_rounded_depth_is_not_scored(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """V2's format allows depth maps of floats: one frame with fractions of millimetres is enough."""
    model: DepthModel = save_tiny(tmp_path / "checkpoints" / "ears", root)
    path = sorted((root / "Cellar" / "depth").iterdir())[-1]
    np.save(path, np.load(path) + np.float32(0.25))
    prepare(root, "test")
    assert score_from_files(model, caplog) == "prepared depth is rounded to 1/1000 m"


def test_depth_that_is_clipped_between_two_millimetres_is_not_scored(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = save_tiny(tmp_path / "checkpoints" / "ears", root, max_depth=1.2345)
    prepare(root, "test", max_depth=1.2345)
    model.network.max_depth = 1.2345
    assert score_from_files(model, caplog) == "prepared depth is rounded to 1/1000 m"


def test_rows_that_are_bad_for_another_model_count(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A row whose image is broken has audio and depth, which preparing left out and an audio model scores."""
    model = save_tiny(tmp_path / "checkpoints" / "ears", root)
    sorted((root / "Attic" / "camera").iterdir())[-1].write_bytes(b"broken")
    prepare(root, "test", skip_bad=True)
    message = score_from_files(model, caplog, skip_bad=True)
    assert message == "1 bad rows of any kind of file were left out when it was prepared"


def test_changed_files_are_read(root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = save_tiny(tmp_path / "checkpoints" / "ears", root)
    prepare(root, "test")
    os.utime(next((root / "Attic" / "audio").iterdir()), ns=(0, 0))
    os.utime(sorted((root / "Attic" / "depth").iterdir())[-1], ns=(0, 0))
    message = "files have changed since, or the audio has another form; `echodepth prepare` updates them"
    assert score_from_files(model, caplog) == message


def test_a_comparison_of_prepared_data_is_that_of_the_files(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_tiny_rgb(tmp_path / "checkpoints" / "eyes", root)
    save_tiny(tmp_path / "checkpoints" / "ears", root)
    prepare(root, "train", "test")
    caplog.clear()
    flags = {"pictures": 1, "extremes": 0}
    files = build_comparison(compare_config("eyes", "ears", use_prepared=False, **flags))
    assert not any("prepared" in message for message in caplog.messages)
    prepared = build_comparison(compare_config("eyes", "ears", **flags))
    assert "test: prepared images" in caplog.messages
    np.testing.assert_equal([asdict(row) for row in prepared.rows], [asdict(row) for row in files.rows])
    assert prepared.selected == files.selected

"""The cache of a teacher's outputs is made once, resumed where it stopped, and refused where it cannot be."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from echodepth import cli
from echodepth.core.errors import CheckpointError, ConfigError, DataError
from echodepth.data.config import DataConfig
from echodepth.data.sample import Sample
from echodepth.distillation.teachers.cached import CachedTeacher, fill_cache
from echodepth.distillation.teachers.frozen import FrozenTeacher
from echodepth.distillation.teachers.loading import load_teacher
from echodepth.models.layers import Prediction
from echodepth.training.teacher_setup import cache_teacher
from tests.distillation.teacher_caches import LEVELS, cache_config, count_looks, frames_of
from tests.tiny import save_tiny_hf


def test_an_interrupted_cache_is_not_there_and_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cache_teacher(cache_config(root, levels=LEVELS))
    expected = {name: np.load(whole / f"{name}.npy") for name in ("depth", *LEVELS)}
    shutil.rmtree(whole)
    predict, looks = FrozenTeacher.predict, []

    def interrupted(self: FrozenTeacher, batch: Sample) -> Prediction:
        looks.append(batch["name"])
        if len(looks) == 6:  # the third batch's mirror image
            raise KeyboardInterrupt
        return predict(self, batch)

    monkeypatch.setattr(FrozenTeacher, "predict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache_teacher(cache_config(root, levels=LEVELS, batch_size=2))
    assert not whole.exists()
    assert cache_teacher(cache_config(root, levels=LEVELS, batch_size=2)) == whole
    assert looks[6:] == looks[4:6]  # the frames that were not finished, and no other
    for name, array in expected.items():
        assert np.array_equal(np.load(whole / f"{name}.npy"), array)
    assert [path.name for path in whole.parent.iterdir()] == [whole.name]


def test_the_unfinished_of_other_frames_is_begun_anew(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predict, looks = FrozenTeacher.predict, []

    def interrupted(self: FrozenTeacher, batch: Sample) -> Prediction:
        looks.append(batch["name"])
        if len(looks) == 3:
            raise KeyboardInterrupt
        return predict(self, batch)

    monkeypatch.setattr(FrozenTeacher, "predict", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache_teacher(cache_config(root, batch_size=2))
    cache_teacher(cache_config(root, batch_size=2, locations=("Attic",)))
    assert [len(names) for names in looks[3:]] == [2, 2, 1, 1]


def test_what_is_there_is_not_made_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = cache_teacher(cache_config(root, levels=LEVELS))
    looks = count_looks(monkeypatch)
    assert cache_teacher(cache_config(root, levels=("x5",))) == folder
    assert not looks
    assert cache_teacher(cache_config(root, levels=("x5", "d1"))) == folder
    assert looks
    assert json.loads((folder / "index.json").read_text())["levels"] == ["x5", "d1"]


def test_the_command_says_where_to(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = "cache-teacher --teacher rgb --image_size 32 --num_workers 0 --device cpu --levels x5 d4"
    cli.main([*words.split(), "--data_dir", str(root)])
    (folder,) = Path("cache/teachers").resolve().iterdir()
    assert f"the teacher's outputs for all 6 frames are in {folder}" in caplog.text
    assert np.load(folder / "depth.npy").shape == (6, 2, 1, 32, 32)
    assert np.load(folder / "x5.npy").shape == (6, 2, 32, 2, 2)


def test_features_that_a_teacher_does_not_show_are_refused(root: Path) -> None:
    save_tiny_hf(Path("tiny"))
    with pytest.raises(ConfigError, match="--levels x5: this teacher does not return them"):
        cache_teacher(cache_config(root, teacher="hf:tiny", levels=("x5",)))


def test_a_full_disk_is_known_beforehand(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(ConfigError, match=r"needs 2\.46e-05 GB and has 1e-06: store fewer --levels, or set ECHODEPTH"):
        cache_teacher(cache_config(root))
    assert not list(Path("cache/teachers").glob("*/depth.npy"))


def test_what_float16_cannot_hold_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        FrozenTeacher, "predict", lambda self, batch: Prediction(torch.full((4, 1, 8, 8), 1e5), None, {})
    )
    with pytest.raises(DataError, match=r"the teacher's depth of Attic/1, .* has values that float16 does not hold"):
        cache_teacher(cache_config(root))


def test_two_frames_of_one_name_are_refused(root: Path) -> None:
    frames = frames_of(root)
    frames.records.append(frames.records[0])
    loading = {"batch_size": 2, "num_workers": 0}
    with pytest.raises(DataError, match="another frame is called Attic/1 too"):
        fill_cache(
            load_teacher("rgb"), DataConfig(data_dir=root, image_size=32), frames, (), loading, torch.device("cpu")
        )


def test_a_flag_out_of_range_is_named(root: Path) -> None:
    with pytest.raises(ConfigError, match="--batch_size must be at least 1, not 0"):
        cache_teacher(cache_config(root, batch_size=0))


def test_a_missing_cache_is_an_error_for_those_who_ask_for_it(root: Path) -> None:
    with pytest.raises(CheckpointError, match="is damaged"):
        CachedTeacher(Path("nowhere"), frames_of(root).records, ())

"""What a teacher said, kept on disk: the same as asking it, for these pictures and this teacher alone."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from echodepth.data.augmentation import flip_left_right
from echodepth.data.config import DataConfig
from echodepth.data.dataset import DepthDataset
from echodepth.data.sample import Sample
from echodepth.distillation.teachers.cached import CachedTeacher, teacher_cache_folder
from echodepth.distillation.teachers.loading import load_teacher
from echodepth.models.checkpoint import save_model
from echodepth.models.layers import Prediction
from echodepth.training.teacher_setup import cache_teacher
from tests.distillation.teacher_caches import LEVELS, cache_config, count_looks, frames_of
from tests.tiny import save_tiny_hf
from tests.training.runs import binaural, curve, distil, last_weights, train, untrained_teacher

HALF = 2.0**-11
"""What float16 rounds by at most, as a share."""


def a_batch(frames: DepthDataset, mirrored: list[bool]) -> Sample:
    batch: Sample = default_collate([frames[index] for index in (4, 0, 3)])
    return flip_left_right(batch, torch.tensor(mirrored))


def distance(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    """Between what was learnt; running means are none of it."""
    names = [name for name in first if "running" not in name and "num_batches" not in name]
    return float(torch.stack([(first[name] - second[name]).square().sum() for name in names]).sum().sqrt())


def assert_alike(said: Prediction, live: Prediction, levels: tuple[str, ...]) -> None:
    pairs = [(said.depth, live.depth), *((said.features[level], live.features[level]) for level in levels)]
    for one, other in pairs:
        assert one.dtype == other.dtype
        # Below 2^-14 float16's steps no longer shrink: half of one is 2^-25.
        assert torch.all((one - other).abs() <= HALF * other.abs() + 2.0**-25 + 1e-6)


@pytest.mark.parametrize("mirrored", [[False, False, False], [True, True, True], [True, False, True]], ids=str)
def test_what_was_said_is_what_would_be_said(root: Path, mirrored: list[bool]) -> None:
    folder = cache_teacher(cache_config(root, levels=LEVELS))
    live, frames = load_teacher("rgb"), frames_of(root)
    batch = a_batch(frames, mirrored)
    cached = CachedTeacher(folder, frames.records, LEVELS)
    assert_alike(cached.predict(batch), live.predict(batch), LEVELS)
    plain = a_batch(frames, [False, False, False])
    del plain["mirrored"]
    assert_alike(cached.predict(plain), live.predict(plain), LEVELS)
    shape = {level: live.feature_channels()[level] for level in LEVELS}, {lv: live.feature_sizes()[lv] for lv in LEVELS}
    assert (cached.feature_channels(), cached.feature_sizes()) == shape


def test_colours_are_those_of_the_clean_picture(root: Path) -> None:
    cached = CachedTeacher(cache_teacher(cache_config(root)), frames_of(root).records, ())
    clean = a_batch(frames_of(root), [False, True, False])
    dark = clean.copy()
    dark["image"] = 0.1 * clean["image"]
    assert torch.equal(cached.predict(dark).depth, cached.predict(clean).depth)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [{}, {"shuffle_teacher": True}, {"lambda_align": 0.5}], ids=str)
def test_a_student_learns_the_same_and_the_teacher_is_not_asked(
    root: Path, monkeypatch: pytest.MonkeyPatch, flags: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    # Not by L1, nor by labels filled for it: of two untrained networks, which say nearly the same, rounding turns some
    # of its gradients round; nor by features above all, whose directions are still those of noise.
    common: dict[str, Any] = {"color_jitter": 0.0, "nb_epochs": 2, "optimizer": "SGD", "kd_loss": "mse"}
    common |= {"pseudo_labels": False, "lambda_kd": 0.5, "lambda_feat": 0.1, **flags}
    train(distil(root, experiment_name="live", **common))
    folder = cache_teacher(cache_config(root, levels=("x3", "x4", "x5", "d4", "d3", "d2", "d1")))
    looks = count_looks(monkeypatch)
    caplog.set_level("INFO", "echodepth")
    train(distil(root, experiment_name="cached", **common))
    assert not looks
    assert f"teacher outputs for all 6 frames are read from the cache {folder}" in caplog.text
    train(distil(root, experiment_name="start", **common | {"nb_epochs": 1, "learning_rate": 0.0}))
    start, live, cached = last_weights("start", 1), last_weights("live", 2), last_weights("cached", 2)
    assert distance(live, cached) < 0.01 * distance(live, start)
    for one, other in zip(curve("live"), curve("cached"), strict=True):
        assert float(one["train/loss"]) == pytest.approx(float(other["train/loss"]), rel=1e-3)
    facts = [json.loads(Path(f"logs/{run}/config.json").read_text())["facts"]["teacher"] for run in ("live", "cached")]
    assert [fact["cache"] for fact in facts] == [None, str(folder)]


@pytest.mark.slow
def test_the_cache_can_be_left_unused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(distil(root, experiment_name="before"))
    cache_teacher(cache_config(root, levels=("x5", "d4", "d3", "d2", "d1")))
    looks = count_looks(monkeypatch)
    train(distil(root, experiment_name="after", teacher_cache=False))
    assert len(looks) == 3  # of two frames each
    before, after = last_weights("before", 1), last_weights("after", 1)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
def test_a_relative_teacher_is_kept_in_its_own_unit(root: Path) -> None:
    """The scale to metres belongs to a run and its labels; what is kept serves all of them."""
    save_tiny_hf(Path("tiny"), "relative")
    folder = cache_teacher(cache_config(root, teacher="hf:tiny"))
    live = load_teacher("hf:tiny")
    batch = a_batch(frames_of(root), [True, False, True])
    assert_alike(CachedTeacher(folder, frames_of(root).records, ()).predict(batch), live.predict(batch), ())
    for run, cached in (("live", False), ("cached", True)):
        flags = {
            "teacher_align": "scale",
            "teacher_depth": "inverse",
            "teacher_cache": cached,
            "color_jitter": 0.0,
            "lambda_feat": 0.0,
        }
        train(distil(root, experiment_name=run, teacher="hf:tiny", **flags))
    kd = [float(curve(run)[0]["train/kd"]) for run in ("live", "cached")]
    assert kd[0] == pytest.approx(kd[1], rel=1e-3)


# ---- what does not fit ----


def looks_in_a_run(root: Path, monkeypatch: pytest.MonkeyPatch, **flags: Any) -> int:
    looks = count_looks(monkeypatch)
    train(distil(root, **{"lambda_feat": 0.0, **flags}))
    return len(looks)


@pytest.mark.slow
def test_another_picture_under_the_same_name_is_noticed(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = cache_teacher(cache_config(root))
    picture = frames_of(root).records[1].image
    assert picture is not None
    status = picture.stat()
    os.utime(picture, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert looks_in_a_run(root, monkeypatch) == 3
    assert f"its cache {folder} does not fit: the image of Attic/2 has changed since" in caplog.text
    assert cache_teacher(cache_config(root)) == folder  # made anew
    assert looks_in_a_run(root, monkeypatch, experiment_name="again") == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [({"locations": ("Attic",)}, "it does not contain Cellar/9"), ({"levels": ("x5",)}, "made without --levels d4;")],
    ids=str,
)
def test_frames_and_levels_that_are_not_kept_are_noticed(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, flags: Any, message: str
) -> None:
    cache_teacher(cache_config(root, **{"levels": LEVELS, **flags}))
    assert looks_in_a_run(root, monkeypatch, lambda_feat=0.1, feature_levels=LEVELS) == 3
    assert message in caplog.text


def test_fewer_frames_than_are_kept_fit(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache_teacher(cache_config(root, levels=LEVELS))
    assert looks_in_a_run(root, monkeypatch, leave_out="Attic") == 0


def test_every_teacher_and_every_reading_of_a_picture_has_its_own_place(root: Path) -> None:
    teacher = load_teacher("rgb")
    save_model(untrained_teacher(root, 1), Path("checkpoints/other/best"))
    data = DataConfig(data_dir=root, image_size=32)
    places = [
        teacher_cache_folder(teacher, data),
        teacher_cache_folder(load_teacher("other"), data),
        teacher_cache_folder(teacher, DataConfig(data_dir=root, image_size=48)),
        teacher_cache_folder(teacher, DataConfig(data_dir=root / "Attic", image_size=32)),
        teacher_cache_folder(teacher, DataConfig("simulated", root, image_size=32)),
    ]
    assert len({*places}) == len(places)
    assert (
        teacher_cache_folder(
            load_teacher("checkpoints/rgb/best"), DataConfig(data_dir=root, image_size=32, max_depth=9.0)
        )
        == places[0]
    )


@pytest.mark.parametrize("damage", ["index", "array", "short"])
def test_a_damaged_cache_is_not_used(root: Path, monkeypatch: pytest.MonkeyPatch, damage: str, caplog: Any) -> None:
    folder = cache_teacher(cache_config(root))
    match damage:
        case "index":
            (folder / "index.json").write_text("{")
        case "array":
            (folder / "depth.npy").unlink()
        case _:
            np.save(folder / "depth.npy", np.load(folder / "depth.npy")[:2])
    assert looks_in_a_run(root, monkeypatch) == 3
    assert f"{folder} is damaged" in caplog.text


def test_ears_alone_need_no_teacher(root: Path) -> None:
    train(binaural(root))
    assert json.loads(Path("logs/ears/config.json").read_text())["facts"]["teacher"] is None

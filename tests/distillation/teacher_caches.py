"""A teacher's cache on a tiny set, and how often a teacher is asked."""

from pathlib import Path
from typing import Any

import pytest

from echodepth.core.flags import build
from echodepth.data.config import DataConfig
from echodepth.data.dataset import DepthDataset, open_dataset
from echodepth.data.flag_groups import with_data
from echodepth.data.sample import Sample
from echodepth.distillation.teachers.frozen import FrozenTeacher
from echodepth.models.layers import Prediction
from echodepth.training.config import CacheTeacherConfig

LEVELS = ("x5", "d4")


def cache_config(root: Path, **flags: Any) -> CacheTeacherConfig:
    settings = {"data_dir": root, "image_size": 32, "num_workers": 0, "batch_size": 4, "device": "cpu"}
    return build(with_data(CacheTeacherConfig, None), {**settings, "teacher": "rgb", **flags})


def frames_of(root: Path, **flags: Any) -> DepthDataset:
    return open_dataset(DataConfig(data_dir=root, image_size=32, **flags), "train", ("image",))


def count_looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    looks: list[int] = []
    predict = FrozenTeacher.predict

    def counted(self: FrozenTeacher, batch: Sample) -> Prediction:
        looks.append(1)
        return predict(self, batch)

    monkeypatch.setattr(FrozenTeacher, "predict", counted)
    return looks

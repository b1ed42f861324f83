"""The commands that ``benchmarks.data_scaling`` measures, with what each needs."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from echodepth.core.run_paths import RunPaths
from echodepth.data.config import DataConfig

SIDE, SECONDS, MAX_DEPTH, SHARD_MB = 16, 0.01, 3.0, 1
Work = Callable[[], object]


def prepare_split(data: DataConfig) -> Work:
    from echodepth.core.flags import build
    from echodepth.training.compose import Choices, prepare_class
    from echodepth.training.prepare import prepare

    shutil.rmtree(os.environ["ECHODEPTH_CACHE"], ignore_errors=True)
    settings = {"data_dir": data.root, "image_size": SIDE, "audio_seconds": SECONDS, "splits": ("train",)}
    config: Any = build(prepare_class(Choices()), settings)
    return lambda: prepare(config)


def pack_shards(data: DataConfig) -> Work:
    from echodepth.data.streaming.config import ShardConfig
    from echodepth.data.streaming.writer import shard

    shutil.rmtree("shards", ignore_errors=True)
    config = ShardConfig(data=data, out=Path("shards"), splits=("train",), shard_mb=SHARD_MB)
    return lambda: shard(config)


def examine_rows(data: DataConfig) -> Work:
    from echodepth.apps.doctor.config import DoctorConfig
    from echodepth.apps.doctor.examine import doctor

    return lambda: doctor(DoctorConfig(data.root, max_depth=MAX_DEPTH, out=Path("doctor")))


def cache_outputs(data: DataConfig) -> Work:
    from echodepth.training.config import CacheTeacherConfig
    from echodepth.training.teacher_setup import cache_teacher

    shutil.rmtree(Path(os.environ["ECHODEPTH_CACHE"]) / "teachers", ignore_errors=True)
    config = CacheTeacherConfig(teacher=save_model(data, "rgb"), num_workers=0, device="cpu", data=data)
    return lambda: cache_teacher(config)


def evaluate_model(data: DataConfig) -> Work:
    from echodepth.evaluation.config import EvaluateConfig, ScoringConfig
    from echodepth.evaluation.evaluate import evaluate

    config = EvaluateConfig(
        checkpoint=save_model(data, "binaural_attention"), scoring=ScoringConfig(split="train", device="cpu")
    )
    return lambda: evaluate(config)


def compare_models(data: DataConfig) -> Work:
    from echodepth.evaluation.compare import compare
    from echodepth.evaluation.config import CompareConfig, ScoringConfig

    runs = (save_model(data, "binaural_attention"),)
    return lambda: compare(CompareConfig(runs=runs, scoring=ScoringConfig(split="train", device="cpu")))


def predict_folder(data: DataConfig) -> Work:
    from echodepth.inference.config import PredictConfig
    from echodepth.inference.predict import predict

    config = PredictConfig(
        (Path("recordings"),), save_model(data, "binaural_attention"), save=("npy",), image=Path("images"),
        overwrite=True, out=Path("predictions"), device="cpu",
    )  # fmt: skip
    return lambda: predict(config)


def open_files(data: DataConfig) -> Work:
    from echodepth.data.opening import open_split

    return lambda: open_split(data, "train")


def open_arrays(data: DataConfig) -> Work:
    from echodepth.data.cache.prepared import AudioCacheFormat, open_prepared, write_prepared

    write_prepared(data, "train", AudioCacheFormat(), workers=2)
    return lambda: open_prepared(data, "train", ("image", "audio", "depth"), AudioCacheFormat())


def open_tars(data: DataConfig) -> Work:
    from echodepth.data.opening import open_split

    if not Path("shards/index.json").exists():
        pack_shards(data)()
    config = DataConfig("batvisionv2", Path("shards"), SIDE, audio_seconds=SECONDS)
    return lambda: open_split(config, "train")


def save_model(data: DataConfig, network: str) -> str:
    """An untrained model of two base channels, in ``checkpoints``; its name."""
    import torch

    from echodepth.models import checkpoint
    from echodepth.models.run_record import RunRecord

    arguments: dict[str, Any] = {"base_channels": 2, "output_size": SIDE, "max_depth": 30.0}
    settings = {
        "dataset": data.dataset, "data_dir": str(data.root), "image_size": SIDE, "audio_seconds": SECONDS
    }  # fmt: skip
    run = RunRecord(kind="rgb" if network == "rgb" else "binaural", experiment_name=network, seed=0, data=settings)
    torch.manual_seed(0)
    spec = checkpoint.ModelSpec(network, arguments, {"image_size": SIDE})
    checkpoint.save_model(checkpoint.DepthModel(spec, run).eval(), Path("checkpoints") / network / "best")
    log = RunPaths(network).config  # by which a run is known to have been trained from here
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(json.dumps({"flags": settings}))
    return network


COMMANDS: dict[str, Callable[[DataConfig], Work]] = {
    "prepare": prepare_split,
    "shard": pack_shards,
    "doctor": examine_rows,
    "cache-teacher": cache_outputs,
    "evaluate": evaluate_model,
    "compare": compare_models,
    "predict a folder": predict_folder,
    "open files": open_files,
    "open prepared": open_arrays,
    "open shards": open_tars,
}
"""Each makes what it needs and returns what is to be measured."""

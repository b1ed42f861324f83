"""Configs from flags by name, as the command line builds them."""

from typing import Any

from echodepth.core.flags import build
from echodepth.data.flag_groups import with_data
from echodepth.data.streaming.config import ShardConfig
from echodepth.evaluation.config import CompareConfig, EvaluateConfig


def evaluate_config(checkpoint: str, **flags: Any) -> EvaluateConfig:
    return build(EvaluateConfig, {"checkpoint": checkpoint, **flags})


def compare_config(*runs: str, **flags: Any) -> CompareConfig:
    return build(CompareConfig, {"runs": runs, **flags})


def shard_config(**flags: Any) -> ShardConfig:
    config: ShardConfig = build(with_data(ShardConfig, flags.get("dataset")), flags)
    return config

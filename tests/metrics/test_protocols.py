"""The named rules, and the trap that the official one keeps."""

import dataclasses
from typing import get_args

import pytest
import torch

from echodepth.core.errors import ConfigError
from echodepth.metrics.config import ProtocolName
from echodepth.metrics.protocols import PROTOCOLS, get_protocol


def test_every_name_a_flag_allows_is_a_protocol() -> None:
    assert set(PROTOCOLS) == set(get_args(ProtocolName))
    assert all(get_protocol(name).name == name for name in PROTOCOLS)


def test_settings() -> None:
    assert {p.name: (p.depth_resize, p.min_depth, p.leave_one_out) for p in PROTOCOLS.values()} == {
        "official": ("bilinear", 0.0, False),
        "htf": ("bilinear_antialias", 0.5, False),
        "valid": ("nearest", 0.5, False),
        "loo": ("nearest", 0.5, True),
    }


def test_scored_pixels() -> None:
    depth = torch.tensor([0.0, 0.3, 0.5, 2.0, 2.0])[None, None, :]
    valid = torch.tensor([True, True, True, True, False])[None, None, :]
    assert get_protocol("official").scored(depth, valid).flatten().tolist() == [
        False,
        True,
        True,
        True,
        False,
    ]
    for name in ("htf", "valid", "loo"):
        assert get_protocol(name).scored(depth, valid).flatten().tolist() == [False, False, True, True, False]


def test_protocols_cannot_be_bent() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_protocol("valid").min_depth = 0.0  # type: ignore[misc]


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="--protocol best: no such protocol; choose one of official, htf, valid, loo"):
        get_protocol("best")

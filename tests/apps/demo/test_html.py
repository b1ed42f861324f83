"""The HTML of the demo page: maps, their metres, the summary, and the point cloud."""

import base64
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from echodepth.apps.demo.backend import (
    DemoInput,
    DemoResult,
    display_shape,
    initial_fov,
    point_cloud,
)
from echodepth.apps.demo.view import depth_limit, maps_html, summary
from echodepth.inference.estimate import Estimate
from echodepth.inference.predictor import Predictor


def _result(depth: np.ndarray, name: str = "a", **rest: Any) -> DemoResult:
    return DemoResult(name, Estimate(depth.astype(np.float32)), 0.0123, **rest)


def _metres(page: str) -> list[tuple[int, ...]]:
    """The values of every map that the pointer reads, in millimetres."""
    raw = [base64.b64decode(each) for each in re.findall(r'data-metres="([^"]+)"', page)]
    return [struct.unpack(f"<{len(each) // 2}H", each) for each in raw]


def test_every_map_carries_its_metres() -> None:
    ground_truth = np.array([[1, np.nan]], np.float32)
    page = maps_html([_result(np.array([[1.5, 2.0]]), ground_truth=ground_truth)], None, (10, 20))
    assert _metres(page) == [(1500, 2000), (500, 0), (1000, 0)]
    assert re.findall(r"<b>(.+?)</b>", page) == ["depth", "error", "ground truth"]
    assert "aspect-ratio: 20 / 10" in page
    assert "<h3>" not in page


def test_two_models_have_one_row_each_on_one_scale() -> None:
    near, far = _result(np.full((2, 2), 1.0), "near"), _result(np.full((2, 2), 4.0), "<far>")
    page = maps_html([near, far], Image.new("RGB", (8, 8)), (8, 8))
    assert re.findall(r"<h3>(.+?)</h3>", page) == ["near", "&lt;far&gt;"]
    assert re.findall(r"<b>(.+?)</b>", page) == ["depth", "image", "depth"]
    assert depth_limit([near, far]) == 4
    assert "4 m</span>" in page


def test_the_summary_states_depth_error_and_time() -> None:
    metrics = {"mae": 0.25, "rmse": 0.5, "delta1": 0.875}
    text = summary([_result(np.array([[1.0, 2.0, 4.0]]), "ears", metrics=metrics)])
    assert text == "**ears**: 1.00 to 4.00 m, median 2.00 m · MAE 0.25 m, RMSE 0.50 m, δ₁ 88 % · 12 ms"


def test_the_point_cloud_of_a_wall_is_a_plane(folder: Path, tmp_path: Path) -> None:
    """A wall at 2 m, seen through an image twice as wide as high.

    At 90 degrees it extends to either side by its distance, less half a pixel. Its height follows from the shape of the
    image for a model of images, whose camera is not that of the training data, and from the model's own camera,
    1.717 times as wide as high, for a model of recordings.
    """
    for name, half_height in (("eyes", 1.0), ("ears", 2 / 1.71747)):
        model = Predictor.from_pretrained(folder / name / "best", "cpu")
        cloud = point_cloud(model, np.full((4, 4), 2, np.float32), Image.new("RGB", (40, 20), "red"), 90.0)
        (tmp_path / "wall.glb").write_bytes(cloud)
        points = trimesh.load(tmp_path / "wall.glb").geometry["geometry_0"].vertices
        np.testing.assert_allclose(points[:, 2], -2, rtol=1e-6)
        assert np.abs(points[:, 0]).max() == pytest.approx(2, rel=0.01)
        assert np.abs(points[:, 1]).max() == pytest.approx(half_height, rel=0.01)


def test_square_maps_are_shown_in_the_shape_of_the_camera(ears_model: Predictor) -> None:
    """The point cloud and the maps of a recording without an image were square: 1.72 times too high."""
    assert initial_fov(ears_model) == 86.0
    shape = display_shape(DemoInput(), [_result(np.zeros((4, 4)))], ears_model.field_of_view)
    assert shape == (round(512 / 1.71747), 512)
    assert display_shape(DemoInput(), [_result(np.zeros((4, 4)))]) == (512, 512)

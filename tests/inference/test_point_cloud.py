"""Point clouds: positions and colours of the points, and files that other programs read."""

import io

import numpy as np
import pytest
import trimesh

from echodepth.core.errors import ConfigError
from echodepth.core.field_of_view import FieldOfView
from echodepth.inference import point_cloud
from echodepth.inference.point_cloud import Intrinsics, back_project, encode_point_cloud, point_grid


def full_grid(depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(depth.shape[0]), np.arange(depth.shape[1])


def test_back_projection_follows_the_pinhole_model() -> None:
    """At a depth of 2 m and a focal length of 4 pixels, one pixel right of the axis is half a metre to the right."""
    depth = np.full((3, 5), 2.0)
    points, valid = back_project(depth, Intrinsics(4.0, 8.0, 2.0, 1.0), depth.shape, *full_grid(depth))
    by_pixel = points.reshape(3, 5, 3)
    assert valid.tolist() == list(range(15))
    np.testing.assert_allclose(by_pixel[1, 2], [0, 0, 2])
    np.testing.assert_allclose(by_pixel[1, 3], [0.5, 0, 2])
    np.testing.assert_allclose(by_pixel[2, 2], [0, 0.25, 2])
    np.testing.assert_allclose(by_pixel[0, 0], [-1, -0.25, 2])


def test_the_field_of_view_ends_at_the_edge_of_the_image() -> None:
    """At 90 degrees a wall at 3 m is 6 m wide, and the centres of the outermost pixels are half a pixel inside."""
    depth = np.full((6, 12), 3.0)
    camera = Intrinsics.from_field_of_view(FieldOfView.from_width(90.0, 12 / 6), depth.shape)
    points, _ = back_project(depth, camera, depth.shape, *full_grid(depth))
    assert points[:, 0].min() == pytest.approx(-3 + 0.25)
    assert points[:, 0].max() == pytest.approx(3 - 0.25)
    assert points[:, 1].max() == pytest.approx(1.5 - 0.25)  # square pixels: half as high


def test_a_map_of_another_aspect_ratio_fills_the_field_of_view_of_the_image() -> None:
    camera = Intrinsics.from_field_of_view(FieldOfView.from_width(90.0, 640 / 360), (360, 640))
    square = np.full((4, 4), 2.0)
    points, _ = back_project(square, camera, (360, 640), *full_grid(square))
    assert np.ptp(points[:, 0]) == pytest.approx(4 * 3 / 4)
    assert np.ptp(points[:, 1]) == pytest.approx(4 * 360 / 640 * 3 / 4)
    assert points[:, :2].mean(axis=0) == pytest.approx([0, 0])


def test_pixels_without_depth_have_no_point() -> None:
    depth = np.array([[np.nan, 1.0], [0.0, np.inf]])
    points, valid = back_project(depth, Intrinsics(1.0, 1.0, 0.0, 0.0), depth.shape, *full_grid(depth))
    assert valid.tolist() == [1]
    np.testing.assert_allclose(points, [[1, 0, 1]])


@pytest.mark.parametrize("kind", ["ply", "glb"])
def test_other_programs_read_points_and_colours(kind: str) -> None:
    points = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 4.0]])
    colours = np.array([[255, 0, 10], [0, 200, 30]], np.uint8)
    loaded = trimesh.load(io.BytesIO(encode_point_cloud(points, colours, kind)), file_type=kind)
    read = loaded.geometry.popitem()[1] if kind == "glb" else loaded
    turned = [1, -1, -1] if kind == "glb" else [1, 1, 1]
    np.testing.assert_allclose(read.vertices, points * turned, atol=1e-6)
    np.testing.assert_array_equal(read.colors[:, :3], colours)


def test_a_large_map_is_subsampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(point_cloud, "MAX_POINTS", 100)
    rows, columns = point_grid(np.zeros((30, 30)))
    assert rows.tolist() == columns.tolist() == [1, 4, 7, 10, 13, 16, 19, 22, 25, 28]
    assert [len(side) for side in point_grid(np.zeros((5, 20)))] == [5, 20]
    assert [len(side) for side in point_grid(np.zeros((1, 1000)))] == [1, 250]


def test_impossible_intrinsics_are_refused() -> None:
    with pytest.raises(ConfigError, match="--intrinsics 0 1 2 3: fx and fy must be above 0"):
        Intrinsics(0.0, 1.0, 2.0, 3.0)

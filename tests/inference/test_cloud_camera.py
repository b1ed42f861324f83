"""Point clouds in true proportions: square depth maps keep the two angles of the camera that they were resized from."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from echodepth.core.errors import ConfigError, DataError
from echodepth.core.field_of_view import FieldOfView
from echodepth.core.sampling import pixel_centres
from echodepth.inference.config import PredictConfig
from echodepth.inference.predict import predict
from echodepth.inference.predictor import Predictor
from echodepth.models.checkpoint import DepthModel
from echodepth.models.layers import Prediction
from echodepth.simulate.camera.render import depth_map
from echodepth.simulate.rooms.materials import Material
from echodepth.simulate.rooms.scene import Block, Pose, Room
from tests.tiny import SIDE, save_tiny, save_tiny_rgb

FLOOR, CEILING = 0.35, 2.15  # metres below and above the camera
TAN_ACROSS, TAN_UPWARD = 0.932515, 0.542956  # of half of 86 and of half of 57 degrees
V2 = FieldOfView(86.0, 57.0)
GREY = Material("grey", "plain", 1.0, (0.5, 0.5, 0.5), (0.1,) * 8, (0.1,) * 8)

Cloud = Callable[..., np.ndarray]


@pytest.fixture(autouse=True)
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cloud(v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """Runs ``predict --save ply`` with a model that predicts a given map, and returns the points in [h, w, 3]."""

    def run(model: DepthModel, depth: np.ndarray, file: Path | None = None, **flags: Any) -> np.ndarray:
        answer = torch.from_numpy(depth.astype(np.float32))[None, None]
        model.network.predict = lambda x: Prediction(answer, None, {})  # type: ignore[method-assign]
        monkeypatch.setattr("echodepth.inference.predict.load_model", lambda *_, **__: Predictor(model))
        file = file or v2_root / "Attic" / "audio" / "audio_1.wav"
        predict(PredictConfig((file,), "any", save=("ply",), out=Path("out"), overwrite=True, **flags))
        return np.asarray(trimesh.load(f"out/{file.stem}_depth.ply").vertices)

    return run


def ears(root: Path, camera: FieldOfView | None = V2, **data: Any) -> DepthModel:
    model = save_tiny(Path("ears"), root, **data)
    model.run = replace(model.run, field_of_view=camera)
    return model


def eyes(root: Path, camera: FieldOfView | None = V2, **data: Any) -> DepthModel:
    model = save_tiny_rgb(Path("eyes"), root, **data)
    model.run = replace(model.run, field_of_view=camera)
    return model


def floor_and_ceiling() -> np.ndarray:
    """Depth of an endless floor and ceiling, as 86 x 57 degrees see them, resized to a square of 32 pixels."""
    slope = (np.arange(SIDE) + 0.5 - SIDE / 2) / (SIDE / 2) * TAN_UPWARD  # metres downwards per metre ahead
    depth = np.where(slope > 0, FLOOR / slope, CEILING / -slope)
    return np.repeat(depth[:, None], SIDE, axis=1)


def test_floor_and_ceiling_have_their_true_heights(v2_root: Path, cloud: Cloud) -> None:
    """A floor 0.35 m below the camera came out at 0.60 m: a square map was taken for a camera with square pixels.

    The lowest row of 32 lies 15.5/16 of tan 28.5° below the axis: it sees the floor at 0.35 / 0.52599 = 0.6654 m.
    """
    depth = floor_and_ceiling()
    assert depth[-1, 0] == pytest.approx(0.6654, abs=1e-4)
    points = cloud(ears(v2_root), depth)
    by_row = points.reshape(SIDE, SIDE, 3)
    np.testing.assert_allclose(by_row[: SIDE // 2, :, 1], -CEILING, rtol=1e-5)  # y points down
    np.testing.assert_allclose(by_row[SIDE // 2 :, :, 1], FLOOR, rtol=1e-5)
    # The outermost column lies 15.5/16 of tan 43° beside the axis: 0.6654 * 0.90337 = 0.6011 m to the right.
    assert by_row[-1, -1, 0] == pytest.approx(0.6011, abs=1e-4)


@pytest.mark.parametrize("height", [0.35, 0.9])
def test_a_simulated_room_has_its_true_size(v2_root: Path, cloud: Cloud, height: float) -> None:
    """A room of 8 x 6 x 3 m from 2 m before the wall behind the camera: walls at 3 m to either side and 6 m ahead."""
    half = (4.0, 3.0, 1.5)
    room = Room("office", Block(half, half, 0.0, (GREY,) * 6), (), ((4.0, 3.0, 2.5),))
    points = cloud(ears(v2_root, dataset="simulated"), depth_map(room, Pose((2.0, 3.0, height), 0.0), SIDE))
    np.testing.assert_allclose(points.max(axis=0), [3.0, height, 6.0], rtol=1e-6)
    np.testing.assert_allclose(points.min(axis=0)[:2], [-3.0, height - 3.0], rtol=1e-6)


def test_the_floor_of_a_genuine_frame_is_level(v2_root: Path, cloud: Cloud, real_data: Path) -> None:
    """BatVision V2's camera stands 0.35 m above the floor; the most frequent height below the axis is the floor's."""
    millimetres = np.load(real_data / "batvision_v2_sample" / "depth_47.npy")
    side = 256
    square = millimetres[np.ix_(pixel_centres(720, side), pixel_centres(1280, side))] / 1000
    heights = cloud(ears(v2_root), square)[:, 1]
    counts, edges = np.histogram(heights, bins=np.arange(0.1, 1.0, 0.02))
    assert edges[counts.argmax()] == pytest.approx(0.34, abs=0.021)


def test_flags_win_over_the_models_camera(v2_root: Path, cloud: Cloud) -> None:
    wall = np.full((SIDE, SIDE), 2.0)
    edge = 2 * (1 - 1 / SIDE)  # of a wall at 2 m seen at 90 degrees
    model = ears(v2_root)
    assert cloud(model, wall).max(axis=0) == pytest.approx([TAN_ACROSS * edge, TAN_UPWARD * edge, 2], rel=1e-5)
    # The shape of the model's camera is kept.
    assert cloud(model, wall, fov=90.0).max(axis=0) == pytest.approx([edge, edge / 1.71748, 2], rel=1e-5)
    assert cloud(model, wall, fov=90.0, vertical_fov=90.0).max(axis=0) == pytest.approx([edge, edge, 2], rel=1e-5)
    intrinsics = (8.0, 32.0, 15.5, 15.5)
    assert cloud(model, wall, intrinsics=intrinsics).max(axis=0) == pytest.approx([2 * edge, edge / 2, 2], rel=1e-5)


def test_an_image_of_another_shape_does_not_change_the_points_of_a_recording(
    v2_root: Path, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    model, depth = ears(v2_root), floor_and_ceiling()
    heights = []
    for width, height in ((1280, 720), (64, 64), (40, 30)):  # the camera's, resized to a square, another camera's
        assert "does not fit" not in caplog.text
        Image.new("RGB", (width, height), "red").save("photo.png")
        heights.append(cloud(model, depth, image=Path("photo.png"))[:, 1])
    assert "the image has 40x30 pixels, 1.33 times as wide as high, and the camera of ears sees 86 x 57" in caplog.text
    for each in heights:
        np.testing.assert_allclose(each.reshape(SIDE, SIDE)[SIDE // 2 :], FLOOR, rtol=1e-5)
    # A field of view that is given is that of the image.
    photographed = cloud(model, depth, image=Path("photo.png"), fov=86.0)
    assert photographed[:, 1].max() == pytest.approx(FLOOR * TAN_ACROSS * 3 / 4 / TAN_UPWARD, rel=1e-5)


def test_an_image_of_another_camera_needs_its_own_field_of_view(v2_root: Path, cloud: Cloud) -> None:
    Image.new("RGB", (40, 30), "red").save("photo.png")
    wall = np.full((SIDE, SIDE), 2.0)
    with pytest.raises(
        DataError, match=r"40x30 pixels, 1\.33 times .* eyes sees 86 x 57 degrees, 1\.72 .*: give --fov"
    ):
        cloud(eyes(v2_root), wall, Path("photo.png"))
    assert list(Path("out").glob("photo*")) == []
    points = cloud(eyes(v2_root), wall, Path("photo.png"), fov=90.0)
    assert points.max(axis=0) == pytest.approx([2 * 39 / 40, 1.5 * 29 / 30, 2], rel=1e-5)


def test_an_older_model_has_the_camera_of_its_dataset(
    v2_root: Path, cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="echodepth"):
        points = cloud(ears(v2_root, camera=None), floor_and_ceiling())
    assert points[:, 1].max() == pytest.approx(FLOOR, rel=1e-5)
    assert "ears does not record its camera: the field of view of batvisionv2, 86 x 57 degrees, is assumed" in (
        caplog.text
    )


def test_a_model_of_an_unknown_camera_asks_for_it(v2_root: Path, cloud: Cloud) -> None:
    wall = np.full((SIDE, SIDE), 2.0)
    model = ears(v2_root, camera=None, dataset="batvisionv1")
    with pytest.raises(ConfigError, match="the camera, which ears does not record: give --fov and --vertical_fov"):
        cloud(model, wall)
    with pytest.raises(ConfigError, match=r"--fov 90: the map is square .*: give --vertical_fov too"):
        cloud(model, wall, fov=90.0)
    assert cloud(model, wall, fov=90.0, vertical_fov=90.0)[:, 1].max() == pytest.approx(2 * (1 - 1 / SIDE), rel=1e-5)
    Image.new("RGB", (30, 30), "red").save("square.png")
    points = cloud(eyes(v2_root, camera=None, dataset="rgbd"), wall, Path("square.png"), fov=90.0)
    assert points[:, 1].max() == pytest.approx(points[:, 0].max())  # an image of unknown origin has square pixels

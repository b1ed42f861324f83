"""Figures: near is light, unknown is grey, both ears share a colour scale, files are written atomically."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from echodepth.report.figures import (
    INVALID_GREY,
    Panel,
    depth_picture,
    depth_to_rgb,
    display_limit,
    error_to_rgb,
    input_panels,
    picture_grid,
    result_picture,
    save_figure,
    spectrogram_to_rgb,
)

GREY = round(INVALID_GREY * 255)


def frames(n: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 5, (n, 8, 8)).astype(np.float32)
    return depth + 0.5, depth, rng.uniform(size=depth.shape) > 0.2


def test_near_is_light_and_far_is_dark_and_unknown_is_grey() -> None:
    depth = np.array([[0.5, 5.0, 9.5, 3.0, np.nan]], dtype=np.float32)
    rgb = depth_to_rgb(depth, np.array([[True, True, True, False, True]]), 10.0)
    assert rgb.dtype == np.uint8
    brightness = rgb[0].astype(int).sum(axis=1)
    assert brightness[0] > brightness[1] > brightness[2]
    assert rgb[0, 3].tolist() == rgb[0, 4].tolist() == [GREY] * 3


def test_beyond_the_scale_is_its_end() -> None:
    rgb = depth_to_rgb(np.array([[10.0, 25.0]], dtype=np.float32), np.ones((1, 2), dtype=bool), 10.0)
    assert rgb[0, 0].tolist() == rgb[0, 1].tolist()


def test_no_depth_looks_like_grey() -> None:
    """Otherwise a wall at that distance would look like missing ground truth."""
    depth = np.linspace(0, 10, 256, dtype=np.float32)[None]
    known = np.ones_like(depth, dtype=bool)
    for rgb in (depth_to_rgb(depth, known, 10.0), error_to_rgb(depth, known, 10.0)):
        assert np.abs(rgb.astype(int) - GREY).sum(axis=-1).min() > 30


def test_low_frequencies_are_drawn_at_the_bottom() -> None:
    spectrogram = np.zeros((4, 3), dtype=np.float32)
    spectrogram[0] = 1
    rgb = spectrogram_to_rgb(spectrogram).astype(int).sum(axis=-1)
    assert (rgb[-1] > rgb[0]).all()


def test_silence_can_be_drawn() -> None:
    assert spectrogram_to_rgb(np.zeros((4, 3), dtype=np.float32)).std(axis=(0, 1)).tolist() == [0, 0, 0]


def test_the_quieter_ear_looks_quieter() -> None:
    loud, quiet = np.eye(4, dtype=np.float32), 0.5 * np.eye(4, dtype=np.float32)
    left, right = input_panels({"left ear": loud, "right ear": quiet})
    assert left.span == right.span == (0.0, 1.0)
    drawn = [spectrogram_to_rgb(p.values, p.span).astype(int).sum(axis=-1).max() for p in (left, right)]
    assert drawn[0] > drawn[1]


def test_display_limit_is_round_and_capped() -> None:
    valid = np.ones(1000, dtype=bool)
    depth = np.linspace(0.5, 5.8, 1000)
    assert display_limit(depth, valid) == 6.0
    assert display_limit(depth, valid, most=4.0) == 4.0
    assert display_limit(depth, ~valid, most=30.0) == 30.0
    assert display_limit(np.zeros(3), np.ones(3, dtype=bool)) > 0


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_result_picture_has_inputs_prediction_ground_truth_and_error(modality: str) -> None:
    prediction, depth, valid = frames(2)
    rng = np.random.default_rng(1)
    image, ear = rng.uniform(size=(8, 8, 3)), rng.uniform(size=(16, 9)).astype(np.float32)
    inputs = {"RGB": image} if modality == "image" else {"left ear": ear, "right ear": ear}
    figure = result_picture([inputs, inputs], prediction, depth, valid, 30.0, "demo, epoch 2")
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == [*inputs, "prediction", "ground truth", "error"]
    assert [text.get_text() for axis in figure.axes for text in axis.texts] == ["MAE 0.50 m"] * 2
    assert {axis.get_ylabel() for axis in figure.axes} >= {"absolute error in m"}
    assert figure.get_suptitle() == "demo, epoch 2"


def test_a_frame_without_valid_pixels_is_drawn_and_noted() -> None:
    prediction, depth, valid = frames(1)
    inputs = [{"RGB": np.zeros((8, 8, 3))}]
    figure = result_picture(inputs, prediction, depth, np.zeros_like(valid), 30.0, "")
    assert [text.get_text() for axis in figure.axes for text in axis.texts] == ["no valid pixel"]


def test_mismatched_inputs_are_refused() -> None:
    prediction, depth, valid = frames(2)
    with pytest.raises(ValueError, match="inputs has 1 frames, but the depth maps are 2"):
        result_picture([{"RGB": np.zeros((8, 8, 3))}], prediction, depth, valid, 30.0, "")
    panel = Panel("ground truth", depth[0], "depth")
    with pytest.raises(ValueError, match=r"rows must be of one length, at least 1, not \[1, 2\]"):
        picture_grid([[panel], [panel, panel]], 5.0, 1.0)


def test_saving_is_whole_or_not_at_all(tmp_path: Path) -> None:
    figure = depth_picture(frames(1)[1][0], frames(1)[2][0], 6.0, "a room")
    path = save_figure(figure, tmp_path / "new" / "room.png")
    assert [p.name for p in path.parent.iterdir()] == ["room.png"]
    assert Image.open(path).size[0] > 200
    with pytest.raises(ValueError, match="nonsense"):
        save_figure(figure, tmp_path / "new" / "room.nonsense")
    assert sorted(p.name for p in path.parent.iterdir()) == ["room.png"]


def test_drawing_leaves_no_global_figures_behind() -> None:
    before = matplotlib.get_backend()
    prediction, depth, valid = frames(1)
    result_picture([{"RGB": np.zeros((8, 8, 3))}], prediction, depth, valid, 30.0, "")
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []
    assert matplotlib.get_backend() == before

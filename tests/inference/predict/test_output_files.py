"""``echodepth predict`` writes every format, and colours points by a recording's image."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from echodepth.core.errors import ConfigError, DataError
from echodepth.inference.sources import _ImageFinder
from echodepth.report.figures import depth_to_rgb, display_limit
from tests.inference.predict.command import run
from tests.tiny import SIDE


def test_every_format_is_written(photos: Path) -> None:
    formats = ("npy", "png", "color", "ply", "glb", "sheet")
    written = [path.name for path in run(photos / "a.png", save=formats, fov=90.0)]
    ends = (".npy", ".png", "_color.png", ".ply", ".glb")
    assert written == [*(f"a_depth{end}" for end in ends), "contact_sheet.png"]
    cloud, depth = trimesh.load("out/a_depth.ply"), np.load("out/a_depth.npy")
    np.testing.assert_allclose(cloud.vertices[:, 2].reshape(24, 40), depth, rtol=1e-6)
    assert np.abs(cloud.vertices[:, 0]).max() == pytest.approx(depth[:, [0, -1]].max() * 39 / 40, rel=1e-5)
    with Image.open(photos / "a.png") as image:
        np.testing.assert_array_equal(cloud.colors[:, :3].reshape(24, 40, 3), np.asarray(image))
    assert run(photos / "a.png", save=formats, fov=90.0) == []


def test_a_contact_sheet_shows_skipped_results_too(photos: Path) -> None:
    run(photos)
    shutil.copy(photos / "a.png", photos / "c.png")
    written = run(photos, save=("npy", "sheet"))
    assert written == [Path("out/c_depth.npy"), Path("out/contact_sheet.png")]
    with Image.open("out/contact_sheet.png") as sheet:
        assert sheet.width > 2 * sheet.height  # three frames side by side, each with its depth
    assert run(photos, save=("npy", "sheet")) == []
    assert run(photos, save=("sheet",)) == []


@pytest.mark.parametrize("image", ["images", "images/audio_1.png"])
def test_the_image_of_a_recording_is_drawn_and_colours_points(v2_root: Path, image: str) -> None:
    recording = v2_root / "Attic" / "audio" / "audio_1.wav"
    Path("images").mkdir()
    Image.new("RGB", (40, 20), (10, 200, 30)).save("images/audio_1.png")
    run(recording, checkpoint="ears", save=("npy", "color", "ply"), fov=90.0, image=Path(image))
    cloud, depth = trimesh.load("out/audio_1_depth.ply"), np.load("out/audio_1_depth.npy")
    assert cloud.vertices.shape == (SIDE * SIDE, 3)
    assert np.unique(cloud.colors[:, :3], axis=0).tolist() == [[10, 200, 30]]
    # The map is square, but its field of view is twice as wide as high.
    corner = cloud.vertices[0]
    assert corner[0] == pytest.approx(-depth[0, 0] * (1 - 1 / SIDE), rel=1e-5)
    assert corner[1] == pytest.approx(corner[0] / 2, rel=1e-5)
    with Image.open("out/audio_1_depth_color.png") as drawn:
        colours = np.asarray(drawn.convert("RGB")).reshape(-1, 3)
    assert (np.abs(colours.astype(int) - [10, 200, 30]).max(axis=1) < 3).sum() > 1000


def test_images_have_the_stems_of_their_recordings_and_each_folder_is_listed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each recording once searched the folder anew, and take.wav once got take.2.png."""
    images, nested = tmp_path / "images", tmp_path / "images" / "deep"
    nested.mkdir(parents=True)
    names = (
        "a.png",
        "b.left.JPEG",
        "c [1].png",
        "d.wav",
        "what?*.png",
        "1305.5.png",
        "1305.png",
        "deep/a.png",
        ".e.png",
    )
    for name in (*names, "take.2.png", "take.2.txt"):
        (images / name).touch()
    finder, listed, iterdir = _ImageFinder(images), list[Path](), Path.iterdir

    def noted(folder: Path) -> Iterator[Path]:
        listed.append(folder)
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", noted)
    expected = {
        **{"a": "a.png", "deep/a": "deep/a.png", "deep/b.left": "b.left.JPEG", "c [1]": "c [1].png", "d": "d.jpg"},
        **{"what?*": "what?*.png", "1305": "1305.png", "1305.5": "1305.5.png", "take": "take.jpg", "b": "b.jpg"},
        **{"take.2": "take.2.png", "take.2.5": "take.2.5.jpg", ".e": ".e.jpg"},
    }
    for stem, image in expected.items():
        assert finder.find(Path(stem)) == images / image
    assert sorted(listed) == [images, nested]
    assert _ImageFinder(images / "a.png").find(Path("anything")) == images / "a.png"
    with pytest.raises(ConfigError, match=r"images/a\.png has the name of two recordings, a and elsewhere/a"):
        finder.find(Path("elsewhere/a"))
    (images / "a.jpg").touch()
    with pytest.raises(ConfigError, match=r"images/a\.jpg and .*images/a\.png both have the name of the recording a"):
        _ImageFinder(images).find(Path("a"))


def test_without_an_image_points_have_the_colours_of_depth(v2_root: Path) -> None:
    recording = v2_root / "Attic" / "audio" / "audio_1.wav"
    run(recording, checkpoint="ears", save=("ply",), intrinsics=(30.0, 30.0, 15.5, 15.5))
    cloud = trimesh.load("out/audio_1_depth.ply")
    depth = cloud.vertices[:, 2].reshape(SIDE, SIDE).astype(np.float32)
    known = np.isfinite(depth)
    colours = depth_to_rgb(depth, known, display_limit(depth, known))
    np.testing.assert_array_equal(cloud.colors[:, :3].reshape(SIDE, SIDE, 3), colours)


def test_a_missing_image_is_named(v2_root: Path) -> None:
    Path("images").mkdir()
    with pytest.raises(DataError, match=r"images/audio_1\.jpg cannot be read as an image"):
        run(v2_root / "Attic" / "audio" / "audio_1.wav", checkpoint="ears", image=Path("images"))
    assert list(Path("out").glob("audio*")) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"fov": 90.0}, "--fov and --intrinsics are for point clouds: add ply or glb to --save"),
        ({"fov": 90.0, "intrinsics": (1.0, 1.0, 1.0, 1.0)}, "--intrinsics and --fov both define the camera"),
        *(
            (
                {"save": ("glb",), "fov": fov},
                rf"--fov {fov:g}: give the horizontal field of view, from 0 to 180 degrees",
            )
            for fov in (0.0, -10.0, 180.0, float("nan"))
        ),
        ({"save": ("glb",), "fov": 90.0, "vertical_fov": 200.0}, "--vertical_fov 200: give the vertical field of view"),
        ({"save": ("glb",), "vertical_fov": 50.0}, "--vertical_fov belongs to --fov"),
        ({"save": ("glb",), "intrinsics": (0.0, 1.0, 1.0, 1.0)}, "--intrinsics 0 1 1 1: fx and fy must be above 0"),
        ({"frame_stride": 0}, "--frame_stride must be at least 1, not 0"),
        ({"image": Path("photos")}, "--image is for audio models: eyes takes the image itself as its input"),
        ({"split": "test"}, "files and --image cannot be combined with --split, --dataset and --data_dir"),
    ],
)
def test_flags_that_conflict_are_refused(photos: Path, flags: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(photos, **flags)
    assert not Path("out").exists()

"""Depth in the right unit: metres are not taken for millimetres because of one large number for "nothing"."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from echodepth.apps.convert.convert import read_depth
from echodepth.core.errors import DataError
from echodepth.data.dataset import open_dataset
from echodepth.data.depth_values import possible_marker, to_metres
from echodepth.data.images import read_depth_array, read_depth_image
from tests.roots import v2, write_v2_root

WALL = 2 + np.linspace(0, 3, 30 * 40).reshape(30, 40)
"""Metres: 2 to 5."""
NOTHING = [0, -1, np.nan, np.inf, -np.inf, 65504, 65535, 1e10, 1000, 100, 3.4e38]


def with_sky(metres: np.ndarray, number: float, share: float = 1 / 3) -> np.ndarray:
    marked = metres.copy()
    marked[: round(share * len(marked))] = number
    return marked


@pytest.mark.parametrize("share", [0.1, 1 / 3, 0.7, 0.95])
@pytest.mark.parametrize("number", NOTHING)
def test_metres_are_refused_as_millimetres_whatever_stands_for_nothing(
    number: float, share: float, tmp_path: Path
) -> None:
    """One large number passed for the whole map's range: walls of 1 to 5 mm were trained on."""
    np.save(tmp_path / "depth.npy", with_sky(WALL, number, share).astype(np.float32))
    with pytest.raises(DataError, match=r"depth\.npy has a median depth of [2-5][.\d]* mm, which no room has.*metres"):
        read_depth_array(tmp_path / "depth.npy")
    with pytest.raises(DataError, match=r"depth\.npy has a median depth of .*is it in --depth_unit m\?"):
        read_depth(tmp_path / "depth.npy", "mm")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("number", NOTHING)
def test_metres_are_read_as_metres_without_the_number_for_nothing(
    number: float, dtype: type[np.floating], tmp_path: Path
) -> None:
    with np.errstate(over="ignore"):
        np.save(tmp_path / "depth.npy", with_sky(WALL, number).astype(dtype))
    depth = read_depth(tmp_path / "depth.npy", "m")
    assert depth.valid.mean() == pytest.approx(2 / 3)
    assert (depth.metres.max(), depth.metres[~depth.valid].any()) == (pytest.approx(5, rel=1e-3), False)


@pytest.mark.parametrize(
    ("dtype", "number"),
    [(np.uint16, 65535), (np.uint16, 65504), (np.int32, 65535), (np.int32, 2**31 - 1), (np.int16, 32767)]
    + [(np.float32, number) for number in (65535, 65504, 1e5, 1e10, np.inf, np.nan, -1, 0)],
)
def test_in_millimetres_the_number_for_nothing_is_invalid(dtype: type, number: float, tmp_path: Path) -> None:
    """65535 was scored as 65 m, clipped to --max_depth."""
    np.save(tmp_path / "depth.npy", with_sky(np.round(1000 * WALL), number).astype(dtype))
    depth = read_depth_array(tmp_path / "depth.npy")
    assert depth.valid.tolist() == (np.arange(1200).reshape(30, 40) >= 400).tolist()
    np.testing.assert_allclose(depth.metres[depth.valid], WALL[10:].ravel(), atol=5.1e-4)
    is_large = np.isfinite(number) and number > 0
    assert (depth.marker is not None and (depth.marker.number, depth.marker.pixels) == (number, 400)) == is_large


@pytest.mark.parametrize("units", [1000, 5000])
def test_the_largest_number_of_a_16_bit_image_is_no_distance(units: int, tmp_path: Path) -> None:
    """In TUM's unit, 65535 is 13.1 m, which --max_depth 10 made 10 m."""
    Image.fromarray(with_sky(np.round(units * WALL), 65535).astype(np.uint16)).save(tmp_path / "depth.png")
    depth = read_depth_image(tmp_path / "depth.png", units)
    assert depth.valid.mean() == pytest.approx(2 / 3)
    assert depth.metres.max() == pytest.approx(5, abs=1e-3)
    with pytest.raises(DataError, match=r"has a median depth of .* m, which no room has: give .*--depth_scale"):
        read_depth_image(tmp_path / "depth.png", 1.0)


def test_millimetres_are_refused_as_metres(tmp_path: Path) -> None:
    np.save(tmp_path / "depth.npy", with_sky(1000 * WALL, np.inf))
    with pytest.raises(DataError, match=r"median depth of 4e\+03 m, .*is it in --depth_unit mm\?"):
        read_depth(tmp_path / "depth.npy", "m")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (np.zeros((0, 0), np.uint16), r"has no pixels: its shape is \(0, 0\)"),
        (np.zeros((4, 0), np.float32), r"has no pixels: its shape is \(4, 0\)"),
        (np.full((4, 4), 200, np.uint8), "holds uint8, which is too coarse"),
        (np.zeros((4, 4), bool), r"holds bool of shape \(4, 4\)"),
        (np.zeros((4, 4, 1), np.uint16), r"of shape \(4, 4, 1\): a depth map is a 2-D array"),
    ],
)
def test_what_is_no_map_is_refused(raw: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        to_metres(raw, 1000, "depth.npy", "")


def test_maps_that_are_plausible_are_not_refused() -> None:
    """A flat wall, one with a box before it, one with a single bad pixel, a near object, an empty map."""
    flat = np.full((48, 64), 2000, np.uint16)
    box, glitch = flat.copy(), flat.copy()
    box[10:30, 10:30], glitch[3, 3] = 900, 3
    for raw in (flat, box, glitch, np.full((48, 64), 80, np.uint16), 0 * flat):
        metres, valid, marker = to_metres(raw, 1000, "depth.npy", "")
        assert marker is None
        assert np.array_equal(valid, raw > 0)
        np.testing.assert_allclose(metres, raw / 1000, rtol=1e-6)


def test_a_large_distance_without_any_near_it_may_stand_for_nothing() -> None:
    metres = with_sky(WALL, 10.0, 0.1)
    largest, next_largest = possible_marker(metres, metres > 0) or (None, 0)
    assert largest is not None
    assert (largest.metres, largest.pixels) == (10, 120)
    assert next_largest == pytest.approx(5)
    for ordinary in (WALL, np.minimum(WALL, 4), with_sky(WALL, 9.0), with_sky(WALL, 30.0, 0.001), 0 * WALL):
        assert possible_marker(ordinary, ordinary > 0) is None


def test_opening_a_split_says_what_is_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_v2_root(tmp_path, ("Attic",), rows=3)
    for number in (0, 1):
        path = root / f"Attic/depth/depth_{number}.npy"
        np.save(path, with_sky(np.load(path), 65535, 0.5))
    with caplog.at_level(logging.WARNING):
        dataset = open_dataset(v2(root), "train", ("depth",))
    (message,) = caplog.messages
    assert "depth_0.npy: 65535 is no distance, its 4608 pixels are invalid; `echodepth doctor` lists" in message
    assert not dataset[0]["valid"][0, :15].any()
    assert float(dataset[0]["depth"].max()) < 5


@pytest.mark.parametrize(("near", "warned"), [(8, True), (5, True), (3, False)])
def test_opening_a_split_of_centimetres_asks_for_the_unit(
    near: int, warned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Read as millimetres they are a tenth of the distance; a few near walls are no such case."""
    root = write_v2_root(tmp_path, ("Attic",), rows=8, splits=("train",))
    for number in range(near):
        path = root / f"Attic/depth/depth_{number}.npy"
        np.save(path, np.full_like(np.load(path), 200 + number))
    with caplog.at_level(logging.WARNING):
        open_dataset(v2(root), "train", ("depth",))
    expected = "depth_0.npy on is 0.20 m, nearer than in rooms: are these centimetres? Then multiply them by 10"
    assert [expected in message for message in caplog.messages if "nearer" in message] == [True] * warned

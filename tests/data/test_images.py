"""Pictures and depth maps at the network's size."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from echodepth.core.errors import DataError
from echodepth.data.images import (
    DepthMap,
    check_area,
    exif_orientation,
    open_image,
    open_only_listed_formats,
    open_upright,
    read_depth_array,
    read_depth_image,
    read_image,
    read_stored_depth,
    resize_depth,
    to_square,
    upright_size,
)


def depth_map(metres: object) -> DepthMap:
    values = np.array(metres, dtype=np.float32)
    return DepthMap(values, values > 0)


def test_nearest_takes_the_pixel_under_each_centre() -> None:
    # 6 columns to 2: centres of the targets lie at 1.5 and 4.5, which are columns 1 and 4; rows 0 and 1 stay.
    small = resize_depth(depth_map([[1, 2, 3, 4, 5, 6], [7, 0, 9, 10, 11, 12]]), 2, 30.0)
    assert small.metres.tolist() == [[2, 5], [0, 11]]
    assert small.valid.tolist() == [[True, True], [False, True]]


@pytest.mark.parametrize(("source", "target"), [(720, 256), (1280, 256), (5, 7), (3, 3)])
def test_nearest_agrees_with_rounding_the_exact_centre(source: int, target: int) -> None:
    ramp = np.broadcast_to(np.arange(1, source + 1, dtype=np.float32), (source, source)).copy()
    small = resize_depth(depth_map(ramp), target, 1e9)
    expected = np.floor((np.arange(target) + 0.5) * source / target) + 1
    np.testing.assert_array_equal(small.metres[0], expected)


def test_bilinear_lets_zeros_bleed_into_edges_and_nearest_does_not() -> None:
    edge = np.full((8, 8), 10.0)
    edge[:, 4:] = 0
    # Halving puts each target between two columns; 3 columns to one mixes the edge's two sides.
    nearest, bilinear = (resize_depth(depth_map(edge), 3, 30.0, how) for how in ("nearest", "bilinear"))
    assert set(nearest.metres.ravel().tolist()) == {0.0, 10.0}
    assert not nearest.valid[:, 1:].any()
    # The middle target's centre is source position 3.5: half of 10 m, half of nothing, and "valid".
    assert bilinear.metres[0].tolist() == pytest.approx([10.0, 5.0, 0.0])
    assert bilinear.valid[0].tolist() == [True, True, False]


def test_far_depth_is_clipped_and_stays_valid() -> None:
    small = resize_depth(depth_map([[12.0, 80.0], [0.0, 30.0]]), 2, 30.0)
    assert small.metres.tolist() == [[12, 30], [0, 30]]
    assert small.valid.tolist() == [[True, True], [False, True]]


def test_the_real_depth_map_has_its_known_range_and_holes(real_data: Path) -> None:
    depth = read_depth_array(real_data / "batvision_v2_sample" / "depth_47.npy")
    assert depth.metres.shape == (720, 1280)
    assert depth.metres[depth.valid].min() == pytest.approx(0.353)
    assert depth.metres.max() == pytest.approx(15.711)
    assert 1 - depth.valid.mean() == pytest.approx(0.217, abs=5e-4)
    nearest, bilinear = (resize_depth(depth, 256, 30.0, how) for how in ("nearest", "bilinear"))
    assert 1 - nearest.valid.mean() == pytest.approx(0.217, abs=5e-3)
    both = nearest.valid & bilinear.valid
    assert np.abs(nearest.metres - bilinear.metres)[both].max() > 3  # metres of bleeding
    assert bilinear.valid.mean() > nearest.valid.mean()


def test_a_picture_keeps_its_colours_and_places(tmp_path: Path) -> None:
    halves = np.zeros((40, 80, 3), np.uint8)
    halves[:, :40, 0] = 255
    halves[20:, :, 2] = 51
    Image.fromarray(halves).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", 8)
    assert image.dtype == np.float32
    assert image[:, 0, 0].tolist() == [1, 0, 0]
    assert image[:, 7, 7] == pytest.approx([0, 0, 0.2])


def test_the_quick_jpeg_path_keeps_the_picture(real_data: Path) -> None:
    path = real_data / "batvision_v2_sample" / "camera_47.jpeg"
    whole = np.asarray(Image.open(path).resize((128, 128), Image.Resampling.BILINEAR), np.float32).transpose(2, 0, 1)
    error = float(np.mean((read_image(path, 128) - whole / 255) ** 2))
    assert -10 * np.log10(error) > 45  # decibels: far below what JPEG itself has lost


def test_gray_and_palette_pictures_become_rgb(tmp_path: Path) -> None:
    Image.new("L", (9, 9), 102).save(tmp_path / "gray.png")
    assert read_image(tmp_path / "gray.png", 3)[:, 1, 1] == pytest.approx([0.4] * 3)
    Image.new("P", (9, 9)).save(tmp_path / "palette.png")
    assert read_image(tmp_path / "palette.png", 3).shape == (3, 3, 3)


def test_a_jpeg_is_decoded_at_the_smallest_eighth_that_is_large_enough(tmp_path: Path) -> None:
    Image.new("RGB", (128, 96), (255, 0, 0)).save(tmp_path / "a.jpg")
    with open_image(tmp_path / "a.jpg") as image:
        assert to_square(image, 16, "a").shape == (3, 16, 16)
        assert image.size == (32, 24)


def test_a_depth_map_is_no_picture(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(tmp_path / "depth.png")
    with pytest.raises(DataError, match=r"depth\.png holds I;16 pixels.*a colour image is expected"):
        read_image(tmp_path / "depth.png", 3)


def test_unfit_pictures_are_refused_by_name(tmp_path: Path, real_data: Path) -> None:
    whole = (real_data / "batvision_v2_sample" / "camera_47.jpeg").read_bytes()
    (tmp_path / "cut.jpeg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.jpeg cannot be decoded: .*truncated"):
        read_image(tmp_path / "cut.jpeg", 64)
    (tmp_path / "text.jpeg").write_text("no picture")
    with pytest.raises(DataError, match=r"text\.jpeg cannot be read as an image"):
        read_image(tmp_path / "text.jpeg", 64)


def test_an_array_of_millimetres_is_read_in_metres_and_says_where(tmp_path: Path) -> None:
    for kind, stored in (
        ("u2", [[0, 1], [500, 65503]]),
        ("f4", [[np.nan, 1], [500, 65503]]),
        ("f8", [[-3, 1], [500, 65503]]),
        ("f4", [[np.inf, 1], [500, 65503]]),
    ):
        np.save(tmp_path / "depth.npy", np.array(stored, dtype=kind))
        depth = read_depth_array(tmp_path / "depth.npy")
        assert depth.metres.dtype == np.float32
        assert depth.metres.ravel().tolist() == pytest.approx([0, 0.001, 0.5, 65.503])
        assert depth.valid.tolist() == [[False, True], [True, True]]
    for wrong in (np.zeros(4, "u2"), np.zeros((1, 2, 2), "u2")):
        np.save(tmp_path / "depth.npy", wrong)
        with pytest.raises(DataError, match=r"depth\.npy holds .*: a depth map is a 2-D array of numbers"):
            read_depth_array(tmp_path / "depth.npy")
    np.save(tmp_path / "depth.npy", np.zeros((2, 2), "c8"))
    with pytest.raises(DataError, match=r"depth\.npy cannot be read as a NumPy array: it holds complex64, not numbers"):
        read_depth_array(tmp_path / "depth.npy")


def test_a_map_below_five_centimetres_is_taken_for_metres(tmp_path: Path) -> None:
    for largest in (0, 50, 3000):  # nothing measured at all is no sign of metres
        np.save(tmp_path / "depth.npy", np.array([[0, largest]], dtype=np.float32))
        read_depth_array(tmp_path / "depth.npy")
    np.save(tmp_path / "depth.npy", np.array([[0, 49]], dtype=np.float32))
    with pytest.raises(DataError, match=r"has a median depth of 49 mm, .*; is it in metres\?"):
        read_depth_array(tmp_path / "depth.npy")


def test_a_depth_image_is_divided_by_its_units(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1000], [5000, 65503]], np.uint16)).save(tmp_path / "depth.png")
    depth = read_depth_image(tmp_path / "depth.png", 5000.0)
    assert depth.metres.ravel().tolist() == pytest.approx([0, 0.2, 1, 13.1006])
    assert depth.valid.tolist() == [[False, True], [True, True]]
    assert read_stored_depth(tmp_path / "depth.png").tolist() == [[0, 1000], [5000, 65503]]
    np.save(tmp_path / "depth.npy", np.array([[3, 4]]))
    assert read_stored_depth(tmp_path / "depth.npy").tolist() == [[3, 4]]
    noise = np.random.default_rng(0).integers(100, 9000, (64, 64)).astype(np.uint16)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:300])
    with pytest.raises(DataError, match=r"cut\.png cannot be decoded: "):
        read_depth_image(tmp_path / "cut.png", 1000.0)
    Image.new("L", (3, 3)).save(tmp_path / "gray.png")
    with pytest.raises(DataError, match=r"gray\.png holds L pixels: depth is a one-channel 16-bit PNG"):
        read_depth_image(tmp_path / "gray.png", 1000.0)


def test_an_image_may_have_exactly_as_many_pixels_as_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    check_area(Image.new("1", (10000, 5000)), "a")
    with pytest.raises(DataError, match="a is 10000x5001 pixels, over the limit of 50 million"):
        check_area(Image.new("1", (10000, 5001)), "a")
    check_area(Image.new("1", (30, 10)), "a", 300)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 299)
    with pytest.raises(DataError, match="a is 30x10 pixels"):
        check_area(Image.new("1", (30, 10)), "a", 300)


@pytest.mark.parametrize(
    ("orientation", "size"), [(1, (24, 40)), (3, (24, 40)), (4, (24, 40)), (5, (40, 24)), (6, (40, 24)), (8, (40, 24))]
)
def test_the_size_of_an_image_is_that_of_it_upright(orientation: int, size: tuple[int, int], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (40, 24)).save(tmp_path / "a.jpg", exif=exif)
    with open_image(tmp_path / "a.jpg") as image:
        assert upright_size(image, "a") == size


def test_an_orientation_is_applied_in_all_readers(tmp_path: Path) -> None:
    halves = np.zeros((40, 80, 3), np.uint8)
    halves[:, :40] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    Image.fromarray(halves).save(tmp_path / "a.png", exif=exif)
    assert read_image(tmp_path / "a.png", 4)[0, :, 0].round().tolist() == [1, 1, 0, 0]
    with Image.open(tmp_path / "a.png") as image:
        assert to_square(image, 4, "a")[0, :, 0].round().tolist() == [1, 1, 0, 0]
    assert open_upright(tmp_path / "a.png").size == (40, 80)
    Image.fromarray(halves).save(tmp_path / "a.png")
    np.testing.assert_array_equal(open_upright(tmp_path / "a.png"), halves)  # read, though the file is closed


@pytest.mark.parametrize(("stored", "known"), [(0, 1), (1, 1), (2, 2), (8, 8), (9, 1)])
def test_eight_orientations_are_known(stored: int, known: int) -> None:
    image = Image.new("L", (3, 2))
    assert exif_orientation(image, "a") == 1
    image.getexif()[0x0112] = stored
    assert exif_orientation(image, "a") == known


def test_libraries_open_no_format_that_pillow_would_find_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow looks for further formats at the first image that it does not recognise."""
    formats, later = ["PNG", "PSD"], ["EPS", "TIFF"]

    def init() -> None:
        formats.extend(later)
        later.clear()

    monkeypatch.setattr(Image, "ID", formats)
    monkeypatch.setattr(Image, "init", init)
    open_only_listed_formats()
    Image.init()
    assert formats == ["PNG", "TIFF"]


def test_antialiasing_averages_what_one_pixel_covers() -> None:
    stripes = depth_map(np.tile([1.0, 3.0], (8, 4)))
    plain, smooth = (resize_depth(stripes, 2, 30.0, how) for how in ("bilinear", "bilinear_antialias"))
    assert plain.metres.ravel().tolist() == pytest.approx([2.0] * 4)  # between the two pixels at the centre
    wide = resize_depth(depth_map(np.tile([0.0, 0, 0, 4.0], (8, 2))), 2, 30.0, "bilinear_antialias")
    assert smooth.metres.ravel().tolist() == pytest.approx([2.0] * 4, abs=0.15)
    assert wide.metres.min() > 0.5
    assert wide.valid.all()

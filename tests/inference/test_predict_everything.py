"""``echodepth predict`` on folders, videos and dataset splits: output files, skipped results and bad files."""

import os
import shutil
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import trimesh
from PIL import Image

from echodepth import cli
from echodepth.core.errors import ConfigError, DataError
from echodepth.data.image_stream import MAX_BYTES
from echodepth.inference import results, video
from echodepth.inference.config import PredictConfig
from echodepth.inference.predict import predict
from echodepth.inference.predictor import Predictor
from echodepth.inference.sources import _ImageFinder
from echodepth.inference.video import TimedFrame, Video, write_video
from echodepth.report.figures import depth_to_rgb, display_limit
from tests.roots import write_rgbd_root
from tests.tiny import SIDE, save_tiny, save_tiny_rgb


@pytest.fixture(autouse=True)
def models(tmp_path: Path, v2_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny_rgb(Path("checkpoints/eyes"), v2_root)
    save_tiny(Path("checkpoints/ears"), v2_root)


@pytest.fixture
def photos(v2_root: Path) -> Path:
    """Nested folders with two images and two other files."""
    first, second, *_ = sorted((v2_root / "Attic" / "camera").iterdir())
    Path("photos/deep/er").mkdir(parents=True)
    shutil.copy(first, "photos/a.png")
    shutil.copy(second, "photos/deep/er/b.PNG")
    Path("photos/notes.txt").touch()
    Path("photos/.hidden.png").touch()
    return Path("photos")


def run(*files: Path, checkpoint: str = "eyes", **flags: Any) -> list[Path]:
    flags = {"out": Path("out"), "device": "cpu", "save": ("npy",), **flags}
    return predict(PredictConfig(files, checkpoint, **flags))


def moving_square(frames: int = 6) -> list[np.ndarray]:
    """Frames of a white square that moves to the right over black."""
    video = np.zeros((frames, 48, 64, 3), np.uint8)
    for number in range(frames):
        video[number, 8:40, 8 * number : 8 * number + 20] = 255
    return list(video)


# ---- folders ----


def test_folders_are_searched_recursively(photos: Path) -> None:
    assert run(photos) == [Path("out/a_depth.npy"), Path("out/deep/er/b_depth.npy")]
    assert np.load("out/deep/er/b_depth.npy").shape == (24, 40)


def test_up_to_date_results_are_skipped(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = run(photos)
    before = first.stat().st_mtime_ns
    second.unlink()
    with caplog.at_level("INFO", logger="echodepth"):
        assert run(photos) == [second]
    assert "1 of 2 are up to date and were skipped: --overwrite predicts them again" in caplog.text
    assert first.stat().st_mtime_ns == before
    assert run(photos, overwrite=True) == [first, second]


def test_results_of_another_model_are_not_mixed_in(photos: Path, v2_root: Path) -> None:
    run(photos)
    save_tiny_rgb(Path("checkpoints/other"), v2_root)
    expected = r"out holds results of another model \(eyes \w+; this is other \w+\): give another --out, or --overwrite"
    with pytest.raises(ConfigError, match=expected):
        run(photos, checkpoint="other")
    assert len(run(photos, checkpoint="other", overwrite=True)) == 2
    assert run(photos, checkpoint="other") == []


def test_results_below_the_input_folder_are_not_inputs(photos: Path) -> None:
    for _ in range(2):
        run(photos, out=photos / "depth", save=("png",), overwrite=True)
    assert sorted(path.name for path in (photos / "depth").rglob("*.png")) == ["a_depth.png", "b_depth.png"]
    with pytest.raises(ConfigError, match="--out photos is the input folder"):
        run(photos, out=photos)


def test_a_bad_file_does_not_stop_the_rest(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "0.png").write_bytes(b"broken")
    (photos / "1.jpg").touch()
    flags = ["--checkpoint", "eyes", "--out", "out", "--save", "npy", "--device", "cpu"]
    with pytest.raises(SystemExit) as stop:
        cli.main(["predict", "photos", "gone.png", *flags])
    assert stop.value.code == cli.USER_ERROR
    shown = capsys.readouterr().err
    assert "photos/0.png cannot be read as an image" in shown
    assert "gone.png does not exist" in shown
    assert shown.splitlines()[-1] == "echodepth: 3 of 5 could not be predicted: they are named above"
    assert "Traceback" not in shown
    assert Path("out/a_depth.npy").is_file()
    assert Path("out/deep/er/b_depth.npy").is_file()


def test_one_bad_file_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["predict", "gone.png", "--checkpoint", "eyes", "--device", "cpu"])
    assert capsys.readouterr().err.splitlines()[-1] == "echodepth: gone.png does not exist"


def test_a_file_has_a_size(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources are hashed before they are opened: a sparse file of 50 GB took a minute."""
    monkeypatch.setattr(results, "content_digest", lambda path: pytest.fail("it was read"))
    Path("sparse.png").touch()
    os.truncate("sparse.png", MAX_BYTES + 1)
    with pytest.raises(DataError, match=r"sparse\.png has more than 512 MB, which no image or recording needs"):
        predict(PredictConfig((Path("sparse.png"),), "eyes"))


def test_a_folder_without_inputs_is_refused(photos: Path) -> None:
    with pytest.raises(DataError, match=r"photos holds no file that the model takes: \.flac \.wav"):
        run(photos, checkpoint="ears")


def test_two_images_of_one_name_are_refused(photos: Path) -> None:
    shutil.copy(photos / "a.png", photos / "a.webp")
    with pytest.raises(
        ConfigError, match=r"photos/a\.png and photos/a\.webp: the result of one would replace the other"
    ):
        run(photos)


# ---- output files ----


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


# ---- dataset splits ----


def test_a_split_is_predicted_and_shown_with_its_images(v2_root: Path) -> None:
    written = run(checkpoint="ears", split="test", save=("npy", "color", "sheet"))
    assert len(written) == 2 * 6 + 1
    number = written[0].stem.removesuffix("_depth")
    assert written[0].parent == Path("out/Attic")
    ears = Predictor(save_tiny(Path("checkpoints/ears"), v2_root))
    single = ears.infer(v2_root / "Attic" / "audio" / f"audio_{number}.wav").depth
    assert single.shape == np.load(written[0]).shape == (SIDE, SIDE)
    with Image.open("out/contact_sheet.png") as sheet:
        assert sheet.width > sheet.height  # six frames, three per line, each beside its image
    assert run(checkpoint="ears", split="test", save=("npy", "color", "sheet")) == []


def test_a_split_without_images_is_predicted(v2_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(v2_root, "no_images")
    for image in Path("no_images").rglob("*.png"):
        image.unlink()
    assert len(run(checkpoint="ears", data_dir=Path("no_images"), save=("npy", "sheet"))) == 7


def test_a_bad_row_of_a_split_is_named_and_skipped(v2_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copytree(v2_root, "damaged")
    for broken in Path("damaged/Attic/camera").iterdir():
        broken.write_bytes(b"")
    with pytest.raises(DataError, match="3 of 6 could not be predicted"):
        run(checkpoint="eyes", dataset="batvisionv2", data_dir=Path("damaged"))
    assert "test.csv" in caplog.text
    assert len(list(Path("out").rglob("*.npy"))) == 3


def test_another_dataset_is_predicted(tmp_path: Path) -> None:
    write_rgbd_root(tmp_path / "desk")
    written = run(dataset="rgbd", data_dir=tmp_path / "desk", save=("npy",))
    assert written[0].name.endswith("_depth.npy")
    assert ".png" not in written[0].name
    assert np.load(written[0]).shape == (72, 128)


# ---- videos ----


def five_a_second(frames: Iterable[np.ndarray]) -> Iterator[TimedFrame]:
    return (TimedFrame(number / 5, frame) for number, frame in enumerate(frames))


def test_a_video_is_written_and_read_back() -> None:
    write_video(Path("ball.mp4"), five_a_second(moving_square()))
    video = Video(Path("ball.mp4"))
    assert video.rate == 5
    assert video.count == 6
    for read, drawn in zip(video, moving_square(), strict=True):
        assert np.abs(read.pixels.astype(int) - drawn).mean() < 4
    assert len(list(Video(Path("ball.mp4"), frame_stride=4))) == 2
    assert [frame.shape for frame in video.sample()] == [(48, 64, 3)]


def test_odd_sides_are_padded_to_even() -> None:
    write_video(Path("odd.mp4"), five_a_second(np.full((2, 31, 45, 3), 200, np.uint8)))
    assert [frame.pixels.shape for frame in Video(Path("odd.mp4"))] == [(32, 46, 3)] * 2


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile ball.mp4\n", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nball.mp4\n"]
)
def test_a_list_of_videos_is_no_video(text: str) -> None:
    """FFmpeg knows lists of other files whatever their name, and read the files."""
    write_video(Path("ball.mp4"), five_a_second(moving_square()))
    for name in ("list.mkv", "list.mp4"):
        Path(name).write_text(text)
        with pytest.raises(DataError, match=rf"{name} cannot be read as a video"):
            Video(Path(name))


def test_frames_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(Path("ball.mp4"), five_a_second(moving_square()))
    height, width = next(iter(Video(Path("ball.mp4")))).pixels.shape[:2]
    monkeypatch.setattr(video, "MAX_PIXELS", height * width - 1)
    with pytest.raises(DataError, match=r"ball\.mp4 "):
        next(iter(Video(Path("ball.mp4"))))


def test_the_sample_of_a_long_video_is_evenly_spaced() -> None:
    with av.open("long.avi", "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuvj420p"
        for number in range(100):
            grey = np.full((16, 16, 3), 2 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    shades = [round(float(frame.mean()) / 2) for frame in Video(Path("long.avi")).sample()]
    assert shades == pytest.approx(list(range(0, 100, 8)), abs=1.5)


def test_a_video_becomes_a_video_of_depth() -> None:
    write_video(Path("ball.mp4"), five_a_second(moving_square()))
    assert run(Path("ball.mp4"), save=()) == [Path("out/ball_depth_color.mp4")]
    depth = Video(Path("out/ball_depth_color.mp4"))
    assert depth.rate == 5
    assert [frame.pixels.shape for frame in depth] == [(48, 64, 3)] * 6
    assert [frame.seconds for frame in depth] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert run(Path("ball.mp4"), save=()) == []


def test_other_formats_are_written_per_frame(photos: Path) -> None:
    write_video(photos / "ball.mp4", five_a_second(moving_square()))
    written = run(photos, save=("npy", "color"), frame_stride=2)
    assert Path("out/ball_depth_color.mp4") in written
    frames = [Path(f"out/ball/{number:06d}_depth.npy") for number in (0, 2, 4)]
    assert set(frames) < set(written)
    assert [np.load(frame).shape for frame in frames] == [(48, 64)] * 3
    assert len(list(Video(Path("out/ball_depth_color.mp4")))) == 3
    frames[1].unlink()
    assert run(photos, save=("npy", "color"), frame_stride=2) == [frames[1]]


def test_the_rotation_of_a_video_is_applied() -> None:
    write_video(Path("ball.mp4"), five_a_second(moving_square()))
    with av.open("ball.mp4") as source, av.open("phone.mp4", "w") as container:
        template = source.streams.video[0]
        stream = container.add_stream_from_template(template)
        for packet in source.demux(template):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    _rotate(Path("phone.mp4"))
    (first, *_) = Video(Path("phone.mp4"))
    assert first.pixels.shape == (64, 48, 3)


STEPS = [0.1 * n for n in range(10)] + [1 + 0.4 * n for n in range(10)]


@pytest.mark.parametrize(
    ("name", "codec"), [("phone.mkv", "libx264"), ("phone.mp4", "libx264"), ("tab.webm", "libvpx")]
)
def test_frames_keep_their_times_whatever_rate_the_file_claims(name: str, codec: str) -> None:
    """A browser's recording claims 1000 frames a second: 4.6 s of it became a video of .02 s."""
    millisecond = Fraction(1, 1000)
    with av.open(name, "w") as container:
        stream = container.add_stream("libvpx" if name == "tab.webm" else "libx264", rate=1000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = millisecond
        for seconds, pixels in zip(STEPS, [*moving_square(10), *moving_square(10)], strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(seconds / millisecond), millisecond
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert [frame.seconds for frame in Video(Path(name))] == pytest.approx(STEPS, abs=1e-3)
    write_video(Path("depth.mp4"), iter(Video(Path(name), frame_stride=2)))
    assert [frame.seconds for frame in Video(Path("depth.mp4"))] == pytest.approx(STEPS[::2], abs=2e-3)


def test_a_video_whose_size_changes_is_predicted_to_its_end(caplog: pytest.LogCaptureFixture) -> None:
    """A turned phone, or a call whose bandwidth changes, ended in a traceback."""
    for name, zoom in (("small.ts", 1), ("large.ts", 2)):
        with av.open(name, "w", format="mpegts") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.height, stream.width, stream.pix_fmt = 48 * zoom, 64 * zoom, "yuv420p"
            for pixels in moving_square():
                frame = av.VideoFrame.from_ndarray(pixels.repeat(zoom, 0).repeat(zoom, 1), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    Path("call.mpg").write_bytes(Path("small.ts").read_bytes() + Path("large.ts").read_bytes())
    assert run(Path("call.mpg"), save=("color",)) == [Path("out/call_depth_color.mp4")]
    depth = list(Video(Path("out/call_depth_color.mp4")))
    assert [frame.pixels.shape for frame in depth] == [(48, 64, 3)] * 12
    seconds = np.array([frame.seconds for frame in depth])
    assert (np.diff(seconds) > 0).all()
    assert "call.mpg: the size of the frames changes" in caplog.text


def _rotate(path: Path) -> None:
    """Rewrite the track's display matrix to a rotation by 90 degrees."""
    data = bytearray(path.read_bytes())
    upright = b"".join(value.to_bytes(4, "big") for value in (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30))
    at = data.index(upright, data.index(b"tkhd"))
    rotated = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    data[at : at + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in rotated)
    path.write_bytes(data)


def test_unusable_videos_are_refused_in_one_line(v2_root: Path) -> None:
    write_video(Path("ball.mp4"), five_a_second(moving_square()))
    Path("broken.mp4").write_bytes(b"not a video")
    Path("half.mp4").write_bytes(Path("ball.mp4").read_bytes()[:300])
    shutil.copy(v2_root / "Attic" / "audio" / "audio_1.wav", "sound.mp4")
    with av.open("sound.mkv", "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux([*stream.encode(frame), *stream.encode()])
    for name, message in (
        ("broken.mp4", "cannot be read as a video"),
        ("half.mp4", "cannot be read as a video"),
        ("sound.mp4", "cannot be read as a video: .*; MP4, MOV, MKV, WebM, AVI and MPEG are read"),
        ("sound.mkv", "is not a video: it has no video stream"),
    ):
        with pytest.raises(DataError, match=f"{name} {message}"):
            run(Path(name), save=())
    with pytest.raises(
        ConfigError, match=r"ball\.mp4 is a video, and its sound track does not hold the echoes of a chirp"
    ):
        run(Path("ball.mp4"), checkpoint="ears", out=Path("audio_out"))
    with pytest.raises(ConfigError, match=r"ball\.mp4: a contact sheet does not show videos: add color to --save"):
        run(Path("ball.mp4"), save=("sheet",))
    assert not Path("out").exists()

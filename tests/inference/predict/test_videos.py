"""Videos: read, written, and predicted frame by frame at their own times."""

import shutil
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from echodepth.core.errors import ConfigError, DataError
from echodepth.inference import predict_video, video
from echodepth.inference.video import TimedFrame, Video, write_video
from tests.inference.predict.command import run


def moving_square(frames: int = 6) -> list[np.ndarray]:
    """Frames of a white square that moves to the right over black."""
    video = np.zeros((frames, 48, 64, 3), np.uint8)
    for number in range(frames):
        video[number, 8:40, 8 * number : 8 * number + 20] = 255
    return list(video)


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
    with pytest.raises(DataError, match=r"ball\.mp4 has frames of 64x48 pixels, over the limit"):
        Video(Path("ball.mp4"))


def test_large_frames_are_drawn_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A video of 4K took 1.8 GB, most of it in the encoder: the depth maps keep their size, the drawing does not."""
    write_video(Path("ball.mp4"), five_a_second(moving_square()))
    monkeypatch.setattr(predict_video, "_DRAWN_SIDE", 32)
    monkeypatch.setattr(video, "_SAMPLED_SIDE", 32)
    assert [frame.shape for frame in Video(Path("ball.mp4")).sample()] == [(24, 32, 3)]
    run(Path("ball.mp4"), save=("color", "npy"))
    assert next(iter(Video(Path("out/ball_depth_color.mp4")))).pixels.shape == (24, 32, 3)
    assert np.load("out/ball/000000_depth.npy").shape == (48, 64)


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
        stream = container.add_stream_from_template(template, opaque=True)
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
        ("sound.mp4", "cannot be read as a video: .*; it was cut short, is damaged, or is none of MP4"),
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


def _with_picture(path: Path, is_cover: bool, is_first: bool, with_video: bool = True) -> Path:
    """A file of a picture of 96x128 and of five frames of 48x64, or of a tenth of a second of sound."""
    import av
    from av.stream import Disposition

    with av.open(str(path), "w") as out:

        def add_picture() -> av.VideoStream:
            picture = out.add_stream("mjpeg", rate=1)
            picture.width, picture.height, picture.pix_fmt = 128, 96, "yuvj420p"
            kind = Disposition.attached_pic if is_cover else Disposition.default
            picture.disposition = kind.value  # type: ignore[assignment]  # a number is what PyAV 14.2 takes
            return picture

        picture = add_picture() if is_first else None
        if with_video:
            video = out.add_stream("libx264", rate=10)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        else:
            sound = out.add_stream("aac", rate=44100)
        picture = picture or add_picture()
        out.mux(picture.encode(av.VideoFrame.from_ndarray(np.zeros((96, 128, 3), np.uint8), format="rgb24")))
        if with_video:
            for _ in range(5):
                out.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
            out.mux(video.encode())
        else:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 4410), np.float32), format="fltp", layout="mono")
            samples.rate = 44100
            out.mux(sound.encode(samples))
            out.mux(sound.encode())
        out.mux(picture.encode())
    return path


def test_a_cover_picture_is_no_video(caplog: pytest.LogCaptureFixture) -> None:
    """A song with a cover was predicted, as a video of one frame."""
    video = Video(_with_picture(Path("cover.mp4"), is_cover=True, is_first=True))
    assert [frame.pixels.shape for frame in video] == [(48, 64, 3)] * 5
    assert not caplog.text
    with pytest.raises(DataError, match=r"song\.mp4 is not a video: it has no video stream"):
        Video(_with_picture(Path("song.mp4"), is_cover=True, is_first=False, with_video=False))


def test_further_video_streams_are_announced(caplog: pytest.LogCaptureFixture) -> None:
    Video(_with_picture(Path("two.mkv"), is_cover=False, is_first=True))
    assert "two.mkv: the first of its 2 video streams is read" in caplog.text

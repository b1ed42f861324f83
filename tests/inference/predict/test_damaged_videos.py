"""Videos that were cut short, damaged or trimmed: what can be decoded is predicted, and what is missing is said."""

import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from echodepth.core.errors import DataError
from echodepth.inference.video import Video
from tests.inference.predict.command import run
from tests.inference.predict.test_videos import moving_square


def cut_video(name: str, bytes_left: float, codec: str = "libx264", **container_options: str) -> Path:
    """Write 20 frames of noise, 2 s, and keep a share of the file."""
    with av.open(name, "w", options=container_options) as container:
        stream: Any = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), dtype=np.uint8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    content = Path(name).read_bytes()
    Path(name).write_bytes(content[: round(bytes_left * len(content))])
    return Path(name)


@pytest.mark.parametrize(
    ("name", "codec", "options", "message"),
    [
        ("a.mp4", "libx264", {"movflags": "faststart"}, r"(\d+) of 20 frames can be decoded, to [01]\.\d of 2\.0 s"),
        ("a.mov", "mpeg4", {"movflags": "faststart"}, r"(\d+) of 20 frames can be decoded, to [01]\.\d of 2\.0 s"),
        ("a.mkv", "libx264", {}, r"(\d+) frames can be decoded, to [01]\.\d of 2\.0 s"),
        ("a.webm", "libvpx", {}, r"(\d+) frames can be decoded, to [01]\.\d of 2\.0 s"),
        ("a.avi", "mpeg4", {}, r"(\d+) of 20 frames can be decoded"),
    ],
)
def test_a_video_that_was_cut_short_is_predicted_and_said(
    name: str, codec: str, options: dict[str, str], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A cut MKV ended without a word, and a cut MP4 with its frames half written."""
    assert len(list(Video(cut_video(name, 1, codec, **options)))) == 20
    assert not caplog.messages
    video = Video(cut_video(name, 0.6, codec, **options))
    frames = len(list(video))
    assert 2 < frames < 15
    assert video.sample()
    (line,) = caplog.messages  # and none for the sample
    found = re.search(rf"{name}: {message}.*: it was cut short or is damaged", line)
    assert found
    assert int(found[1]) == frames


def test_all_frames_before_a_damaged_one_are_read(caplog: pytest.LogCaptureFixture) -> None:
    """Threads that decode a frame each lost those before a cut, or all of them."""
    path = cut_video("a.mp4", 0.6, movflags="faststart")
    with av.open("a.mp4") as container:
        sizes = [packet.size for packet in container.demux(video=0) if packet.size]
    assert len(list(Video(path))) == len(sizes) - 1
    with av.open("whole.mov", "w") as container:
        stream = container.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        for frame in moving_square():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
    content = Path("whole.mov").read_bytes()
    third = [found.start() for found in re.finditer(b"\x89PNG", content)][2]
    Path("hole.mov").write_bytes(content[:third] + bytes(40) + content[third + 40 :])
    caplog.clear()
    assert len(list(Video(Path("hole.mov")))) == 5
    assert "hole.mov: 5 of 6 frames can be decoded: it was cut short or is damaged" in caplog.text


def test_a_video_that_was_trimmed_is_whole(caplog: pytest.LogCaptureFixture) -> None:
    """Phones trim a video by a list of what is shown: without its only key frame, it was said to have no frames."""
    content = cut_video("a.mp4", 1).read_bytes()
    shown = content.index(b"elst") + 12
    half = (1000).to_bytes(4, "big") + (12_493).to_bytes(4, "big")  # 1 s from 1.02 s on: the first frame begins at .2 s
    Path("a.mp4").write_bytes(content[:shown] + half + content[shown + 8 :])
    video = Video(Path("a.mp4"))
    assert 9 <= len(list(video)) <= 10
    assert len(video.sample()) == len(list(video))
    assert not caplog.messages


def test_a_video_that_ends_before_its_sound_is_whole(caplog: pytest.LogCaptureFixture) -> None:
    with av.open("a.mkv", "w") as container:
        stream, sound = container.add_stream("libx264", rate=10), container.add_stream("pcm_s16le", rate=8000)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for pixels in moving_square():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 32_000), np.int16), format="s16", layout="mono")
        silence.rate = 8000
        container.mux([*sound.encode(silence), *sound.encode()])
    assert len(list(Video(Path("a.mkv")))) == 6
    assert not caplog.messages


def test_one_missing_frame_of_an_avi_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """What FFmpeg takes for its duration is shorter in a shorter file."""
    content = cut_video("a.avi", 1, "mpeg4").read_bytes()
    Path("a.avi").write_bytes(content[: content.rindex(b"00dc", 0, content.rindex(b"idx1"))])
    assert len(list(Video(Path("a.avi")))) == 19
    assert "a.avi: 19 of 20 frames can be decoded" in caplog.text


def test_a_video_of_which_no_frame_is_left_is_refused() -> None:
    content = cut_video("a.mp4", 1, movflags="faststart").read_bytes()
    start = content.index(b"mdat")
    Path("none.mp4").write_bytes(content[: start + 4] + bytes(len(content) - start - 4))
    for save in (("npy",), ("color",)):
        with pytest.raises(DataError, match=r"none\.mp4 has no frames"):
            run(Path("none.mp4"), save=save)
    assert not list(Path("out").rglob("*.*"))

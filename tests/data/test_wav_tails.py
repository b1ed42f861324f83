"""What lies behind the samples of a WAV file: tags are passed over, and sound that is not read is said."""

import io
import logging
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from echodepth.data import audio
from echodepth.data.audio import read_wav
from echodepth.data.wav_layout import find_samples
from tests.data.test_wav_files import (
    LIST,
    PLAIN,
    SAMPLES,
    TAGS,
    WAVE,
    chunk,
    data,
    extensible,
    fmt,
    integers,
    rf64,
    riff,
    stored,
)


@pytest.fixture(autouse=True)
def nothing_said_yet() -> Iterator[None]:
    audio._remarked.clear()
    yield
    audio._remarked.clear()


FIRST, REST = SAMPLES[:1000], SAMPLES[1000:]  # 250 frames and 1004 bytes
DEEP, FLOATS = stored(24, 3), WAVE.astype("<f4").tobytes()
UNREAD = {
    "sound behind": (riff(fmt() + data(FIRST)) + REST, "1004 bytes behind"),
    "where RIFF counts its own 8 bytes": (riff(fmt() + data(FIRST), 1044) + REST, "1004 bytes behind"),
    "in RF64": (rf64(fmt() + data(FIRST, 2**32 - 1), 1000) + REST, "1004 bytes behind"),
    "in extensible": (riff(extensible(16, 16) + data(FIRST)) + REST, "1004 bytes behind"),
    "in RIFX": (
        b"RIFX"
        + struct.pack(">I4s4sIHHIIHH4sI", 1036, b"WAVE", b"fmt ", 16, 1, 2, 44100, 176400, 4, 16, b"data", 1000)
        + integers(16).astype(">i2").tobytes(),
        "1004 bytes behind",
    ),
    "of floats": (riff(fmt(32, 4, 3) + data(FLOATS[:2000])) + FLOATS[2000:], "2008 bytes behind"),
    "of 24 bits": (riff(fmt(24, 3) + data(DEEP[:1500])) + DEEP[1500:], "1506 bytes behind"),
    "odd and padded": (riff(fmt(24, 3) + data(DEEP[:1503]) + b"\0") + DEEP[1503:], "1503 bytes behind"),
    "odd, its pad byte not counted": (riff(fmt(24, 3) + data(DEEP[:1503])) + b"\0" + DEEP[1503:], "1503 bytes behind"),
    "before zeros": (riff(fmt() + data(FIRST)) + REST + bytes(80_000), "81004 bytes behind"),
    "behind tags": (riff(fmt() + data(FIRST) + LIST) + REST, "1004 bytes behind"),
    "before tags": (riff(fmt() + data(FIRST)) + REST + LIST, f"{1004 + len(LIST)} bytes behind"),
    "behind zeros": (riff(fmt() + data(FIRST)) + bytes(80_000) + REST, "81004 bytes behind"),
    "text": (riff(fmt() + data(FIRST)) + 999 * b"TAG!", "3996 bytes behind"),
    "second chunk": (riff(fmt() + data(FIRST) + data(REST)), "more than one data chunk: .* the 1004 bytes"),
    "second chunk, not counted": (riff(fmt() + data(FIRST)) + data(REST), "more than one .* the 1004 bytes"),
    "second chunk behind tags": (riff(fmt() + data(FIRST) + TAGS + data(REST)), "more than one .* the 1004 bytes"),
    "second chunk that was cut": (riff(fmt() + data(FIRST) + data(REST, 9999)), "more than one .* the 1004 bytes"),
    "second chunk of RF64": (rf64(fmt() + data(FIRST, 2**32 - 1) + data(REST), 1000), "more than one data chunk"),
    "third chunk": (riff(fmt() + data(FIRST) + data(REST) + data(FIRST)), "more than one .* the 2004 bytes"),
    "file behind the file": (riff(fmt() + data(FIRST)) + PLAIN, f"more than one .* the {len(PLAIN) - 8} bytes"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREAD)
def test_sound_that_is_not_read_is_said(case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A recorder lost power after its header was last written: the sound behind the sizes was dropped without a word.

    Files with a second data chunk ended with "SF_INFO struct incomplete".
    """
    content, what = UNREAD[case]
    (tmp_path / "a.wav").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        samples, _ = read_wav(tmp_path / "a.wav")
        read_wav(tmp_path / "a.wav")
    assert samples.shape[1] in (250, 251)
    np.testing.assert_allclose(samples, WAVE.T[:, : samples.shape[1]], atol=2e-4)
    (message,) = caplog.messages
    assert re.search(rf"a\.wav has {what}", message)


def test_the_tenth_file_of_a_set_is_the_last_that_is_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for number in range(12):
            (tmp_path / f"{number}.wav").write_bytes(UNREAD["sound behind"][0])
            read_wav(tmp_path / f"{number}.wav")
    assert len(caplog.messages) == 10
    assert ["further such files" in message for message in caplog.messages] == [False] * 9 + [True]


def test_thousands_of_chunks_are_followed_once() -> None:
    """Behind a wrong data size every chunk was followed to the end of the file: 72 kB took 16 s."""
    reads = 0

    class Counted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            nonlocal reads
            reads += 1
            return super().read(size)

    chunks = 2000 * chunk(b"LIST", b"")
    layout = find_samples(Counted(riff(fmt() + data(SAMPLES, 0) + chunks, 0) + b"\1\2\3"), "a.wav")
    assert layout.size == (len(SAMPLES) + len(chunks) + 3) // 4 * 4  # the chunks do not end with the file
    assert reads < 3 * 2000

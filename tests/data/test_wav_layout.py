"""Where the samples of a WAV file lie: what libsndfile reads right by itself, and how far chunks are sought."""

import io
import struct

import numpy as np
import pytest
import soundfile

from echodepth.core.errors import DataError
from echodepth.data.records import StoredFile
from echodepth.data.wav_file import load_recording
from echodepth.data.wav_layout import WavLayout, find_samples
from tests.data.test_wav_files import LIST, PLAIN, SAMPLES, N, chunk, data, extensible, fmt, integers, riff, stored

PEAK = chunk(b"PEAK", bytes(24))
BIG_ENDIAN = struct.pack(
    ">4sI4s4sIHHIIHH4sI", b"RIFX", N + 36, b"WAVE", b"fmt ", 16, 1, 2, 44100, 176400, 4, 16, b"data", N
) + integers(16).astype(">i2").tobytes()  # fmt: skip


def layout_of(content: bytes) -> WavLayout:
    return find_samples(io.BytesIO(content), "a.wav")


@pytest.mark.parametrize(
    "content",
    [
        *(PLAIN, PLAIN + b"\0", BIG_ENDIAN, riff(fmt() + data(SAMPLES), len(PLAIN))),
        *(riff(fmt() + PEAK + data(SAMPLES)), riff(fmt(24, 3) + data(stored(24, 3)))),
        riff(fmt(8, 8, 2) + data(bytes(80))),
    ],
)  # fmt: skip
def test_a_sound_file_is_handed_to_libsndfile_as_it_is(content: bytes) -> None:
    assert layout_of(content).exact


@pytest.mark.parametrize(
    "content",
    [
        *(PLAIN + b"\0\0", PLAIN[:-1], riff(fmt() + data(SAMPLES), len(PLAIN) - 9), riff(data(SAMPLES) + fmt())),
        *(riff(LIST + fmt() + data(SAMPLES)), riff(fmt() + LIST + data(SAMPLES)), riff(fmt() + data(SAMPLES) + LIST)),
        *(riff(fmt() + data(SAMPLES, N - 4)), riff(fmt() + data(SAMPLES, N + 4)), riff(fmt() + fmt() + data(SAMPLES))),
        *(riff(fmt() + data(b"") + data(SAMPLES)), riff(fmt() + chunk(b"PEAK", b"abc")[:-1] + data(SAMPLES))),
        *(riff(fmt() + data(SAMPLES), magic=b"RF64"), riff(fmt(24, 4) + data(stored(24, 4)))),
    ],
)  # fmt: skip
def test_a_file_that_libsndfile_may_read_otherwise_is_given_exact_sizes(content: bytes) -> None:
    assert not layout_of(content).exact


def test_exact_sizes_are_those_of_a_file_that_was_written_at_once() -> None:
    for content, whole in (
        (riff(fmt() + data(SAMPLES, 0), 0), PLAIN),
        (BIG_ENDIAN + b"\0\0", BIG_ENDIAN),
        (riff(fmt(extra=b"\0") + b"\0" + data(SAMPLES, 0)), riff(fmt(extra=b"\0") + b"\0" + data(SAMPLES))),
        (riff(fmt(24, 4) + data(stored(24, 4))), riff(fmt(32, 4) + data(stored(24, 4)))),
    ):
        assert layout_of(content).with_exact_sizes(io.BytesIO(content)).getvalue() == whole


def test_a_size_that_is_no_placeholder_tells_how_much_is_missing() -> None:
    for declared, missing in ((N + 64, 0), (N + 65, 65), (0x7F000000 - 1, 0x7F000000 - 1 - N), (0x7F000000, 0)):
        assert layout_of(riff(fmt() + data(SAMPLES, declared))).missing == missing


def test_samples_that_look_like_tags_are_samples_where_the_sizes_agree() -> None:
    layout = layout_of(riff(fmt() + data(SAMPLES[: -len(LIST)] + LIST)))
    assert (layout.size, layout.further, layout.uncounted) == (N, 0, 0)


def test_the_size_counts_of_samples_behind_tags_of_a_wrong_size() -> None:
    content = riff(b"LIST" + struct.pack("<I", 9999) + b"INFO" + fmt() + data(SAMPLES))
    assert layout_of(content[:-402]).missing == 402


def test_a_block_of_one_byte_is_enough_for_compressed_sound() -> None:
    """Of 8 bits in one channel, as telephones send them: not its bytes are wrong, but the lack of an ear."""
    written = io.BytesIO()
    soundfile.write(written, np.zeros(100), 8000, format="WAV", subtype="ALAW")
    with pytest.raises(DataError, match=r"a\.wav has 1 channel: two are needed"):
        load_recording(StoredFile("a.wav", written.getvalue()))


def test_chunks_are_sought_in_64_kib_and_followed_ten_thousand_times() -> None:
    """All of a large file would be searched for the chunks behind a damaged size."""
    for before in (65_536 - 28, 65_536 - 27):  # the format's chunk has 24 bytes, and the name behind it 4
        content = riff(b"LIST" + b"\xff" * (before - 4) + fmt() + data(SAMPLES))
        if before == 65_536 - 28:
            assert layout_of(content).size == N
    with pytest.raises(DataError, match=r"a\.wav cannot be read as audio: it has no samples"):
        layout_of(content)
    for before in (9998, 9999):
        content = riff(before * chunk(b"LIST", b"") + fmt() + data(SAMPLES))
        if before == 9998:
            assert layout_of(content).size == N
    with pytest.raises(DataError, match=r"a\.wav cannot be read as audio: it has no samples"):
        layout_of(content)


@pytest.mark.parametrize(
    ("header", "bits"),
    [
        *((fmt(16, 2), (16, 16)), (fmt(24, 4), (32, 24)), (fmt(0, 4), (32, 32)), (fmt(32, 4, 3), None)),
        *((fmt(16, 8), (64, 16)), (fmt(1, 4), (32, 1))),
        (fmt(32, 4, 0xFFFE, struct.pack("<HHIH", 22, 20, 3, 1)), (32, 20)),
        *((extensible(32, 20), (32, 20)), (extensible(32, 0), (32, 32)), (extensible(32, 33), (32, 32))),
        *((extensible(32, 32, 3), None), (fmt(16, 2, 0xFFFE), None)),
    ],
)
def test_bits_that_samples_occupy_and_use(header: bytes, bits: tuple[int, int] | None) -> None:
    assert layout_of(riff(header + data(bytes(80)))).sample_bits == bits

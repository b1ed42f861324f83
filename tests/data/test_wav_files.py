"""WAV files as recorders leave them: samples that are all there are read, whatever the size fields claim."""

import io
import logging
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echodepth.core.errors import DataError
from echodepth.data import audio, wav_file
from echodepth.data.audio import read_wav
from echodepth.data.records import StoredFile
from echodepth.data.wav_file import load_recording
from echodepth.data.wav_layout import WavLayout

FRAMES = 501
"""Odd, so that 24 bits of mono would end at an odd byte, and more than any tolerated excess of a size field."""
WAVE = 0.5 * np.sin(np.outer(np.arange(FRAMES), [0.1, 0.13]))
GUID = b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
LIST = b"LIST" + struct.pack("<I", 26) + b"INFOISFT\x0e\0\0\0Lavf61.7.100\0\0"
ODD_LIST = b"LIST" + struct.pack("<I", 13) + b"INFOISFT\x01\0\0\0a"
PLACEHOLDERS = (0, 0x7F000000, 0x7FFFFFFF, 0x7FFFF000, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFF - 36)


@pytest.fixture(autouse=True)
def nothing_said_yet() -> Iterator[None]:
    audio._remarked.clear()
    yield
    audio._remarked.clear()


def integers(bits: int, shift: int = 0) -> np.ndarray:
    whole: np.ndarray = np.round((2 ** (bits - 1) - 1) * WAVE).astype("<i4") << shift
    return whole


def stored(bits: int, width: int, shift: int = 0) -> bytes:
    """Samples of ``bits`` bits in ``width`` bytes each, little-endian."""
    return integers(bits, shift).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :width].tobytes()


def fmt(bits: int = 16, width: int = 2, tag: int = 1, extra: bytes = b"") -> bytes:
    body = struct.pack("<HHIIHH", tag, 2, 44100, 44100 * 2 * width, 2 * width, bits) + extra
    return b"fmt " + struct.pack("<I", len(body)) + body


def extensible(bits: int, valid: int, subformat: int = 1) -> bytes:
    return fmt(bits, bits // 8, 0xFFFE, struct.pack("<HHIH", 22, valid, 3, subformat) + GUID)


def data(payload: bytes, size: int | None = None) -> bytes:
    return b"data" + struct.pack("<I", len(payload) if size is None else size) + payload


def riff(chunks: bytes, size: int | None = None, magic: bytes = b"RIFF") -> bytes:
    return magic + struct.pack("<I", len(chunks) + 4 if size is None else size) + b"WAVE" + chunks


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def rf64(chunks: bytes, size: int) -> bytes:
    sizes = chunk(b"ds64", struct.pack("<QQQI", len(chunks) + 40, size, 0, 0))
    return riff(sizes + chunks, 2**32 - 1, b"RF64")


ID3 = b"ID3\3\0\0\0\0\1\x00" + bytes(range(128))
TAGS = chunk(b"id3 ", ID3) + chunk(b"_PMX", b"<x:xmpmeta/>!")
SAMPLES = stored(16, 2)
PLAIN = riff(fmt() + data(SAMPLES))
N = len(SAMPLES)
WHOLE = {
    "plain": PLAIN,
    "RIFF size of the file": riff(fmt() + data(SAMPLES), len(PLAIN)),
    "RIFF size 0": riff(fmt() + data(SAMPLES), 0),
    "RIFF size too small": riff(fmt() + data(SAMPLES), len(PLAIN) - 24),
    **{f"stream {size:#x}": riff(fmt() + data(SAMPLES, size), (size + 36) % 2**32) for size in PLACEHOLDERS},
    **{f"stream {size:#x} with tags": riff(LIST + fmt() + data(SAMPLES, size) + LIST) for size in PLACEHOLDERS},
    **{f"{more} bytes too many": riff(fmt() + data(SAMPLES, N + more)) for more in (1, 2, 8, 16, 36, 44, 64)},
    **{f"{more} too many before tags": riff(fmt() + data(SAMPLES, N + more) + LIST) for more in (8, 36, 44)},
    "streamed before empty tags": riff(fmt() + data(SAMPLES, 0x7FFFFFFF) + chunk(b"LIST", b"")),
    "streamed before tags that lack a byte": riff(fmt() + data(SAMPLES, 0x7FFFFFFF) + LIST[:-1]),
    "data size of the file": riff(LIST + fmt() + data(SAMPLES, N + len(LIST) + 44)),
    "half the data size": riff(fmt() + data(SAMPLES, N // 2)),
    "byte behind": PLAIN + b"\0",
    "tags before": riff(LIST + fmt() + data(SAMPLES)),
    "tags between": riff(fmt() + LIST + data(SAMPLES)),
    "tags behind": riff(fmt() + data(SAMPLES) + LIST),
    "odd tags, padded": riff(ODD_LIST + b"\0" + fmt() + data(SAMPLES)),
    "odd tags, no pad": riff(ODD_LIST + fmt() + data(SAMPLES)),
    "odd tags between, no pad": riff(fmt() + ODD_LIST + data(SAMPLES)),
    "odd tags behind, no pad": riff(fmt() + data(SAMPLES) + ODD_LIST),
    "bext, id3 and XMP behind": riff(fmt() + data(SAMPLES) + chunk(b"bext", bytes(602)) + TAGS),
    "the same, which no size counts": PLAIN + TAGS,
    "a chunk that no one knows behind": riff(fmt() + data(SAMPLES) + chunk(b"LGWV", 99 * b"q")),
    "chunks that libsndfile refuses behind": riff(fmt() + data(SAMPLES) + chunk(b"PEAK", b"\1")),
    "ID3v2 tag without a chunk": PLAIN + ID3,
    "ID3v1 tag without a chunk": PLAIN + b"TAG" + bytes(range(125)),
    "APE tag without a chunk": PLAIN + b"APETAGEX" + bytes(range(200)),
    "16 frames behind, which no size counts": PLAIN + bytes(range(64)),
    "block of zeros behind": PLAIN + bytes(4096),
    "empty data chunk before": riff(fmt() + data(b"") + data(SAMPLES)),
    "empty data chunk and tags before": riff(fmt() + data(b"") + LIST + data(SAMPLES)),
    "empty data chunk behind": riff(fmt() + data(SAMPLES) + data(b"")),
    "tags with a wrong size": riff(b"LIST" + struct.pack("<I", 9999) + b"INFO" + fmt() + data(SAMPLES)),
    "word data in the tags": riff(b"LIST" + struct.pack("<I", 12) + b"INFOdata\x04\0\0\0" + fmt() + data(SAMPLES)),
    "the same of odd size, no pad": riff(b"LIST\x0d\0\0\0INFOdata\x04\0\0\0a" + fmt() + data(SAMPLES)),
    "fmt of 17 bytes, streamed": riff(fmt(extra=b"\0") + b"\0" + data(SAMPLES, 0)),
    "fmt of 18 bytes": riff(fmt(extra=b"\0\0") + data(SAMPLES)),
    "data before fmt": riff(data(SAMPLES) + fmt()),
    "RF64": b"RF64\xff\xff\xff\xffWAVEds64"
    + struct.pack("<IQQQI", 28, N + 72, N, N // 4, 0)
    + fmt()
    + data(SAMPLES, 2**32 - 1)
    + LIST,
    "RF64 of the largest size": riff(
        b"ds64" + struct.pack("<IQQQI", 28, 2**64 - 1, 2**64 - 1, 0, 0) + fmt() + data(SAMPLES, 2**32 - 1), 0, b"RF64"
    ),
    "BW64 of no size": riff(b"ds64" + b"\x1c\0\0\0" + bytes(28) + fmt() + data(SAMPLES, 2**32 - 1), 0, b"BW64"),
    "RIFX": b"RIFX"
    + struct.pack(">I4s4sIHHIIHH4sI", N + 36, b"WAVE", b"fmt ", 16, 1, 2, 44100, 176400, 4, 16, b"data", N + 16)
    + integers(16).astype(">i2").tobytes(),
    "24 in 24": riff(fmt(24, 3) + data(stored(24, 3))),
    "extensible 24 in 24": riff(extensible(24, 24) + data(stored(24, 3), 0)),
    "extensible 24 at the high end of 32": riff(extensible(32, 24) + data(stored(24, 4, 8))),
    "extensible float": riff(extensible(32, 32, 3) + data(WAVE.astype("<f4").tobytes(), 2**31 - 1)),
    "float of 64": riff(fmt(64, 8, 3) + data(WAVE.astype("<f8").tobytes(), 0)),
}  # fmt: skip


@pytest.mark.parametrize("case", WHOLE)
def test_a_file_whose_samples_are_all_there_is_read_whole(case: str, tmp_path: Path) -> None:
    """Files that every player plays were called corrupt or empty, or lost their last samples to wrong size fields."""
    (tmp_path / "a.wav").write_bytes(WHOLE[case])
    for file in (tmp_path / "a.wav", StoredFile("a.wav", WHOLE[case])):
        recording = load_recording(file)
        assert recording.samples.shape == (2, FRAMES)
        np.testing.assert_allclose(recording.samples, WAVE.T, atol=2e-4)
        assert (recording.rate, recording.remarks) == (44100, {})


def test_a_file_that_was_cut_short_says_how_much_is_missing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.wav").write_bytes(PLAIN[: len(PLAIN) - 402])
    samples, _ = read_wav(tmp_path / "a.wav")
    assert samples.shape == (2, FRAMES - 101)  # 400 bytes are 100 frames; the cut one has two bytes left
    assert "a.wav is truncated: 402 bytes of its samples are missing" in caplog.text
    (tmp_path / "a.wav").write_bytes(PLAIN[: len(PLAIN) - 100])
    assert "100 bytes" in load_recording(tmp_path / "a.wav").remarks["corrupt"]
    for end in (12, 30, 40):
        (tmp_path / "a.wav").write_bytes(PLAIN[:end])
        with pytest.raises(DataError, match=r"a\.wav cannot be read as audio: it has no (samples|format)"):
            read_wav(tmp_path / "a.wav")
    (tmp_path / "a.wav").write_bytes(riff(fmt() + data(b"") + LIST))
    with pytest.raises(DataError, match="holds no samples"):
        read_wav(tmp_path / "a.wav")


@pytest.mark.parametrize("header", [fmt(16, 1), fmt(24, 2), fmt(16, 0), fmt(32, 3, 3), fmt(20, 2)])
def test_a_header_whose_samples_have_too_few_bytes_is_refused(header: bytes, tmp_path: Path) -> None:
    """16 bits in one byte were read as twice as many samples of 8 bits, which are noise."""
    (tmp_path / "a.wav").write_bytes(riff(header + data(SAMPLES)))
    with pytest.raises(
        DataError, match=r"a\.wav cannot be read as audio: its header says that 2 samples of \d+ bits have"
    ):
        read_wav(tmp_path / "a.wav")


@pytest.mark.parametrize("width", [9, 100, 8192, 32767])
def test_a_header_that_claims_huge_samples_is_one_line(width: int, tmp_path: Path) -> None:
    """A damaged block size ended in an error of struct, as no 16 bits hold so many bits per sample."""
    (tmp_path / "a.wav").write_bytes(riff(fmt(16, width) + data(bytes(8 * width))))
    with pytest.raises(DataError, match=rf"a\.wav cannot be read as audio: .* a sample has {8 * width} bits"):
        read_wav(tmp_path / "a.wav")


LOW = {
    "arecord -f S24_LE up to 1.2.11": (riff(fmt(24, 4) + data(stored(24, 4))), 48),
    "arecord -f S24_LE since 1.2.12": (riff(fmt(32, 4) + data(stored(24, 4))), 48),
    "the same to a pipe": (riff(fmt(32, 4) + data(stored(24, 4), 0x80000000)), 48),
    "extensible 24 at the low end of 32": (riff(extensible(32, 24) + data(stored(24, 4))), 48),
    "20 at the low end of 32": (riff(extensible(32, 20) + data(stored(20, 4))), 72),
    "20 at the low end of 24": (riff(fmt(20, 3) + data(stored(20, 3))), 24),
    "23 at the low end of 24": (riff(fmt(23, 3) + data(stored(23, 3))), 6),
    "16 at the low end of 32": (riff(fmt(16, 4) + data(stored(16, 4))), 96),
    "24 at the low end of 32, whose header names no bits": (riff(fmt(0, 4) + data(stored(24, 4))), 48),
}


@pytest.mark.parametrize("case", LOW)
def test_samples_at_the_low_end_of_their_bytes_are_read_at_their_level(
    case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """ALSA's S24_LE has its 24 bits at the low end of 32: such recordings were read 48 dB too quiet."""
    content, decibels = LOW[case]
    (tmp_path / "a.wav").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        samples, _ = read_wav(tmp_path / "a.wav")
        read_wav(tmp_path / "a.wav")
    np.testing.assert_allclose(samples, WAVE.T, atol=2e-4)
    assert len(caplog.messages) == 1  # not for each of a thousand files
    assert f"a.wav is read {decibels} dB louder than its header says" in caplog.text


@pytest.mark.parametrize(("subtype", "gain"), [("PCM_16", 0.01), ("PCM_24", 1e-3), ("FLOAT", 1e-3), ("PCM_32", 0.02)])
def test_quiet_recordings_stay_quiet(subtype: str, gain: float, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", gain * WAVE, 44100, subtype=subtype)
    recording = load_recording(tmp_path / "a.wav")
    np.testing.assert_allclose(recording.samples, gain * WAVE.T, atol=1 / 32768)
    assert recording.remarks == {}


def test_a_quiet_recording_of_24_bits_at_the_high_end_of_32_stays_quiet(tmp_path: Path) -> None:
    """As our simulator and most converters store it: the lowest 8 bits are 0, however quiet it is."""
    quiet = np.round(1e-3 * 2**23 * WAVE).astype("<i4") << 8
    for header in (fmt(32, 4), fmt(24, 4), extensible(32, 24)):
        (tmp_path / "a.wav").write_bytes(riff(header + data(quiet.tobytes())))
        recording = load_recording(tmp_path / "a.wav")
        np.testing.assert_allclose(recording.samples, 1e-3 * WAVE.T, atol=2**-23)
        assert recording.remarks == {}


def test_flac_of_unknown_length_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FLAC that was written to a pipe does not say how many samples follow."""
    written = io.BytesIO()
    soundfile.write(written, WAVE, 44100, format="FLAC", subtype="PCM_24")
    content = bytearray(written.getvalue())
    content[21] &= 0xF0  # the 36 bits of STREAMINFO's number of samples
    content[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(content)
    for file in (tmp_path / "a.flac", StoredFile("a.flac", bytes(content))):
        np.testing.assert_allclose(load_recording(file).samples, WAVE.T, atol=1e-6)
    monkeypatch.setattr(wav_file, "LONGEST_SAMPLES", FRAMES - 1)
    with pytest.raises(DataError, match=rf"a\.flac has {FRAMES} samples"):
        load_recording(tmp_path / "a.flac")


def test_ten_seconds_to_a_pipe_are_read() -> None:
    """Their bytes exceed the number of samples of the longest recording."""
    samples = np.zeros(1_000_002, "<i2").tobytes()
    assert load_recording(StoredFile("a.wav", riff(fmt() + data(samples, 0)))).samples.shape == (2, 500_001)


def test_a_wav_file_of_unknown_length_is_refused_before_it_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wav_file, "LONGEST_SAMPLES", FRAMES - 1)
    monkeypatch.setattr(WavLayout, "with_exact_sizes", lambda *_: pytest.fail("the samples were copied"))
    with pytest.raises(DataError, match=rf"a\.wav has {FRAMES} samples"):
        load_recording(StoredFile("a.wav", riff(fmt() + data(SAMPLES, 0))))


def test_sound_on_one_side_of_zero_and_a_single_used_bit_decide_the_level() -> None:
    """Only the loudest sample of either sign, and every one of the lowest bits, say where 24 bits of 32 lie."""
    low = -np.abs(integers(32)).astype("<i4") | 1
    recording = load_recording(StoredFile("a.wav", riff(fmt(32, 4) + data(low.tobytes()))))
    np.testing.assert_allclose(recording.samples, -np.abs(WAVE.T), atol=1e-6)
    assert recording.remarks == {}
    faint = np.array([1, 256, *[256] * (2 * FRAMES - 2)], "<i4")
    recording = load_recording(StoredFile("a.wav", riff(fmt(32, 4) + data(faint.tobytes()))))
    assert recording.samples[:, 0].tolist() == [2**-23, 2**-15]
    assert "48 dB louder" in recording.remarks["audio level"]

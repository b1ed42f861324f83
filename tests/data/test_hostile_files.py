"""Files that are not what their names or headers say: one line, before anything is run, allocated or resampled."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echodepth.apps.convert.convert import read_depth
from echodepth.apps.demo.backend import DemoInput, display_shape
from echodepth.core.errors import ConfigError, DataError
from echodepth.data import arrays
from echodepth.data.arrays import LARGEST_ARRAY, array_shape, read_array
from echodepth.data.audio import AudioCut, read_ear_arrays, read_wav
from echodepth.data.images import (
    read_depth_array,
)
from echodepth.data.records import StoredFile
from echodepth.data.wav_file import LONGEST_SAMPLES

pytestmark = pytest.mark.usefixtures("little_memory")


def npy(shape: tuple[object, ...], descr: str = "<f4", data: bytes = bytes(16)) -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape!r}, }}"
    text = (header + " " * (63 - (10 + len(header)) % 64) + "\n").encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def archive() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        *(npy((10**6, 10**6)), npy((4096, 4097)), npy((5,)), npy((10**30,)), npy((-4,)), npy(("a",))),
        npy((True,) * 70),
        *(npy((2, 2), "<c8", bytes(32)), npy((1, 1), "<f16", bytes(16))),
        *(npy((2, 2), "|O"), npy((1,), "|S16"), npy((4,), "<f4", b""), b"", b"\x93NUMPY\x09\x00", archive()),
        *(b"\x93NUMPY\x01\x00" + struct.pack("<H", 60_000) + 50_000 * b"(", b"\x80\x04K\x01."),
    ],
    ids=lambda data: repr(data[10:40]),
)  # fmt: skip
def test_the_header_of_an_array_is_checked_before_it_is_read(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    for read in (
        *(read_array, array_shape, read_depth_array, lambda file: read_ear_arrays(file, file)),
        lambda file: read_depth(file, "mm"),
        lambda file: display_shape(DemoInput(ground_truth=file), []),
    ):
        with pytest.raises(DataError, match=r"a\.npy cannot be read as a NumPy array: "):
            read(path)
    with pytest.raises(DataError, match=r"a\.npy cannot be read as a NumPy array: "):
        read_array(StoredFile("a.npy", data))


@pytest.mark.parametrize("dtype", ["uint16", "float64", ">i4", "bool"])
def test_arrays_come_back_as_they_were_saved(dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.asfortranarray(np.arange(12).reshape(3, 4).astype(dtype))
    np.save(tmp_path / "a.npy", array)
    for file in (tmp_path / "a.npy", StoredFile("a.npy", (tmp_path / "a.npy").read_bytes())):
        np.testing.assert_array_equal(read_array(file), array)
        assert array_shape(file) == (3, 4)
    monkeypatch.setattr(arrays, "LARGEST_ARRAY", 11)
    with pytest.raises(DataError, match="claims 12 numbers, more than 11"):
        read_array(tmp_path / "a.npy")
    assert LARGEST_ARRAY == 4096**2


def wav(path: Path, rate: int, frames: int = 1000, channels: int = 2) -> Path:
    soundfile.write(path, np.zeros((frames, channels), np.int16), rate, format="WAV", subtype="PCM_16")
    return path


@pytest.mark.parametrize("rate", [1, 7, 3999, 384_001, 2_000_000_000])
def test_a_rate_that_no_recording_has_is_refused(rate: int, tmp_path: Path) -> None:
    """240 kB of sound "at 7 Hz" became 380 million samples: the demo's only worker was held for four minutes."""
    with pytest.raises(DataError, match=r"a\.wav has a sample rate of .* Hz: recordings of 4000 to 384000"):
        read_wav(wav(tmp_path / "a.wav", rate))


@pytest.mark.parametrize("rate", [4000, 44100, 384_000])
def test_rates_of_sound_cards_are_read(rate: int, tmp_path: Path) -> None:
    assert read_wav(wav(tmp_path / "a.wav", rate))[1] == rate


def test_the_length_of_a_recording_has_a_limit(tmp_path: Path) -> None:
    message = r"samples, .* s: cut it to the time of one chirp and its echoes, at most 60 s and 6000000 samples"
    with pytest.raises(DataError, match=rf"a\.wav has 240001 {message}"):
        read_wav(wav(tmp_path / "a.wav", 4000, 240_001))
    # Silence of any length is a few bytes of FLAC.
    soundfile.write(tmp_path / "a.flac", np.zeros((LONGEST_SAMPLES + 1, 2), np.int16), 384_000, format="FLAC")
    assert (tmp_path / "a.flac").stat().st_size < 100_000
    with pytest.raises(DataError, match=rf"a\.flac has 6000001 {message}"):
        read_wav(tmp_path / "a.flac")
    np.save(tmp_path / "a.npy", np.zeros(60 * 44100 + 1, np.int16))
    with pytest.raises(DataError, match=rf"a\.npy has 2646001 {message}"):
        read_ear_arrays(tmp_path / "a.npy", tmp_path / "a.npy")


def test_channels_are_counted_before_samples_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = wav(tmp_path / "a.wav", 44100, channels=64)
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: pytest.fail("samples were read"))
    with pytest.raises(DataError, match=r"a\.wav has 64 channels: two are needed"):
        read_wav(path)


@pytest.mark.parametrize("kind", ["OGG", "MP3", "AIFF", "AU", "CAF"])
def test_sound_of_another_format_is_refused_whatever_its_name(kind: str, tmp_path: Path) -> None:
    """libsndfile guesses a format by contents, and knows decoders that no recording here needs."""
    soundfile.write(tmp_path / "a", np.zeros((2000, 2)), 44100, format=kind)
    (tmp_path / "a").rename(tmp_path / "a.wav")
    for file in (tmp_path / "a.wav", StoredFile("a.wav", (tmp_path / "a.wav").read_bytes())):
        with pytest.raises(DataError, match=r"a\.wav cannot be read as audio: it is no WAV or FLAC file"):
            read_wav(file)


@pytest.mark.parametrize("seconds", [10.1, 1e9, float("inf"), float("nan")])
def test_a_cut_has_a_length(seconds: float) -> None:
    with pytest.raises(ConfigError, match=r"audio_seconds is .* 10 s at most"):
        AudioCut(seconds=seconds)


@pytest.mark.parametrize(("channels", "bits"), [(0, 16), (2, 0), (0, 0)])
def test_samples_of_no_bytes_are_refused(channels: int, bits: int, tmp_path: Path) -> None:
    """The length of such samples was divided by: a traceback."""
    path = wav(tmp_path / "a.wav", 44100)
    content = bytearray(path.read_bytes())
    content[22:24], content[32:36] = struct.pack("<H", channels), struct.pack("<HH", 0, bits)
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"its header says that {channels} samples of {bits} bits have 0 bytes"):
        read_wav(path)


def test_a_long_header_of_an_array_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", 200_000) + 200_000 * b"(")
    for read in (read_array, array_shape):
        with pytest.raises(DataError, match=r"a\.npy cannot be read as a NumPy array: ") as refused:
            read(tmp_path / "a.npy")
        assert "\n" not in str(refused.value)

"""Files that are not what their names or headers say: one line, before anything is run, allocated or resampled."""

import io
import os
import resource
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import EpsImagePlugin, Image, UnidentifiedImageError

from echodepth.apps.convert.convert import read_depth
from echodepth.apps.demo.backend import DemoInput, display_shape
from echodepth.core.errors import ConfigError, DataError
from echodepth.data import arrays, images
from echodepth.data.arrays import LARGEST_ARRAY, array_shape, read_array
from echodepth.data.audio import AudioCut, read_ear_arrays, read_wav
from echodepth.data.image_stream import MAX_BYTES
from echodepth.data.images import (
    open_image,
    open_only_listed_formats,
    open_upright,
    read_depth_array,
    read_depth_image,
    read_image,
)
from echodepth.data.records import StoredFile
from echodepth.data.wav_file import LONGEST_SAMPLES
from echodepth.inference.inputs import prepare_image


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """The largest memory that this process has had so far rises by less than 500 MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500e3  # kB


@pytest.mark.parametrize("kind", ["EPS", "ICO", "PCX", "TGA", "SGI", "DDS", "JPEG2000", "PDF"])
def test_an_image_of_another_format_is_refused_whatever_its_name(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PostScript file named room.jpg was handed to Ghostscript."""
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was started"))
    path = tmp_path / "room.jpg"
    Image.new("RGB", (32, 32)).save(path, kind)
    stored = StoredFile("room.jpg", path.read_bytes())
    for read in (open_image, open_upright, lambda file: read_image(file, 16), lambda file: prepare_image(file, 16)):
        with pytest.raises(DataError, match=r"room\.jpg cannot be read as an image: it is no PNG, JPEG, .* or PPM"):
            read(path)
    with pytest.raises(DataError, match="it is no PNG"):
        read_image(stored, 16)
    with pytest.raises(DataError, match="it is no PNG"):
        read_depth_image(path, 1000.0)
    with pytest.raises(DataError, match="it is no PNG"):
        read_depth(path, "mm")
    # Gradio opens an upload itself, before any handler of the page.
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    open_only_listed_formats()
    with pytest.raises(UnidentifiedImageError):
        Image.open(path)


@pytest.mark.parametrize("kind", images.IMAGE_FORMATS)
def test_listed_formats_are_read(kind: str, tmp_path: Path) -> None:
    Image.new("RGB", (32, 24), (255, 0, 0)).save(tmp_path / "a", kind)
    assert read_image(tmp_path / "a", 16)[0].mean() > 0.9


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    packed = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts]  # fmt: skip  # noqa: E501
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_decompression_bombs_are_one_line(tmp_path: Path) -> None:
    text = (b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000)))
    for name, data in {"wide": png(60_000, 60_000), "large": png(9000, 9000), "text": png(8, 8, text)}.items():
        (tmp_path / name).write_bytes(data)
        for read in (lambda path: read_image(path, 16), lambda path: read_depth_image(path, 1000.0)):
            with pytest.raises(DataError, match=rf"{name} (is too large|is 9000x9000 pixels|cannot be)") as error:
                read(tmp_path / name)
            assert "\n" not in str(error.value)
    Image.new("I;16", (5000, 5000)).save(tmp_path / "depth.png")
    with pytest.raises(DataError, match="5000x5000 pixels, over the limit of 17 million"):
        read_depth_image(tmp_path / "depth.png", 1000.0)


def test_a_progressive_jpeg_has_few_scans(tmp_path: Path) -> None:
    """Each scan passes over all pixels and needs 100 bytes: 2 MB of them held a worker for longer than 90 s."""
    path = tmp_path / "a.jpg"
    Image.effect_noise((64, 48), 50).convert("RGB").save(path, progressive=True)
    data = path.read_bytes()
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    scans = data.count(b"\xff\xda")
    path.write_bytes(data[:end] + (100 - scans) * data[last:end] + data[end:])
    np.testing.assert_allclose(read_image(path, 16), read_image(StoredFile("a.jpg", path.read_bytes()), 16))
    path.write_bytes(data[:end] + (101 - scans) * data[last:end] + data[end:])
    for read in (lambda file: read_image(file, 16), open_upright, open_image):
        with pytest.raises(DataError, match=r"a\.jpg is a JPEG of 101 scans, over the limit of 100"):
            read(path)


def test_images_have_a_size_and_a_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wide.png").write_bytes(png(65_536, 1))
    with pytest.raises(DataError, match=r"wide\.png is 65536x1 pixels: no side may be longer than 65535"):
        open_image(tmp_path / "wide.png")
    Image.new("RGB", (32, 24)).save(tmp_path / "a.bmp")
    os.truncate(tmp_path / "a.bmp", MAX_BYTES + 1)
    with pytest.raises(DataError, match=r"a\.bmp has more than 512 MB, which no image needs"):
        open_image(tmp_path / "a.bmp")
    monkeypatch.setitem(images._MAX_PIXELS_OF, "WEBP", 32 * 24 - 1)
    Image.new("RGB", (32, 24)).save(tmp_path / "a.webp")
    with pytest.raises(DataError, match=r"a\.webp is 32x24 pixels, over the limit"):
        open_image(tmp_path / "a.webp")


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
    with pytest.raises(DataError, match=r"a\.wav has 64 channel\(s\): two are needed"):
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

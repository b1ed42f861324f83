"""Decoding of WAV and FLAC files: bounded in rate and length, whole whatever their size fields claim."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase, BytesIO

import numpy as np
import soundfile
from jaxtyping import Float

from echodepth.core.errors import DataError
from echodepth.data.records import File, as_file
from echodepth.data.wav_layout import WAV_MAGIC, WavLayout, find_samples

SAMPLE_RATES = (4000, 384_000)
"""Lowest and highest sample rate in Hz: below, no echo of a chirp is left; above, no converter works."""
LONGEST_SECONDS = 60.0
LONGEST_SAMPLES = 6_000_000
"""Length of the longest recording that is read, of each ear. Depth needs a fifth of a second."""

_FLAC = b"fLaC"
_UNKNOWN_LENGTH = 2**62  # libsndfile's number of frames of a FLAC file that was written to a pipe is 2^63 - 1
_USUAL_BITS = 24  # those of the converters whose samples are stored in 32


@dataclass(frozen=True)
class Recording:
    """A decoded file.

    Attributes:
        samples: channels and samples, full scale 1.
        rate: sample rate in Hz.
        subtype: libsndfile's name of the sample format.
        remarks: what is missing, left out or was guessed, by the kind of ``doctor``'s finding.
    """

    samples: Float[np.ndarray, "2 t"]
    rate: int
    subtype: str
    remarks: dict[str, str]


def load_recording(path: File) -> Recording:
    """Decode a two-channel WAV or FLAC file.

    Raises:
        DataError: the file is unreadable or not two-channel, its rate is not 4 to 384 kHz, or it is longer than a
            minute.
    """
    name = str(path)
    try:
        with _open(path) as (file, layout):
            is_unknown = file.frames >= _UNKNOWN_LENGTH
            if not is_unknown:
                check_length(file.frames, file.samplerate, name)
            check_channels(file.channels, name)
            if is_unknown:
                file.seekable = lambda: False  # the position after reading is no more known than the length
            samples = file.read(LONGEST_SAMPLES + 1 if is_unknown else -1, dtype="float32")
            check_length(len(samples), file.samplerate, name)
            factor = 1 if layout is None else _low_end_factor(file, layout, samples)
            scaled = samples.T if factor == 1 else factor * samples.T
            remarks = {} if layout is None else _remarks(name, layout, factor)
            return Recording(scaled, int(file.samplerate), file.subtype, remarks)
    except (soundfile.SoundFileError, OSError) as error:
        raise DataError(f"{path} cannot be read as audio: {error}") from error


@contextmanager
def _open(path: File) -> Iterator[tuple[soundfile.SoundFile, WavLayout | None]]:
    """Open a WAV or FLAC file; libsndfile knows many more formats, whose decoders never see a file from here."""
    opened = as_file(path)
    with contextlib.ExitStack() as stack:
        stream: BufferedIOBase = opened if isinstance(opened, BytesIO) else stack.enter_context(opened.open("rb"))
        magic = stream.read(4)
        if magic not in (*WAV_MAGIC, _FLAC):
            raise DataError(f"{path} cannot be read as audio: it is no WAV or FLAC file")
        layout = find_samples(stream, str(path)) if magic != _FLAC else None
        if layout is not None and not layout.exact:
            check_length(layout.size // layout.frame, SAMPLE_RATES[1], str(path))
            opened = layout.with_exact_sizes(stream)
        elif isinstance(opened, BytesIO):
            opened.seek(0)
        yield stack.enter_context(soundfile.SoundFile(opened)), layout


def _low_end_factor(file: soundfile.SoundFile, layout: WavLayout, samples: Float[np.ndarray, "t c"]) -> int:
    """Factor by which integers are too small because they lie in the low end of their bytes; 1 if they do not.

    WAV puts samples of 24 bits into the high end of 32. ALSA's S24_LE puts them into the low end: no sample exceeds
    1/256 of full scale, and the lowest 8 bits, which would be 0 at the high end, are used.
    """
    if layout.sample_bits is None or not samples.size:
        return 1
    occupied, used = layout.sample_bits
    if used == occupied == 32:
        used = _USUAL_BITS
    factor = int(2 ** (occupied - used))
    if factor == 1 or max(samples.max(), -samples.min()) > 1 / factor:
        return 1
    file.seek(0)
    integers = file.read(dtype="int32") >> (32 - occupied)
    return factor if (integers & (factor - 1)).any() else 1


def _remarks(name: str, layout: WavLayout, factor: int) -> dict[str, str]:
    remarks = {}
    if layout.missing:
        remarks["corrupt"] = f"{name} is truncated: {layout.missing} bytes of its samples are missing"
    if layout.further:
        remarks["unread audio"] = (
            f"{name} has more than one data chunk: the first one is read, and not the {layout.further} bytes of the "
            "others; save their sound as a recording of its own if it is needed"
        )
    elif layout.uncounted:
        remarks["unread audio"] = (
            f"{name} has {layout.uncounted} bytes behind the samples that its header counts, which are not read; if "
            "they are sound, as after a loss of power, `ffmpeg -ignore_length 1 -i IN.wav OUT.wav` includes it"
        )
    if factor > 1:
        remarks["audio level"] = (
            f"{name} is read {20 * np.log10(factor):.0f} dB louder than its header says: no sample exceeds 1/{factor} "
            "of full scale and all lower bits are used, as when samples lie in the low end of their bytes (arecord -f "
            "S24_LE); save a recording that is truly so quiet with 24 bits or as floating point"
        )
    return remarks


def check_length(samples: int, rate: int, name: str) -> None:
    """Raise a DataError for a sample rate or length that no recording of an echo has, before any of it is read.

    Args:
        samples: number of samples of one ear.
        rate: sample rate in Hz.
        name: the recording's file, for messages.
    """
    slowest, fastest = SAMPLE_RATES
    if not slowest <= rate <= fastest:
        raise DataError(
            f"{name} has a sample rate of {rate:g} Hz: recordings of {slowest} to {fastest} Hz can be used; correct "
            "its header, or resample it"
        )
    if samples > min(LONGEST_SECONDS * rate, LONGEST_SAMPLES):
        raise DataError(
            f"{name} has {samples} samples, {samples / rate:.4g} s: cut it to the time of one chirp and its echoes, at "
            f"most {LONGEST_SECONDS:g} s and {LONGEST_SAMPLES} samples"
        )


def check_channels(channels: int, name: str) -> None:
    """Raise a DataError unless there are two channels."""
    if channels != 2:
        raise DataError(
            f"{name} has {channels} channel{'s' if channels > 1 else ''}: two are needed, left ear then right, because "
            "direction is derived from the difference between the ears"
        )

"""Numbered recordings on disk."""

from pathlib import Path

import soundfile

from echodepth.apps.live.capture import Capture
from echodepth.core.atomic_io import atomic_write
from echodepth.core.constants import SAMPLE_RATE


def next_number(folder: Path, pattern: str) -> int:
    """One more than the highest number at the end of a name."""
    numbers = [path.stem.rpartition("_")[2] for path in folder.glob(pattern)]
    return max((int(number) for number in numbers if number.isdecimal()), default=-1) + 1


def save_audio(path: Path, recorded: Capture) -> None:
    """Write a recording as BatVision V2 stores them, left ear first."""
    with atomic_write(path) as unfinished:
        soundfile.write(str(unfinished), recorded.audio.T, SAMPLE_RATE, subtype="PCM_32", format="WAV")

"""Numbered recordings on disk."""

from pathlib import Path

import soundfile

from echodepth.data.audio import SAMPLE_RATE
from echodepth.files import written_whole
from echodepth.live.takes import Take


def next_number(folder: Path, pattern: str) -> int:
    """One more than the highest number at the end of a name."""
    numbers = [path.stem.rpartition("_")[2] for path in folder.glob(pattern)]
    return max((int(number) for number in numbers if number.isdecimal()), default=-1) + 1


def save_audio(path: Path, recorded: Take) -> None:
    """Write a recording as BatVision V2 stores them, left ear first."""
    with written_whole(path) as unfinished:
        soundfile.write(str(unfinished), recorded.audio.T, SAMPLE_RATE, subtype="PCM_32", format="WAV")

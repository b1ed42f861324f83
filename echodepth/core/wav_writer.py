"""Writing of recordings."""

import io
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
from jaxtyping import Shaped

from echodepth.core.atomic_io import atomic_write


def write_wav(
    path: Path, samples: Shaped[np.ndarray, "t ears"], sample_rate: int, subtype: Literal["PCM_24", "PCM_32", "FLOAT"]
) -> None:
    """Write a WAV file atomically.

    It is encoded in memory first: soundfile ends a full disk with an error that is no OSError and names no path.

    Args:
        path: of the file.
        samples: integers, or floats with full scale 1.
        sample_rate: in Hz.
        subtype: form of a stored sample.

    Raises:
        OSError: it cannot be written.
    """
    encoded: Any = io.BytesIO()
    soundfile.write(encoded, samples, sample_rate, subtype=subtype, format="WAV")
    with atomic_write(path) as unfinished:
        unfinished.write_bytes(encoded.getbuffer())

"""The chirp that BatVision's robot emits."""

import numpy as np
from jaxtyping import Float

from echodepth.core.constants import SAMPLE_RATE

CHIRP_SECONDS = 3e-3
"""Duration of BatVision's chirp (arXiv 1912.07011)."""


def batvision_chirp() -> Float[np.ndarray, "132"]:
    """Chirp of BatVision: 3 ms, linear from 20 Hz to 20 kHz, full scale 1, at ``SAMPLE_RATE``."""
    from scipy.signal import chirp  # half a second, of which --help and exported models need nothing

    time = np.arange(round(CHIRP_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    samples: np.ndarray = chirp(time, 20, CHIRP_SECONDS, 20e3, phi=90)
    return samples

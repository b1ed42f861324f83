"""Recordings of a chirp and its echo."""

import numpy as np

from tests.roots import CHIRP


def recorded(
    onset: int, snr_db: float = 50.0, echo_gain: float = 0.5, delay: int = 8, seed: int = 0, samples: int = 6000
) -> np.ndarray:
    """Both ears of a chirp, the right one ``delay`` samples later; an echo after 12 ms; noise ``snr_db`` below."""
    rng = np.random.default_rng(seed)
    audio = rng.normal(0, np.sqrt(0.5) * 10 ** (-snr_db / 20), (2, samples))
    for ear in (0, 1):
        for gain, start in ((1.0, onset + ear * delay), (echo_gain, onset + 529 + ear * delay)):
            audio[ear, start : start + 132] += gain * CHIRP[: max(0, samples - start)]
    return audio

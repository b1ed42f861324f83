"""One chirp, from the loudspeaker to a recording as BatVision V2 has them; and what a sound card needs to be known."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

import echodepth
from echodepth.apps.doctor.row_checks import flat_samples
from echodepth.apps.live.config import CardConfig
from echodepth.apps.live.sound_card import SoundCard
from echodepth.core.atomic_io import atomic_write
from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import ConfigError, DataError
from echodepth.data.audio import find_onset
from echodepth.simulate.acoustics.recording import FRAMES, ONSET, batvision_chirp

log = logging.getLogger(__name__)

DIRECT_RMS = 0.17
"""Of full scale: both ears' first 3 ms in a genuine BatVision V2 recording, and in simulated ones."""
_LONGEST_LATENCY = 0.5  # seconds: Bluetooth's is 0.3
_TOLERANCE = 0.005  # seconds between where the chirp is expected and where it is found
_STEADY = 0.002  # seconds of spread between a calibration's chirps
_CHIRPS = 5
_DIRECT = 132  # samples of the chirp
_LEAST_SNR = 10.0  # dB
_CLIPPED = 6  # samples in flat tops
_LOUDEST = 0.999


@dataclass(frozen=True)
class Capture:
    """A recording of one chirp.

    Attributes:
        audio: as long as BatVision V2's, with the direct sound at the same place; left ear first.
        latency: seconds from playing to the direct sound.
        peak: of full scale.
        level: RMS of both ears' first 3 ms of direct sound, of full scale.
        snr: direct sound over what was there before it, dB.
    """

    audio: Float[np.ndarray, "2 t"]
    latency: float
    peak: float
    level: float
    snr: float


@dataclass(frozen=True)
class Calibration:
    """What is known of a sound card: where a chirp comes back, and how loud, at one volume."""

    card: str
    volume: float
    latency_ms: float
    spread_ms: float
    peak_dbfs: float
    snr_db: float
    version: str = echodepth.__version__


def capture(card: SoundCard, volume: float, calibration: Calibration | None = None) -> Capture:
    """Play one chirp and keep what comes back.

    Args:
        card: plays and records.
        volume: of the chirp, of full scale.
        calibration: where the chirp is expected; anywhere in the first half second without.

    Raises:
        DataError: no chirp was heard, it clipped, or the two microphones are one.
    """
    longest = _LONGEST_LATENCY if calibration is None else calibration.latency_ms / 1000 + _TOLERANCE
    heard = card.play_and_record(volume * batvision_chirp(), FRAMES + round(longest * SAMPLE_RATE))
    peak = float(np.abs(heard).max())
    if flat_samples(heard) >= _CLIPPED or peak >= _LOUDEST:
        raise DataError(f"the recording clips at {peak:.2f} of full scale: lower --volume or the microphones' gain")
    quiet, loud = sorted(float(np.sqrt((ear.astype(np.float64) ** 2).mean())) for ear in heard)
    if peak > 0 and (np.abs(heard[0] - heard[1]).max() < 1e-4 * peak or quiet < 1e-3 * loud):
        what = "one signal twice" if quiet > 1e-3 * loud else "one live channel"
        raise DataError(f"{card.name} gives {what}: two microphones are needed, as left and right of a stereo input")
    onset = _direct_sound(heard, calibration)
    level = float(np.sqrt((heard[:, onset : onset + _DIRECT] ** 2).mean()))
    before = heard[:, : onset - 32] if onset >= 512 else heard[:, -2205:]
    snr = 20 * np.log10(level / max(float(np.sqrt((before**2).mean())), 1e-9))
    if snr < _LEAST_SNR:
        raise DataError(f"the chirp is only {snr:.0f} dB above the background: raise --volume, or find a quieter room")
    start = max(0, onset - ONSET)
    return Capture(heard[:, start : start + FRAMES], onset / SAMPLE_RATE, peak, level, float(snr))


def _direct_sound(heard: Float[np.ndarray, "2 t"], calibration: Calibration | None) -> int:
    remedy = "is the loudspeaker on and the volume up? (--volume, --output_device, --calibrate)"
    try:
        if calibration is None:
            return find_onset(heard)
        expected, margin = (round(s * SAMPLE_RATE) for s in (calibration.latency_ms / 1000, _TOLERANCE))
        first = max(0, expected - 2 * margin)
        onset = first + find_onset(heard[:, first : expected + 4 * margin])
    except DataError:
        raise DataError(f"no chirp was heard: {remedy}") from None
    if abs(onset - expected) > margin:
        at = 1000 * onset / SAMPLE_RATE
        raise DataError(f"a sound at {at:.0f} ms, but the chirp comes at {calibration.latency_ms:.0f} ms: {remedy}")
    return onset


def calibrate(card: SoundCard, volume: float, path: Path) -> Calibration:
    """Measure latency and level with a few chirps, and write them down.

    Raises:
        DataError: a chirp fails as in ``capture``, or they do not come back at one time.
    """
    takes = [capture(card, volume) for _ in range(_CHIRPS)]
    latencies = np.array([each.latency for each in takes])
    spread = float(np.ptp(latencies))
    if spread > _STEADY:
        raise DataError(
            f"{_CHIRPS} chirps came back {1000 * latencies.min():.0f} to {1000 * latencies.max():.0f} ms after they "
            "were played: something louder than the chirp was heard, or the driver's buffers move; try again in "
            "silence, or with another driver (ASIO, JACK, ALSA's hw:) with --input_device and --output_device"
        )
    measured = Calibration(
        card=card.name,
        volume=volume,
        latency_ms=round(1000 * float(np.median(latencies)), 2),
        spread_ms=round(1000 * spread, 2),
        peak_dbfs=round(20 * float(np.log10(max(each.peak for each in takes))), 1),
        snr_db=round(float(np.median([each.snr for each in takes])), 1),
    )
    with atomic_write(path) as unfinished:
        unfinished.write_text(json.dumps(asdict(measured), indent=2) + "\n")
    log.info(
        "%s: latency %.1f ms (spread %.2f), peak %.1f dBFS, chirp %.0f dB over background; written to %s",
        *(card.name, measured.latency_ms, measured.spread_ms, measured.peak_dbfs, measured.snr_db, path),
    )
    return measured


def known_calibration(card: SoundCard, config: CardConfig) -> Calibration | None:
    """Measured now if that is asked for, else read where there is a file; None without either.

    Raises:
        ConfigError: the volume makes no sense, or the file is of another card or no calibration.
        DataError: measuring fails.
    """
    if not 0 < config.volume <= 1:
        raise ConfigError(f"--volume must be above 0 and at most 1, not {config.volume:g}")
    if config.calibrate:
        return calibrate(card, config.volume, config.calibration)
    if not config.calibration.is_file():
        return None
    try:
        known = Calibration(**json.loads(config.calibration.read_text()))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{config.calibration} is no calibration ({error}): measure it with --calibrate") from error
    if known.card != card.name:
        raise ConfigError(
            f"{config.calibration} was measured with {known.card}, not {card.name}: measure again with --calibrate, or "
            "name another --calibration"
        )
    return known

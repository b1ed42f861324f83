"""Recording of one chirp in BatVision V2's format, calibration of a sound card, and numbered files."""

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
from echodepth.core.chirp import batvision_chirp
from echodepth.core.constants import SAMPLE_RATE, V2_ONSET, V2_RECORDING_SAMPLES
from echodepth.core.errors import ConfigError, DataError
from echodepth.core.schema import SchemaError, parse, read_json, short
from echodepth.core.wav_writer import write_wav
from echodepth.data.audio import find_onset

log = logging.getLogger(__name__)

DIRECT_RMS = 0.17
"""RMS of both ears' first 3 ms, relative to full scale, in a genuine BatVision V2 recording and in simulated ones."""
_MAX_LATENCY = 0.5  # seconds; Bluetooth has 0.3
_LATENCY_TOLERANCE = 0.005  # seconds between expected and detected direct sound
_MAX_SPREAD = 0.002  # seconds between the latencies of a calibration's chirps
_CALIBRATION_CHIRPS = 5
_DIRECT_SAMPLES = 132  # length of the chirp
_MIN_SNR = 10.0  # dB
_MAX_FLAT_SAMPLES = 6
_CLIPPING_PEAK = 0.999


@dataclass(frozen=True)
class Capture:
    """Recording of one chirp.

    Attributes:
        audio: waveform of BatVision V2's length with the direct sound at the same position; left ear first.
        latency: seconds from the start of playback to the direct sound.
        peak: largest absolute sample, relative to full scale.
        level: RMS of both ears' first 3 ms of direct sound, relative to full scale.
        snr: level of the direct sound above the background before it, in dB.
    """

    audio: Float[np.ndarray, "2 t"]
    latency: float
    peak: float
    level: float
    snr: float

    def save(self, path: Path) -> None:
        """Write the recording as a WAV file in BatVision V2's format."""
        write_wav(path, self.audio.T, SAMPLE_RATE, "PCM_32")


@dataclass(frozen=True)
class CardCalibration:
    """Measured latency and level of a sound card at one volume."""

    card: str
    volume: float
    latency_ms: float
    spread_ms: float
    peak_dbfs: float
    snr_db: float
    version: str = echodepth.__version__


def capture(card: SoundCard, volume: float, calibration: CardCalibration | None = None) -> Capture:
    """Play one chirp and record it.

    Args:
        card: plays and records.
        volume: amplitude of the chirp, relative to full scale.
        calibration: gives the expected latency; without it the chirp is searched for in the first 0.5 s.

    Raises:
        DataError: the chirp is not detected, the recording clips, or both microphones record one signal.
    """
    longest = _MAX_LATENCY if calibration is None else calibration.latency_ms / 1000 + _LATENCY_TOLERANCE
    recorded = card.play_and_record(volume * batvision_chirp(), V2_RECORDING_SAMPLES + round(longest * SAMPLE_RATE))
    peak = float(np.abs(recorded).max())
    if flat_samples(recorded) >= _MAX_FLAT_SAMPLES or peak >= _CLIPPING_PEAK:
        raise DataError(f"the recording clips at {peak:.2f} of full scale: lower --volume or the microphones' gain")
    quiet, loud = sorted(float(np.sqrt((ear.astype(np.float64) ** 2).mean())) for ear in recorded)
    if peak > 0 and (np.abs(recorded[0] - recorded[1]).max() < 1e-4 * peak or quiet < 1e-3 * loud):
        problem = "one signal twice" if quiet > 1e-3 * loud else "one live channel"
        raise DataError(f"{card.name} gives {problem}: two microphones are needed, as left and right of a stereo input")
    onset = _detect_direct_sound(recorded, calibration)
    level = float(np.sqrt((recorded[:, onset : onset + _DIRECT_SAMPLES] ** 2).mean()))
    before = recorded[:, : onset - 32] if onset >= 512 else recorded[:, -2205:]
    snr = 20 * np.log10(level / max(float(np.sqrt((before**2).mean())), 1e-9))
    if snr < _MIN_SNR:
        raise DataError(f"the chirp is only {snr:.0f} dB above the background: raise --volume, or find a quieter room")
    start = max(0, onset - V2_ONSET)
    audio = recorded[:, start : start + V2_RECORDING_SAMPLES]
    return Capture(audio, onset / SAMPLE_RATE, peak, level, float(snr))


def _detect_direct_sound(recorded: Float[np.ndarray, "2 t"], calibration: CardCalibration | None) -> int:
    remedy = "is the loudspeaker on and the volume up? (--volume, --output_device, --calibrate)"
    try:
        if calibration is None:
            return find_onset(recorded)
        expected, margin = (round(s * SAMPLE_RATE) for s in (calibration.latency_ms / 1000, _LATENCY_TOLERANCE))
        first = max(0, expected - 2 * margin)
        onset = first + find_onset(recorded[:, first : expected + 4 * margin])
    except DataError:
        raise DataError(f"no chirp was detected: {remedy}") from None
    if abs(onset - expected) > margin:
        raise DataError(
            f"a sound was detected at {1000 * onset / SAMPLE_RATE:.0f} ms, but the chirp is expected at "
            f"{calibration.latency_ms:.0f} ms: {remedy}"
        )
    return onset


def calibrate(card: SoundCard, volume: float, path: Path) -> CardCalibration:
    """Measure latency and level with five chirps, and write them to a file.

    Raises:
        DataError: a chirp fails as in ``capture``, or the latencies differ by more than 2 ms.
    """
    captures = [capture(card, volume) for _ in range(_CALIBRATION_CHIRPS)]
    latencies = np.array([each.latency for each in captures])
    spread = float(np.ptp(latencies))
    if spread > _MAX_SPREAD:
        raise DataError(
            f"{_CALIBRATION_CHIRPS} chirps were recorded with latencies from {1000 * latencies.min():.0f} to "
            f"{1000 * latencies.max():.0f} ms: another sound was louder than the chirp, or the driver's buffers move; "
            "try again in silence, or with another driver (ASIO, JACK, ALSA's hw:) with --input_device and "
            "--output_device"
        )
    measured = CardCalibration(
        card=card.name,
        volume=volume,
        latency_ms=round(1000 * float(np.median(latencies)), 2),
        spread_ms=round(1000 * spread, 2),
        peak_dbfs=round(20 * float(np.log10(max(each.peak for each in captures))), 1),
        snr_db=round(float(np.median([each.snr for each in captures])), 1),
    )
    with atomic_write(path) as unfinished:
        unfinished.write_text(json.dumps(asdict(measured), indent=2) + "\n")
    log.info(
        "%s: latency %.1f ms (spread %.2f), peak %.1f dBFS, chirp %.0f dB over background; written to %s",
        *(card.name, measured.latency_ms, measured.spread_ms, measured.peak_dbfs, measured.snr_db, path),
    )
    return measured


def load_calibration(card: SoundCard, config: CardConfig) -> CardCalibration | None:
    """Measure the calibration if ``--calibrate`` is given, else read its file; None if there is no file.

    Raises:
        ConfigError: the volume is out of range, or the file is no calibration or another card's.
        DataError: the measurement fails.
    """
    if not 0 < config.volume <= 1:
        raise ConfigError(f"--volume must be above 0 and at most 1, not {config.volume:g}")
    if config.calibrate:
        return calibrate(card, config.volume, config.calibration)
    if not config.calibration.is_file():
        return None
    try:
        calibration = parse(CardCalibration, read_json(config.calibration))
    except SchemaError as error:
        raise ConfigError(f"{config.calibration} is no calibration ({error}): measure it with --calibrate") from error
    if calibration.card != card.name:
        raise ConfigError(
            f"{config.calibration} was measured with {short(calibration.card)}, not {card.name}: measure again with "
            "--calibrate, or name another --calibration"
        )
    return calibration


def next_number(folder: Path) -> int:
    """One more than the highest number of the recordings ``audio_<number>.wav`` in a folder."""
    numbers = [path.stem.rpartition("_")[2] for path in folder.glob("audio_*.wav")]
    return max((int(number) for number in numbers if number.isdecimal()), default=-1) + 1

"""``echodepth record``: numbered recordings of one room, and a list of what is known of each."""

import csv
import logging
import time
from datetime import UTC, datetime
from pathlib import Path

from echodepth.apps.live.capture import Capture, capture, known_calibration
from echodepth.apps.live.config import RecordConfig
from echodepth.apps.live.saving import next_number, save_audio
from echodepth.apps.live.sound_card import open_card
from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import ConfigError, require_at_least

log = logging.getLogger(__name__)

LIST = "recordings.csv"
COLUMNS = ("index", "time", "audio path", "audio file name", "latency ms", "peak", "snr db", "volume", "card")


def record(config: RecordConfig) -> list[Path]:
    """Play chirps and write what both ears hear to ``OUT/LOCATION/audio/audio_<number>.wav``.

    ``OUT/LOCATION/recordings.csv`` lists them: the time of each in seconds since 1970, by which ``echodepth convert``
    finds the picture and the depth map of the same moment, and what was measured.

    Returns:
        The files written.

    Raises:
        ConfigError: a flag makes no sense, or there is no sound card.
        DataError: a chirp was not heard, or clipped; what was recorded before it is kept.
    """
    require_at_least(1, count=config.count)
    require_at_least(0, interval=config.interval)
    if not config.location or Path(config.location).name != config.location:
        raise ConfigError(f"--location {config.location!r} names a folder: give one word, such as Kitchen")
    card = open_card(config)
    calibration = known_calibration(card, config)
    folder = config.out / config.location / "audio"
    written: list[Path] = []
    for made in range(config.count):
        began, now = time.monotonic(), datetime.now(UTC)
        recorded = capture(card, config.volume, calibration)
        number = next_number(folder, "audio_*.wav")
        path = folder / f"audio_{number}.wav"
        save_audio(path, recorded)
        _list(config, number, now, recorded, card.name)
        written.append(path)
        log.info("%s: latency %.1f ms, SNR %.0f dB", path, 1000 * recorded.latency, recorded.snr)
        if made + 1 < config.count:
            time.sleep(max(0.0, config.interval - (time.monotonic() - began)))
    return written


def _list(config: RecordConfig, number: int, now: datetime, recorded: Capture, card: str) -> None:
    path = config.out / config.location / LIST
    rows: list[dict[str, object]] = []
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [dict(row) for row in csv.DictReader(file)]
    values = (
        *(number, f"{now.timestamp():.3f}", f"{config.location}/audio/", f"audio_{number}.wav"),
        *(f"{1000 * recorded.latency:.2f}", f"{recorded.peak:.4f}", f"{recorded.snr:.1f}", config.volume, card),
    )
    with atomic_write(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows([*rows, dict(zip(COLUMNS, values, strict=True))])

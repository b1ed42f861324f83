"""``echodepth record``: numbered recordings of one room, and a table of their measurements."""

import csv
import logging
import time
from datetime import UTC, datetime
from pathlib import Path

from echodepth.apps.live.capture import Capture, capture, load_calibration, next_number
from echodepth.apps.live.config import RecordConfig
from echodepth.apps.live.sound_card import open_card
from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import ConfigError, require_at_least

log = logging.getLogger(__name__)

TABLE = "recordings.csv"
LATENCY = "latency ms"
"""Column of the time from the start of playback to the direct sound."""
COLUMNS = ("index", "time", "audio path", "audio file name", LATENCY, "peak", "snr db", "volume", "card")


def record(config: RecordConfig) -> list[Path]:
    """Play chirps and write the recordings of both ears to ``OUT/LOCATION/audio/audio_<number>.wav``.

    ``OUT/LOCATION/recordings.csv`` lists measurements and the time of each recording in seconds since 1970, by which
    ``echodepth convert`` matches the image and the depth map of the same moment.

    Returns:
        The files written.

    Raises:
        ConfigError: a flag is out of range, or there is no sound card.
        DataError: a chirp was not detected, or clipped; earlier recordings are kept.
    """
    require_at_least(1, count=config.count)
    require_at_least(0, interval=config.interval)
    if not config.location or Path(config.location).name != config.location:
        raise ConfigError(f"--location {config.location!r} names a folder: give one word, such as Kitchen")
    card = open_card(config)
    calibration = load_calibration(card, config)
    folder = config.out / config.location / "audio"
    written: list[Path] = []
    while len(written) < config.count:
        started, now = time.monotonic(), datetime.now(UTC)
        captured = capture(card, config.volume, calibration)
        number = next_number(folder)
        path = folder / f"audio_{number}.wav"
        # The row first: a recording whose row a kill prevented would have no time. One without its recording is
        # replaced by the next of its number.
        _add_row(config, number, now, captured, card.name)
        captured.save(path)
        written.append(path)
        log.info("%s: latency %.1f ms, SNR %.0f dB", path, 1000 * captured.latency, captured.snr)
        if len(written) < config.count:
            time.sleep(max(0.0, config.interval - (time.monotonic() - started)))
    return written


def _add_row(config: RecordConfig, number: int, now: datetime, captured: Capture, card: str) -> None:
    path = config.out / config.location / TABLE
    rows: list[dict[str, object]] = []
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [dict(row) for row in csv.DictReader(file) if row["index"] != str(number)]
    values = (
        *(number, f"{now.timestamp():.3f}", f"{config.location}/audio/", f"audio_{number}.wav"),
        *(f"{1000 * captured.latency:.2f}", f"{captured.peak:.4f}", f"{captured.snr:.1f}", config.volume, card),
    )
    with atomic_write(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows([*rows, dict(zip(COLUMNS, values, strict=True))])

"""Which recording, picture and depth map belong together."""

import csv
import re
from bisect import bisect_left
from pathlib import Path
from typing import NamedTuple

from echodepth.apps.convert.config import ConvertConfig
from echodepth.core.errors import ConfigError, DataError

_PREFIX = re.compile(r"^[^\W\d]+[_-]+")


class Trio(NamedTuple):
    """The files of one instance, and its time in seconds where that is known."""

    audio: Path
    camera: Path
    depth: Path
    time: float | None = None


def pair_up(config: ConvertConfig) -> tuple[list[Trio], int]:
    """Find the instances.

    Returns:
        The instances in the order of their recordings, and how many recordings have no partner.

    Raises:
        ConfigError: a flag does not go with the others.
        DataError: a pattern finds nothing, files cannot be told apart, or nothing belongs together.
    """
    if config.times is not None and config.pair != "time":
        raise ConfigError(f"--times is for --pair time, not --pair {config.pair}")
    audio, camera, depth = (
        _found(name, pattern)
        for name, pattern in (("audio", config.audio), ("camera", config.camera), ("depth", config.depth))
    )
    match config.pair:
        case "order":
            trios = _by_order(audio, camera, depth)
        case "stem":
            trios = _by_stem(audio, camera, depth)
        case "time":
            trios = _by_time(audio, camera, depth, _times(config.times), config.tolerance)
    if not trios:
        raise DataError(
            f"no recording has a picture and a depth map by --pair {config.pair}: the first are {audio[0].name}, "
            f"{camera[0].name} and {depth[0].name}; try another --pair, or a larger --tolerance"
        )
    return trios, len(audio) - len(trios)


def _found(name: str, pattern: str) -> list[Path]:
    # Path.glob takes patterns relative to a folder only.
    anchor = Path(Path(pattern).anchor)
    relative = str(Path(pattern).relative_to(anchor))
    paths = list(anchor.glob(relative))
    # Numbers in names count as numbers: 10 comes after 9.
    files = sorted((path for path in paths if path.is_file()), key=_natural)
    if not files:
        raise DataError(f"--{name} {pattern!r} finds no file: quote the pattern, as in --{name} 'kitchen/*'")
    return files


def _natural(path: Path) -> list[tuple[int, int, str]]:
    pieces = re.findall(r"\d+|\D+", str(path))
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces]


def _by_order(audio: list[Path], camera: list[Path], depth: list[Path]) -> list[Trio]:
    if not len(audio) == len(camera) == len(depth):
        raise DataError(
            f"--pair order needs as many of each, but there are {len(audio)} recordings, {len(camera)} pictures and "
            f"{len(depth)} depth maps: pair by stem or time"
        )
    return [Trio(*files) for files in zip(audio, camera, depth, strict=True)]


def _by_stem(audio: list[Path], camera: list[Path], depth: list[Path]) -> list[Trio]:
    by_key = [_keyed(paths) for paths in (audio, camera, depth)]
    shared = [key for key in by_key[0] if key in by_key[1] and key in by_key[2]]
    return [Trio(by_key[0][key], by_key[1][key], by_key[2][key]) for key in shared]


def _keyed(paths: list[Path]) -> dict[str, Path]:
    keyed: dict[str, Path] = {}
    for path in paths:
        # What a part is called and leading zeros do not count: audio_007 belongs to depth_7.
        key = _PREFIX.sub("", path.stem)
        key = str(int(key)) if key.isdecimal() else key
        if key in keyed:
            raise DataError(f"{keyed[key]} and {path} are both called {key!r}: give a pattern that finds one of them")
        keyed[key] = path
    return keyed


def _times(table: Path | None) -> dict[str, float] | None:
    if table is None:
        return None
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        return {Path(row["file"].strip()).name: float(row["time"]) for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{table} is no list of times: a CSV file with the columns file and time (seconds)") from error


def _by_time(
    audio: list[Path], camera: list[Path], depth: list[Path], times: dict[str, float] | None, tolerance: float
) -> list[Trio]:
    if not tolerance >= 0:
        raise ConfigError(f"--tolerance is {tolerance:g}: give seconds")
    heard, seen, felt = (sorted((_time_of(path, times), path) for path in paths) for paths in (audio, camera, depth))
    trios = []
    for time, path in heard:
        picture, depth_map = (_nearest(time, others, tolerance) for others in (seen, felt))
        if picture is not None and depth_map is not None:
            trios.append(Trio(path, picture, depth_map, time))
    return trios


def _time_of(path: Path, times: dict[str, float] | None) -> float:
    try:
        return times[path.name] if times is not None else float(_PREFIX.sub("", path.stem))
    except (KeyError, ValueError):
        remedy = "--times does not list it" if times is not None else "its name is no time in seconds: give --times"
        raise DataError(f"{path}: {remedy}") from None


def _nearest(time: float, others: list[tuple[float, Path]], tolerance: float) -> Path | None:
    place = bisect_left(others, (time,))
    near = min(others[max(0, place - 1) : place + 1], key=lambda other: abs(other[0] - time))
    return near[1] if abs(near[0] - time) <= tolerance else None

"""Matching of recordings, images and depth maps."""

import csv
import re
from bisect import bisect_left
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from echodepth.apps.convert.config import ConvertConfig
from echodepth.core.errors import ConfigError, DataError
from echodepth.core.input_files import matching_paths, read_text

_PREFIX = re.compile(r"^[^\W\d]+[_-]+")


class FileTriple(NamedTuple):
    """Files of one instance, and the time of the recording in seconds if it is known."""

    audio: Path
    camera: Path
    depth: Path
    time: float | None = None


def match_files(config: ConvertConfig) -> tuple[list[FileTriple], int]:
    """Match each recording with its image and depth map.

    Returns:
        The matches in the order of their recordings, and the number of recordings without a match.

    Raises:
        ConfigError: flags cannot be combined.
        DataError: a pattern finds no file, two files have one key, or no files match.
    """
    if config.times is not None and config.pair != "time":
        raise ConfigError(f"--times is for --pair time, not --pair {config.pair}")
    audio, camera, depth = (
        _find_files(name, pattern)
        for name, pattern in (("audio", config.audio), ("camera", config.camera), ("depth", config.depth))
    )
    match config.pair:
        case "order":
            triples = _by_order(audio, camera, depth)
        case "stem":
            triples = _by_stem(audio, camera, depth)
        case "time":
            triples = _by_time(audio, camera, depth, _Times(config.times), config.tolerance)
    if not triples:
        raise DataError(
            f"no recording matches an image and a depth map by --pair {config.pair}: the first are {audio[0].name}, "
            f"{camera[0].name} and {depth[0].name}; try another --pair, or a larger --tolerance"
        )
    return triples, len(audio) - len(triples)


def _find_files(name: str, pattern: str) -> list[Path]:
    files = sorted((path for path in matching_paths(pattern) if path.is_file()), key=_natural_key)
    if not files:
        folder = _folder_of(pattern)
        hint = f"quote the pattern, as in --{name} 'kitchen/*'" if folder.is_dir() else f"there is no folder {folder}"
        raise DataError(f"--{name} {pattern!r} finds no file: {hint}")
    return files


def _folder_of(pattern: str) -> Path:
    """The deepest folder that a pattern names without wildcards."""
    folder = Path(pattern).expanduser().parent
    while set("*?[") & set(str(folder)) and not folder.is_dir():
        folder = folder.parent
    return folder


def _natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key that compares digits as numbers, so that 10 comes after 9, and take.wav comes before take.2.wav."""
    pieces = re.findall(r"\d+|\D+", str(path.with_suffix("")))
    key = [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces]
    return [*key, (-1, 0, path.suffix)]


def _by_order(audio: list[Path], camera: list[Path], depth: list[Path]) -> list[FileTriple]:
    if not len(audio) == len(camera) == len(depth):
        raise DataError(
            f"--pair order needs equal numbers of files, but there are {len(audio)} recordings, {len(camera)} images "
            f"and {len(depth)} depth maps: use --pair stem or time"
        )
    return [FileTriple(*files) for files in zip(audio, camera, depth, strict=True)]


def _by_stem(audio: list[Path], camera: list[Path], depth: list[Path]) -> list[FileTriple]:
    by_key = [_index_by_key(paths) for paths in (audio, camera, depth)]
    shared = [key for key in by_key[0] if key in by_key[1] and key in by_key[2]]
    return [FileTriple(by_key[0][key], by_key[1][key], by_key[2][key]) for key in shared]


def _index_by_key(paths: list[Path]) -> dict[str, Path]:
    by_key: dict[str, Path] = {}
    for path in paths:
        # Prefixes and leading zeros are ignored: audio_007 matches depth_7.
        key = _PREFIX.sub("", path.stem)
        key = str(int(key)) if key.isdecimal() else key
        if key in by_key:
            raise DataError(f"{by_key[key]} and {path} share the key {key!r}: give a pattern that finds one")
        by_key[key] = path
    return by_key


class _Times:
    """The times of files, from a table or from their stems.

    Args:
        table: CSV file with the columns file and time; None for the stems.
    """

    def __init__(self, table: Path | None) -> None:
        self._times: dict[tuple[str, ...], float] | None = None if table is None else {}
        self._taken: dict[tuple[str, ...], Path] = {}
        if table is None or self._times is None:
            return
        try:
            lines = csv.DictReader(StringIO(read_text(table), newline=""))
            rows = [(Path(row["file"].strip()).parts, float(row["time"])) for row in lines]
        except (OSError, csv.Error, KeyError, ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{table} is not a CSV file with the columns file and time (seconds)") from error
        for parts, time in rows:
            if self._times.setdefault(parts, time) != time:
                raise DataError(f"{table} lists {Path(*parts)} with two times, {self._times[parts]:g} and {time:g} s")

    def sorted(self, paths: list[Path]) -> list[tuple[float, Path]]:
        """Files of one kind with their times in seconds, in the order of time.

        Raises:
            DataError: a time is not known, or is that of two files.
        """
        taken: dict[tuple[str, ...], Path] = {}
        return sorted((self._of(path, taken), path) for path in paths)

    def _of(self, path: Path, taken: dict[tuple[str, ...], Path]) -> float:
        if self._times is None:
            try:
                return float(_PREFIX.sub("", path.stem))
            except ValueError:
                raise DataError(f"{path}: its name is not a time in seconds: give --times") from None
        # The table may list names, or paths from any folder on; the longest that fits is meant.
        ends = (path.parts[start:] for start in range(len(path.parts)))
        listed = next((end for end in ends if end in self._times), None)
        if listed is None:
            raise DataError(f"{path}: --times does not list it")
        if (other := taken.setdefault(listed, path)) != path:
            raise DataError(
                f"--times lists {Path(*listed)}, which is the name of {other} and of {path}: list them with folders"
            )
        return self._times[listed]


def _by_time(
    audio: list[Path], camera: list[Path], depth: list[Path], times: _Times, tolerance: float
) -> list[FileTriple]:
    if not tolerance >= 0:
        raise ConfigError(f"--tolerance is {tolerance:g}: give seconds")
    recordings, images, depth_maps = (times.sorted(paths) for paths in (audio, camera, depth))
    triples = []
    for time, path in recordings:
        image, depth_map = (_nearest(time, candidates, tolerance) for candidates in (images, depth_maps))
        if image is not None and depth_map is not None:
            triples.append(FileTriple(path, image, depth_map, time))
    return triples


def _nearest(time: float, candidates: list[tuple[float, Path]], tolerance: float) -> Path | None:
    index = bisect_left(candidates, (time,))
    nearest = min(candidates[max(0, index - 1) : index + 1], key=lambda candidate: abs(candidate[0] - time))
    return nearest[1] if abs(nearest[0] - time) <= tolerance else None

"""Any RGB-D folder in the TUM benchmark's format (Sturm et al., IROS 2012): pairs of a picture and 16-bit depth.

There is no sound in it: it trains and tests the RGB teacher on other real data.
"""

from pathlib import Path

import numpy as np

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.config import DataConfig, Split
from echodepth.data.images import DepthMap, open_image
from echodepth.data.sample import File, Modality, Record

ASSOCIATION_FILES = ("assoc.txt", "associations.txt")
TIME_LINE: dict[Split, tuple[float, float]] = {"train": (0.0, 0.70), "val": (0.72, 0.78), "test": (0.80, 1.0)}
"""Which stretch of the recording each split takes. Neighbouring frames look alike, so gaps keep them apart."""


def list_records(config: DataConfig, split: Split, modalities: tuple[Modality, ...]) -> list[Record]:
    """List a split's pairs from the association list; opens no picture but the first pair's.

    Each line reads ``time file time file``, the picture or the depth first.

    Args:
        config: the root.
        split: the first 70 % of the time line for train, the last 20 % for test, and for val 72 % to 78 %.
        modalities: image, depth or both.

    Returns:
        Records in the order of their time.

    Raises:
        ConfigError: ``locations`` or ``leave_out`` is given: one recording has no locations.
        DataError: audio is asked for, or the list is missing, malformed or too short.
    """
    if "audio" in modalities:
        raise DataError("--dataset rgbd has no audio: train the RGB teacher on it, and binaural models on BatVision")
    if config.locations or config.leave_out is not None:
        raise ConfigError("--locations and --leave_out belong to BatVision: --dataset rgbd is a single recording")
    table = _find_table(config.root)
    pairs = _read_pairs(table)
    image_first = _image_first(config.root, pairs[0][1:3])
    records = []
    for position, (_, first, second, line) in enumerate(pairs):
        start, end = TIME_LINE[split]
        if not start <= position / len(pairs) < end:
            continue
        image, depth = (first, second) if image_first else (second, first)
        records.append(
            Record(
                name=depth,
                location=config.root.name,
                room=config.root.name,
                image=config.root / image if "image" in modalities else None,
                audio=(),
                depth=config.root / depth if "depth" in modalities else None,
                source=f"{table}, line {line}",
            )
        )
    if not records:
        raise DataError(f"{table} lists {len(pairs)} pairs, too few for a {split} split: 17 are enough for all three")
    return records


def read_depth(path: File, depth_scale: float) -> DepthMap:
    """Read a 16-bit depth picture; 0 is invalid.

    Args:
        path: a one-channel 16-bit PNG.
        depth_scale: units per metre: 5000 for TUM, 1000 for millimetres.

    Returns:
        The map in metres.

    Raises:
        DataError: the file is unreadable, cut short, or not a 16-bit picture.
    """
    with open_image(path) as image:
        if not image.mode.startswith("I"):
            raise DataError(f"{path} holds {image.mode} pixels: depth is a one-channel 16-bit PNG")
        try:
            units = np.asarray(image, dtype=np.float32)
        except (OSError, SyntaxError) as error:
            raise DataError(f"{path} cannot be decoded: {error}") from error
    return DepthMap(units / np.float32(depth_scale), units > 0)


def _find_table(root: Path) -> Path:
    if not root.is_dir():
        raise DataError(
            f"RGB-D folder {root} not found: --data_dir names it; recordings are at "
            "https://cvg.cit.tum.de/data/datasets/rgbd-dataset"
        )
    for name in ASSOCIATION_FILES:
        if (root / name).is_file():
            return root / name
    raise DataError(
        f"{root} has no {' or '.join(ASSOCIATION_FILES)}: make one with TUM's associate.py; each line reads "
        "`time picture time depth`"
    )


def _read_pairs(table: Path) -> list[tuple[float, str, str, int]]:
    """Time, first file, second file and line number of every pair, in the order of time."""
    pairs = []
    for line, text in enumerate(table.read_text(encoding="utf-8").splitlines(), start=1):
        fields = text.split()
        if not fields or fields[0].startswith("#"):
            continue
        try:
            time, first, _, second = float(fields[0]), fields[1], float(fields[2]), fields[3]
        except (IndexError, ValueError):
            raise DataError(f"{table}, line {line}: {text!r} does not read `time file time file`") from None
        pairs.append((time, first, second, line))
    if not pairs:
        raise DataError(f"{table} lists no pairs: each line reads `time picture time depth`")
    return sorted(pairs)


def _image_first(root: Path, pair: tuple[str, str]) -> bool:
    """Whether the list names the picture before the depth: by the paths, else by the first pair's pixels."""
    says_depth = ["depth" in name.lower() for name in pair]
    if says_depth[0] != says_depth[1]:
        return says_depth[1]
    with open_image(root / pair[0]) as first:
        return not first.mode.startswith("I")

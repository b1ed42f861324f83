"""RGB-D folders in the format of the TUM benchmark (Sturm et al., IROS 2012): pairs of an image and 16-bit depth.

They have no audio and serve to train and test the RGB teacher on other real data.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from echodepth.core.errors import ConfigError, DataError
from echodepth.core.input_files import read_text
from echodepth.core.safe_paths import DataRoot
from echodepth.data.config import DataConfig
from echodepth.data.dataset_registry import DATASETS, DatasetReader
from echodepth.data.images import DepthMap, open_image, read_depth_image
from echodepth.data.records import File, Modality, Record, Split
from echodepth.data.row_names import row_name

ASSOCIATION_FILES = ("assoc.txt", "associations.txt")
TIME_RANGES: dict[Split, tuple[float, float]] = {"train": (0.0, 0.70), "val": (0.72, 0.78), "test": (0.80, 1.0)}
"""The part of the recording in each split. Gaps separate neighbouring frames, which are nearly identical."""


@dataclass(frozen=True)
class RGBDConfig(DataConfig):
    """Flags of an RGB-D folder."""

    depth_scale: float = field(default=5000.0, kw_only=True)
    """Units per metre of the depth image: 5000 for TUM, 1000 for millimetres (rgbd only)."""


@DATASETS.register
class RGBD(DatasetReader[DataConfig]):
    """Reader of an RGB-D folder. Depth is clipped at 10 m, the range of a structured-light camera."""

    name = "rgbd"
    title = "RGB-D folder"
    config = RGBDConfig
    modalities = ("image", "depth")
    max_depth = 10.0
    layout = f"ROOT/{ASSOCIATION_FILES[0]} with lines `time image time depth`"
    licence = "a folder of RGB-D frames, under its owner's terms"
    has_rooms = False
    has_locations = False

    @classmethod
    def list_records(cls, config: DataConfig, split: Split, modalities: tuple[Modality, ...]) -> list[Record]:
        """List a split's pairs from the association list; opens the first pair's image at most.

        Each line reads ``time file time file``, with image and depth in either order. train is the first 70 % of the
        recording, val 72 % to 78 %, test the last 20 %.

        Returns:
            Records in the order of time.

        Raises:
            DataError: the list is missing, malformed or too short.
        """
        table, root = _find_table(config.root), DataRoot(config.root)
        pairs = _read_pairs(table)
        image_first = _image_first(root, table, pairs[0])
        start, end = TIME_RANGES[split]
        pairings = Counter(second if image_first else first for _, first, second, _ in pairs)
        records = []
        for index, (_, first, second, line) in enumerate(pairs):
            if not start <= index / len(pairs) < end:
                continue
            image, depth = (first, second) if image_first else (second, first)
            source = f"{table}, line {line}"
            paths = {"image": root.join(source, image), "depth": root.join(source, depth)}
            records.append(
                Record(
                    name=depth if pairings[depth] == 1 else row_name(depth, (("depth", depth), ("image", image)), ""),
                    location=config.root.name,
                    room=config.root.name,
                    image=paths["image"] if "image" in modalities else None,
                    audio=(),
                    depth=paths["depth"] if "depth" in modalities else None,
                    source=source,
                )
            )
        if not records:
            raise DataError(f"{table} lists {len(pairs)} pairs, too few for a {split} split: at least 17 are needed")
        return records

    @classmethod
    def has_split(cls, root: Path, split: Split) -> bool:
        """Whether there is an association list: each split is a part of it."""
        return any((root / name).is_file() for name in ASSOCIATION_FILES)

    @classmethod
    def recognise(cls, root: Path) -> bool:
        """Whether there is an association list."""
        return cls.has_split(root, "train")

    @classmethod
    def read_depth(cls, file: File, units: int | float) -> DepthMap:
        """Read a 16-bit PNG; see ``read_depth_image``."""
        return read_depth_image(file, units)

    @classmethod
    def depth_units(cls, config: DataConfig) -> float:
        """``--depth_scale``.

        Raises:
            ConfigError: it is not positive.
        """
        units = config.depth_scale if isinstance(config, RGBDConfig) else RGBDConfig.depth_scale
        if not units > 0:
            raise ConfigError(f"depth_scale is {units}: give the depth image's units per metre")
        return units


def _find_table(root: Path) -> Path:
    if not root.is_dir():
        raise DataError(
            f"RGB-D folder {root} not found: --data_dir selects it; recordings are at "
            "https://cvg.cit.tum.de/data/datasets/rgbd-dataset"
        )
    for name in ASSOCIATION_FILES:
        if (root / name).is_file():
            return root / name
    raise DataError(
        f"{root} has no {' or '.join(ASSOCIATION_FILES)}: create one with TUM's associate.py; each line reads "
        "`time image time depth`"
    )


def _read_pairs(table: Path) -> list[tuple[float, str, str, int]]:
    """Time, first file, second file and line number of every pair, in the order of time."""
    pairs = []
    for line, text in enumerate(read_text(table).splitlines(), start=1):
        fields = text.split()
        if not fields or fields[0].startswith("#"):
            continue
        try:
            time, first, _, second = float(fields[0]), fields[1], float(fields[2]), fields[3]
        except (IndexError, ValueError):
            raise DataError(f"{table}, line {line}: {text!r} does not read `time file time file`") from None
        pairs.append((time, first, second, line))
    if not pairs:
        raise DataError(f"{table} lists no pairs: each line reads `time image time depth`")
    return sorted(pairs)


def _image_first(root: DataRoot, table: Path, pair: tuple[float, str, str, int]) -> bool:
    """Whether the list names the image before the depth: by the paths, otherwise by the first pair's pixels."""
    _, *names, line = pair
    names_depth = ["depth" in str(name).lower() for name in names]
    if names_depth[0] != names_depth[1]:
        return names_depth[1]
    with open_image(root.join(f"{table}, line {line}", str(names[0]))) as first:
        return not first.mode.startswith("I")

"""The data flags, shared by training, evaluation and comparison. Imports nothing heavy: it feeds --help."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.constructors import PrimitiveConstructorSpec

from echodepth.core.errors import ConfigError

DatasetName = Literal["batvisionv1", "batvisionv2", "rgbd", "simulated"]
Split = Literal["train", "val", "test"]
SPEED_OF_SOUND = 340.0
"""m/s, as in BatVision's own code, so that cuts and depths agree with published figures."""

DEFAULT_MAX_DEPTH: dict[DatasetName, float] = {
    "batvisionv1": 12.0,
    "batvisionv2": 30.0,
    "rgbd": 10.0,
    "simulated": 30.0,
}
"""Metres. BatVision, and what is simulated in its format: the clip of each version's official code; rgbd: the reach
of a structured-light camera."""


SOURCE_FLAGS = frozenset({"data_dir", "shard_cache", "check_hashes"})
"""Flags that say where the same samples are read."""


def address(text: str) -> Path | str:
    """A folder, or an address such as ``s3://bucket/rooms`` left as it is: a path would make one slash of its two."""
    return text if "://" in text else Path(text)


Address = Annotated[
    Path | str,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH|URL",
        instance_from_str=lambda words: address(words[0]),
        is_instance=lambda given: isinstance(given, Path | str),
        str_from_instance=lambda given: [str(given)],
    ),
]
"""The type of a flag that takes either."""


def cache_folder() -> Path:
    """Where things are kept that can be made again: ``ECHODEPTH_CACHE``, or echodepth in the user's cache."""
    named = os.environ.get("ECHODEPTH_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "echodepth"


@dataclass(frozen=True)
class DataConfig:
    """Which data is read, and how."""

    dataset: DatasetName = "batvisionv2"
    """Which reader: batvisionv1, batvisionv2, rgbd (any folder with a TUM association list), or simulated."""
    data_dir: Address | None = None
    """The dataset's root; data/<dataset> when not given. simulated: ~/.cache/echodepth, filled at first use. Or where
    its shards are: a folder, https://..., s3://... ."""
    image_size: int = 256
    """Side in pixels of image, depth map and spectrogram as the network sees them."""
    max_depth: float | None = None
    """Metres; farther depth is clipped to it. Default: 30 for V2, 12 for V1, 10 for rgbd."""
    audio_start: Literal["onset", "zero"] | int = "onset"
    """Where the waveform is cut: the direct sound's onset, sample zero, or a fixed sample."""
    audio_seconds: float | None = None
    """Length of the cut; default: the time sound takes to max_depth and back at 340 m/s."""
    locations: tuple[str, ...] = ()
    """Only these BatVision V2 locations (V1: dated folders); all when empty."""
    leave_out: str | None = None
    """Train on all locations but this one; all of its rows, of every split, become the test split."""
    skip_bad: bool = False
    """Leave bad rows out, count and list them; otherwise the first bad row stops the run."""
    depth_scale: float = 5000.0
    """rgbd only: the PNG's units per metre (TUM: 5000, millimetres: 1000)."""
    shard_cache: Path | None = None
    """Shards only: keep those that were fetched in this folder, and read them there the next time."""
    check_hashes: bool = False
    """Shards only: compare each one that is read to its end with the hash in the index."""

    @property
    def address(self) -> Path | str:
        """Where the dataset is, as a message names it: a folder, or the address of shards."""
        return self.data_dir if isinstance(self.data_dir, str) else self.root

    @property
    def root(self) -> Path:
        """The dataset's folder.

        Raises:
            ConfigError: ``data_dir`` is an address.
        """
        if isinstance(self.data_dir, str):
            raise ConfigError(
                f"--data_dir {self.data_dir}: shards at an address are read by training and by `echodepth evaluate`; "
                "give a folder with the dataset's files here"
            )
        if self.data_dir is not None:
            return self.data_dir
        return cache_folder() / "simulated" if self.dataset == "simulated" else Path("data") / self.dataset

    @property
    def depth_limit(self) -> float:
        """``max_depth`` in metres, with the dataset's own default."""
        return self.max_depth if self.max_depth is not None else DEFAULT_MAX_DEPTH[self.dataset]

    @property
    def cut_seconds(self) -> float:
        """Length of the waveform in seconds."""
        return self.audio_seconds if self.audio_seconds is not None else 2 * self.depth_limit / SPEED_OF_SOUND

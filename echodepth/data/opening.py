"""Opening a split, whatever its storage."""

from echodepth.data.config import DataConfig
from echodepth.data.dataset import open_dataset
from echodepth.data.images import DepthResize
from echodepth.data.label_subset import ALL_LABELS, LabelSubset
from echodepth.data.records import ALL_MODALITIES, Modality, Split
from echodepth.data.split_dataset import SplitDataset
from echodepth.data.streaming.dataset import open_shards
from echodepth.data.streaming.index import is_sharded


def open_split(
    config: DataConfig,
    split: Split,
    modalities: tuple[Modality, ...] = ALL_MODALITIES,
    depth_resize: DepthResize = "nearest",
    labels: LabelSubset = ALL_LABELS,
) -> SplitDataset:
    """Open one split of a dataset in files or shards; arguments and errors are those of ``open_dataset``."""
    if is_sharded(config):
        return open_shards(config, split, modalities, depth_resize, labels)
    return open_dataset(config, split, modalities, depth_resize, labels)

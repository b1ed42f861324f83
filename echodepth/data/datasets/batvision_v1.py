"""BatVision V1 (arXiv 1912.07011): one CSV list per split in the root, one ``.npy`` per ear."""

from pathlib import Path

from echodepth.data.batvision_csv import BATVISION_LICENCE, BatVisionReader
from echodepth.data.dataset_registry import DATASETS
from echodepth.data.records import Modality


@DATASETS.register
class BatVisionV1(BatVisionReader):
    """Reader of BatVision V1. Its locations are the dated folders; depth is clipped at 12 m as in its own code."""

    name = "batvisionv1"
    title = "BatVision V1"
    max_depth = 12.0
    layout = "ROOT/train.csv beside dated folders"
    licence = f"BatVision V1, {BATVISION_LICENCE}"
    list_pattern = "{split}.csv"
    columns = {  # noqa: RUF012 - declared a ClassVar by the base class
        "image": (("camera path left",),),
        "audio": (("audio path left",), ("audio path right",)),
        "depth": (("depth path",),),
    }

    @classmethod
    def identify(cls, table: Path, modality: Modality, path: str) -> tuple[str, str]:
        """The depth map's path and its dated folder."""
        parts = Path(path).parts
        return "/".join(parts), parts[0]

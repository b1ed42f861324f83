"""BatVision V2 (arXiv 2303.07257): one folder per location with its own CSV lists, stereo WAV files."""

from pathlib import Path

from echodepth.core.field_of_view import BATVISION_V2
from echodepth.core.safe_paths import DataRoot
from echodepth.data.batvision_csv import BATVISION_LICENCE, DOWNLOAD, BatVisionReader
from echodepth.data.dataset_registry import DATASETS
from echodepth.data.records import Modality
from echodepth.data.row_names import place


@DATASETS.register
class BatVisionV2(BatVisionReader):
    """Reader of BatVision V2. Depth is clipped at 30 m as in its own code."""

    name = "batvisionv2"
    title = "BatVision V2"
    max_depth = 30.0
    layout = "ROOT/<location>/train.csv"
    licence = f"BatVision V2, {BATVISION_LICENCE}"
    field_of_view = BATVISION_V2
    list_pattern = "*/{split}.csv"
    columns = {  # noqa: RUF012 - declared a ClassVar by the base class
        "image": (("camera path", "camera file name"),),
        "audio": (("audio path", "audio file name"),),
        "depth": (("depth path", "depth file name"),),
    }

    @classmethod
    def identify(cls, table: Path, modality: Modality, path: str) -> tuple[str, str]:
        """``<location>/<number>``, with any folder between them, and the location that the list lies in."""
        location = table.parent.name
        return "/".join(filter(None, (location, *place(path, modality, location)))), location

    @classmethod
    def remedy(cls, root: Path) -> str:
        """Download, or simulated rooms."""
        return f"{DOWNLOAD}, or use simulated rooms with --dataset simulated"

    @classmethod
    def _locations(cls, root: DataRoot, table: Path) -> set[str]:
        return {table.parent.name}

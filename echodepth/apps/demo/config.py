"""Flags of ``echodepth demo``. Imports nothing heavy, because ``--help`` reads it."""

from dataclasses import dataclass
from pathlib import Path

from echodepth.core.flags import PathsFromText


@dataclass(frozen=True)
class DemoConfig(PathsFromText):
    """Serve a web page that runs a model on recordings or images."""

    checkpoint: str | None = None
    """Model: a best/ folder, an epoch_XXXX.pth, an experiment, or ORG/NAME on the Hub; default: echodepth-light."""
    compare_with: str | None = None
    """Second model, shown in a row of its own below the first."""
    examples: tuple[Path, ...] = ()
    """Files, folders or quoted patterns, image and depth beside; default: the package's or six of the model's set."""
    data_dir: Path | None = None
    """Root folder of the dataset for the default examples; default: as for evaluate."""
    fov: float | None = None
    """Initial horizontal field of view of the point cloud, in degrees; default: that of the model's camera."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 accepts connections from other machines."""
    allowed_hosts: tuple[str, ...] = ()
    """Further names that the page is reached under, as behind a proxy; addresses and the machine's name are known."""
    port: int = 7860
    """Port to listen on, 1 to 65535."""
    share: bool = False
    """Also open a public address through a Gradio server; this needs a network connection."""
    trust_code: bool = False
    """Open a .pt2 file, which can hold code that runs on opening: only one that you exported yourself."""
    mirror_average: bool = False
    """Average each prediction with that of the mirrored input (ears or image sides exchanged); twice the time."""
    device: str = "auto"
    """Device that computes: auto, cpu, cuda, cuda:1 or mps."""

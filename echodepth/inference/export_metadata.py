"""What an exported file says of itself, so that it can be used without the folder it was made from."""

import importlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.inference.config import BackendName, ExportFormat
from echodepth.models.format_1 import upgrade_run
from echodepth.models.run_record import RunRecord

FORMAT = 1
KEY = "echodepth"
"""The entry of the file's own metadata under which the facts are kept, as JSON."""
SUFFIXES: dict[ExportFormat, str] = {"onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2"}
RUNS: dict[str, BackendName] = {".onnx": "onnx", ".xml": "openvino", ".pt2": "torch"}
"""The backend that a file is for, by its suffix."""


@dataclass(frozen=True)
class ExportMetadata:
    """All that prediction needs to know beside the graph, and how far the file can be trusted.

    Attributes:
        version: of the package that wrote the file.
        checkpoint: from which it was made.
        precision: fp32, fp16 or int8.
        input_key: ``image`` or ``audio``.
        image_size: side of the depth map, and of the image that goes in.
        max_depth: upper end of the prediction, in metres.
        run: the record of the training, data settings included.
        sample_rate: of the waveforms, in Hz; None of an RGB model.
        samples: length of the waveforms; None of an RGB model.
        difference: largest difference from PyTorch, in metres, over trial inputs of two batch sizes.
        accuracy: fp16 and int8: RMSE in metres ``before`` and ``after``, and on what; else None.
        format: of this record.
    """

    version: str
    checkpoint: str
    precision: str
    input_key: str
    image_size: int
    max_depth: float
    run: RunRecord
    sample_rate: int | None
    samples: int | None
    difference: float | None = None
    accuracy: dict[str, Any] | None = None
    format: int = FORMAT

    @property
    def input_shape(self) -> tuple[int, int] | tuple[int, int, int]:
        """Of one input, without the batch."""
        return (3, self.image_size, self.image_size) if self.samples is None else (2, self.samples)

    def to_json(self) -> str:
        """For the file's metadata."""
        return json.dumps({**asdict(self), "run": self.run.to_plain()})


def read_facts(text: str | None, path: Path) -> ExportMetadata:
    """Facts from a file's metadata.

    Raises:
        CheckpointError: there are none, or another version wrote them.
    """
    again = "make it again with echodepth export"
    try:
        told = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: what it says of itself is damaged; {again}") from error
    if not isinstance(told, dict) or "format" not in told:
        raise CheckpointError(f"{path} was not made by echodepth export, so what goes in and comes out is not known")
    if told["format"] != FORMAT or set(told) != {field.name for field in fields(ExportMetadata)}:
        raise CheckpointError(
            f"{path} was exported by echodepth {told.get('version', 'of an unknown version')}, in a form (format "
            f"{told['format']}) that this version does not read; {again}"
        )
    return ExportMetadata(**{**told, "run": RunRecord.from_plain(upgrade_run(told["run"]))})


def import_extra(module: str) -> Any:
    """A module of the extra ``export``.

    Raises:
        ConfigError: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"{module} cannot be imported ({error}): pip install 'echodepth[export]'") from error

"""Metadata inside an exported file, so that the file can be used without the checkpoint that it was made from."""

import importlib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.core.schema import SchemaError, has_type, parse, parse_json, short
from echodepth.data.audio import LONGEST_CUT
from echodepth.inference.config import BackendName, ExportFormat
from echodepth.models.format_1 import upgrade_run
from echodepth.models.frontends.base import LARGEST_SIZE, MINIMUM_SIZE
from echodepth.models.heads import LARGEST_DEPTH
from echodepth.models.run_record import RunRecord

FORMAT = 1
_OTHERS = ("run", "accuracy", "difference")
"""Entries that are checked elsewhere, or only shown."""
METADATA_KEY = "echodepth"
"""Entry of the file's own metadata that holds this record as JSON."""
_TELEMETRY = "openvino_telemetry"
SUFFIXES: dict[ExportFormat, str] = {"onnx": ".onnx", "openvino": ".xml", "pt2": ".pt2", "safetensors": ""}
BACKEND_BY_SUFFIX: dict[str, BackendName] = {".onnx": "onnx", ".xml": "openvino", ".pt2": "torch"}
"""Backend that runs a file, by the file's suffix."""


@dataclass(frozen=True)
class ExportMetadata:
    """What prediction needs besides the graph, and the measured accuracy of the file.

    Attributes:
        version: version of the package that wrote the file.
        checkpoint: checkpoint that the file was made from.
        precision: fp32, fp16 or int8.
        input_key: ``image`` or ``audio``.
        image_size: side of the depth map and of the input image, in pixels.
        max_depth: upper end of the prediction, in metres.
        run: record of the training run, with the data settings and the camera's field of view.
        sample_rate: sample rate of the waveforms, in Hz; None for an RGB model.
        samples: length of the waveforms, in samples; None for an RGB model.
        difference: largest difference from PyTorch, in metres, over trial inputs of two batch sizes.
        accuracy: fp16 and int8: RMSE in metres ``before`` and ``after``, with metric, split, protocol and number of
            images; None for fp32.
        mirror_average: whether the graph averages its outputs with those of the mirrored input.
        format: format of this record.
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
    mirror_average: bool = False
    format: int = FORMAT

    @property
    def input_shape(self) -> tuple[int, int] | tuple[int, int, int]:
        """Shape of one input, without the batch axis."""
        return (3, self.image_size, self.image_size) if self.samples is None else (2, self.samples)

    def to_json(self) -> str:
        """The record as JSON."""
        return json.dumps({**asdict(self), "run": self.run.to_plain()})


def parse_metadata(text: str | None, path: Path) -> ExportMetadata:
    """Parse the JSON record of an exported file.

    Args:
        text: JSON, or None if the file has no such entry.
        path: the file, for error messages.

    Raises:
        CheckpointError: the record is missing or damaged, or another version wrote it.
    """
    remedy = "make it again with echodepth export"
    try:
        record = parse_json(text or "{}")
    except SchemaError as error:
        raise CheckpointError(f"{path}: its metadata is damaged; {remedy}") from error
    if not isinstance(record, dict) or "format" not in record:
        raise CheckpointError(f"{path} was not made by echodepth export, so its inputs and outputs are unknown")
    record.setdefault("mirror_average", False)  # files from before it existed
    if record["format"] != FORMAT or set(record) != {field.name for field in fields(ExportMetadata)}:
        raise CheckpointError(
            f"{path} was exported by echodepth {short(record.get('version', 'unknown'))}, with metadata (format "
            f"{short(record['format'])}) that this version does not read; {remedy}"
        )
    try:
        parse(RunRecord, record["run"], "run")
        run = RunRecord.from_plain(upgrade_run(record["run"]), path)
    except ValueError as error:
        raise CheckpointError(f"{path}: the record of its training cannot be read ({error}); {remedy}") from error
    types = get_type_hints(ExportMetadata)
    wrong = [name for name, value in record.items() if name not in _OTHERS and not has_type(value, types[name])]
    if wrong or not _is_in_range(record):
        raise CheckpointError(f"{path}: its metadata has another type, or a size out of range; {remedy}")
    return ExportMetadata(**{**record, "run": run})


def _is_in_range(record: Mapping[str, Any]) -> bool:
    """Whether the numbers that inputs and outputs are allocated by are those of a model."""
    samples = record["samples"]
    return (
        MINIMUM_SIZE <= record["image_size"] <= LARGEST_SIZE
        and 0 < record["max_depth"] <= LARGEST_DEPTH
        and record["input_key"] == ("image" if samples is None else "audio")
        and (samples is None or 1 <= samples <= LONGEST_CUT * SAMPLE_RATE)
    )


def import_extra(module: str) -> Any:
    """Import a module of the optional dependencies ``export``.

    OpenVINO reports its use to its maker from an import on, unasked, and keeps a file for it in the home folder: it is
    imported as if its package for that were not installed.

    Raises:
        ConfigError: the module is not installed or cannot be imported.
    """
    sys.modules.setdefault(_TELEMETRY, None)  # type: ignore[arg-type]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(f"{module} cannot be imported ({error}): pip install 'echodepth[export]'") from error

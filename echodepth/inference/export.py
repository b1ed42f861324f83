"""Export of trained models to ONNX, OpenVINO and torch.export.

Every file is verified before it appears: it is written to a temporary folder, loaded by its runtime, and compared with
the model in PyTorch at two batch sizes, both different from the traced one. The loss of accuracy of a lower precision
is measured on the model's own data, in metres.
"""

import copy
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from echodepth import __version__
from echodepth.core.atomic_io import move_into_place, scratch_folder
from echodepth.core.constants import SAMPLE_RATE
from echodepth.core.errors import CheckpointError, ConfigError, EchodepthError, is_of_machine, require_at_least
from echodepth.core.packaged import DEFAULT_MODEL
from echodepth.data.audio import AudioCut
from echodepth.data.dataset import DepthDataset, open_dataset
from echodepth.data.recorded import data_to_read, trained_data
from echodepth.data.records import Modality
from echodepth.inference.backends import load_backend
from echodepth.inference.config import ExportConfig
from echodepth.inference.export_graph import DepthGraph
from echodepth.inference.export_metadata import BACKEND_BY_SUFFIX, SUFFIXES, ExportMetadata, import_extra
from echodepth.inference.exporters import Write, folder_writer, onnx_writer, openvino_writer, pt2_writer, trace_onnx
from echodepth.inference.quantize import quantize
from echodepth.metrics.depth import DepthMetrics
from echodepth.metrics.protocols import get_protocol
from echodepth.models.checkpoint import DepthModel, load_depth_model
from echodepth.models.mirror_average import MirrorAveraged, RawPredictor

log = logging.getLogger(__name__)

TOLERANCE = 1e-3
"""Largest difference from PyTorch that a file in single precision may have, in metres."""
TRIAL_BATCHES = (1, 3)
REQUIRED_PACKAGES = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
    "pt2": (),
    "safetensors": (),
}
_PROTOCOL = "valid"


@dataclass(frozen=True)
class _Splits:
    """Data for a lower precision: calibration frames (int8 only), and frames to score on."""

    calibration: DepthDataset | None
    scored: DepthDataset


def export(config: ExportConfig) -> Path:
    """Write a trained model as a file for another runtime.

    Returns:
        ``<experiment>_<precision>[_mirror_average]`` with suffix ``.onnx``, ``.xml`` (beside it a ``.bin``) or
        ``.pt2``, or without one for a model folder, in ``config.out`` or ``results/<experiment>/exported``.

    Raises:
        CheckpointError: the model does not exist, cannot be exported to this format, or its exported graph computes
            something else.
        ConfigError: format and precision cannot be combined, or the extra ``export`` is not installed.
        DataError: the dataset that a lower precision needs is missing or bad.
    """
    require_at_least(1, calibration_samples=config.calibration_samples, scored_samples=config.scored_samples)
    if config.precision == "int8" and config.format not in ("onnx", "openvino"):
        raise ConfigError(f"--precision int8 is made for --format onnx or openvino, not for {config.format}")
    if config.mirror_average and config.format == "safetensors":
        raise ConfigError("--format safetensors holds weights alone: give --mirror_average to `echodepth predict`")
    for package in (*REQUIRED_PACKAGES[config.format], *(("onnxruntime",) if config.precision == "int8" else ())):
        import_extra(package)
    model = load_depth_model(config.checkpoint).requires_grad_(False)
    splits = None if config.precision == "fp32" else _open_splits(model, config)
    name = model.run.experiment_name
    folder = config.out if config.out is not None else Path("results") / name / "exported"
    folder.mkdir(parents=True, exist_ok=True)
    mirrored = "_mirror_average" if config.mirror_average else ""
    file_name = f"{name}_{config.precision}{mirrored}{SUFFIXES[config.format]}"
    reference = MirrorAveraged(model) if config.mirror_average else model
    with scratch_folder(folder / file_name) as scratch:
        path, metadata = scratch / file_name, _metadata(model, config)
        with _one_line_errors(config):
            write = _make_writer(model, config, splits, path)
            write(metadata)
            runtime = BACKEND_BY_SUFFIX.get(path.suffix, "torch")
            backend = load_backend(path, runtime, "cpu", trust_code=True)  # just written
            metadata = replace(metadata, difference=difference(backend, reference, trial_inputs(model)))
        if config.precision == "fp32" and not (metadata.difference or 0.0) <= TOLERANCE:
            raise CheckpointError(
                f"{name} as {config.format} differs from PyTorch by {metadata.difference:.2g} m, more "
                f"than {TOLERANCE} m: nothing was written"
            )
        if splits is not None:
            metadata = replace(metadata, accuracy=_accuracy(reference, backend, splits.scored, config))
        write(metadata)
        del backend  # some systems cannot move an open file
        if (folder / file_name).is_dir():
            shutil.rmtree(folder / file_name)  # a folder cannot be replaced
        move_into_place([path.with_suffix(".bin"), path] if config.format == "openvino" else [path], folder)
    _log_result(folder / file_name, metadata)
    return folder / file_name


def trial_inputs(model: DepthModel) -> list[Tensor]:
    """Inputs for comparing a graph with its model, one batch per size in ``TRIAL_BATCHES``.

    Images are uniform noise. Waveforms are decaying noise that becomes silent in the left ear, then in both.
    """
    generator = torch.Generator().manual_seed(0)
    if model.input_key == "image":
        size = model.image_size
        return [torch.rand(batch, 3, size, size, generator=generator) for batch in TRIAL_BATCHES]
    samples = _samples(model)
    envelope = 0.3 * torch.exp(-6 * torch.arange(samples) / samples).expand(2, -1).clone()
    envelope[0, samples // 2 :] = 0
    envelope[1, 3 * samples // 4 :] = 0
    return [envelope * torch.randn(batch, 2, samples, generator=generator) for batch in TRIAL_BATCHES]


def difference(backend: RawPredictor, model: RawPredictor, inputs: list[Tensor]) -> float:
    """Largest absolute difference from PyTorch in depth and uncertainty, in metres; infinite if a value is NaN."""
    largest = 0.0
    for raw in inputs:
        with torch.inference_mode():
            pairs = zip(backend.predict(raw)[:2], model.predict(raw)[:2], strict=True)
        for actual, expected in pairs:
            if actual is None or expected is None:
                largest = max(largest, 0.0 if actual is expected else float("inf"))
                continue
            error = (actual.cpu() - expected.cpu()).abs().nan_to_num(nan=float("inf"))
            largest = max(largest, float(error.max()))
    return largest


def evenly_spaced(total: int, count: int) -> list[int]:
    """At most ``count`` evenly spaced indices below ``total``."""
    return sorted({int(index) for index in np.linspace(0, total - 1, min(total, count)).round()})


@contextmanager
def _one_line_errors(config: ExportConfig) -> Iterator[None]:
    """Report what tracers and runtimes raise, whose exceptions have no common base class, as a failed export."""
    try:
        yield
    except (EchodepthError, OSError):
        raise
    except Exception as error:  # a tracer may meet any error of a network's own code
        if is_of_machine(error):
            raise
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        raise CheckpointError(
            f"{config.checkpoint or DEFAULT_MODEL} cannot be exported as {config.format} ({reason}): nothing was "
            "written; its network must consist of operations that the format has, for any number of inputs: try "
            "another --format"
        ) from error


def _samples(model: DepthModel) -> int:
    return AudioCut(seconds=trained_data(model).cut_seconds).frames


def _metadata(model: DepthModel, config: ExportConfig) -> ExportMetadata:
    is_audio = model.input_key == "audio"
    return ExportMetadata(
        version=__version__,
        checkpoint=config.checkpoint or DEFAULT_MODEL,
        precision=config.precision,
        input_key=model.input_key,
        image_size=model.image_size,
        max_depth=model.max_depth,
        run=model.run,
        sample_rate=SAMPLE_RATE if is_audio else None,
        samples=_samples(model) if is_audio else None,
        mirror_average=config.mirror_average,
    )


def _modality(model: DepthModel) -> Modality:
    return "image" if model.input_key == "image" else "audio"


def _open_splits(model: DepthModel, config: ExportConfig) -> _Splits:
    data = data_to_read(model, config.dataset, config.data_dir)
    modality = _modality(model)
    calibration = open_dataset(data, "train", (modality,)) if config.precision == "int8" else None
    scored = open_dataset(data, config.split, (modality, "depth"), get_protocol(_PROTOCOL).depth_resize)
    return _Splits(calibration, scored)


def _make_writer(model: DepthModel, config: ExportConfig, splits: _Splits | None, path: Path) -> Write:
    """Trace the model, quantise it for int8, and return the writer of the file."""
    if config.format == "safetensors":
        return folder_writer(model, config.precision, path)
    traced = copy.deepcopy(model)
    if config.precision == "fp16":
        traced.network.half()
    samples = _samples(model) if model.input_key == "audio" else 0
    graph = DepthGraph(traced, samples, config.mirror_average).eval()
    example = trial_inputs(model)[-1][:2]
    if config.format == "pt2":
        return pt2_writer(graph, example, path)
    source = path.with_suffix(".traced.onnx")
    trace_onnx(graph, example, 2 if model.has_uncertainty else 1, source)
    if splits is not None and splits.calibration is not None:
        floating, source = source, path.with_suffix(".int8.onnx")
        frames = evenly_spaced(len(splits.calibration), config.calibration_samples)
        quantize(floating, source, splits.calibration, frames, _modality(model))
    return onnx_writer(source, path) if config.format == "onnx" else openvino_writer(source, path)


def _accuracy(
    before: RawPredictor, after: RawPredictor, dataset: DepthDataset, config: ExportConfig
) -> dict[str, object]:
    """RMSE in metres of the model in PyTorch and of the exported file, and how far their depths differ at most."""
    frames = evenly_spaced(len(dataset), config.scored_samples)
    metrics, change = {"before": DepthMetrics(), "after": DepthMetrics()}, 0.0
    for batch in DataLoader(Subset(dataset, frames), batch_size=4):
        scored = get_protocol(_PROTOCOL).scored(batch["depth"], batch["valid"])
        depths = []
        for name, backend in (("before", before), ("after", after)):
            with torch.inference_mode():
                depths.append(backend.predict(batch[backend.input_key])[0].cpu())
            metrics[name].update(depths[-1], batch["depth"], scored)
        change = max(change, float((depths[1] - depths[0]).abs().max()))
    rmse = {name: float(metric.compute()["rmse"]) for name, metric in metrics.items()}
    facts = {"split": config.split, "protocol": _PROTOCOL, "images": len(frames), "largest_change": change}
    return {"metric": "rmse", **rmse, **facts}


def _log_result(path: Path, metadata: ExportMetadata) -> None:
    files = [*path.iterdir()] if path.is_dir() else [path]
    files += [path.with_suffix(".bin")] if path.suffix == ".xml" else []
    size = sum(file.stat().st_size for file in files) / 1e6
    log.info("%s: %.1f MB, differs from PyTorch by at most %.2g m on trial inputs", path, size, metadata.difference)
    if metadata.accuracy is not None:
        log.info(
            "RMSE on %d %s images, protocol %s: %.4f m before, %.4f m after; depth changes by at most %.2g m",
            *(metadata.accuracy[name] for name in ("images", "split", "protocol", "before", "after", "largest_change")),
        )

"""A trained model as one file that runs without this package's networks: ONNX, OpenVINO or torch.export.

No file appears that has not been run: it is written aside, read again by the runtime that it is for, and compared with
the model in PyTorch at two batch sizes, neither of them the one it was traced at. What a lower precision costs is
measured on the model's own data, in metres.
"""

import copy
import logging
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from echodepth import __version__
from echodepth.core.atomic_io import move_into_place
from echodepth.core.errors import CheckpointError, ConfigError, require_at_least
from echodepth.data.audio import SAMPLE_RATE, AudioCut
from echodepth.data.dataset import DepthDataset, open_dataset
from echodepth.data.sample import Modality
from echodepth.inference.backends import load_backend
from echodepth.inference.config import ExportConfig
from echodepth.inference.export_graph import DepthGraph
from echodepth.inference.export_metadata import RUNS, SUFFIXES, ExportMetadata, import_extra
from echodepth.inference.exporters import Write, onnx_writer, openvino_writer, pt2_writer, trace_onnx
from echodepth.inference.quantize import quantize
from echodepth.inference.runtime import Backend, experiment_name, trained_data
from echodepth.metrics.depth import DepthMetrics
from echodepth.metrics.protocols import get_protocol
from echodepth.models.checkpoint import DepthModel, load_model
from echodepth.simulate.default_set import make_once

log = logging.getLogger(__name__)

TOLERANCE = 1e-3
"""Metres that a file in single precision may differ from PyTorch."""
TRIAL_BATCHES = (1, 3)
NEEDED = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("onnx", "onnxscript", "openvino"), "pt2": ()}
_PROTOCOL = "valid"


@dataclass(frozen=True)
class _Splits:
    """The frames that a lower precision needs: to calibrate with (int8), and to be scored on."""

    training: DepthDataset | None
    scored: DepthDataset


def export(config: ExportConfig) -> Path:
    """Write a trained model as a file for another runtime.

    Returns:
        ``<experiment>_<precision>`` with ``.onnx``, ``.xml`` (beside it a ``.bin``) or ``.pt2``, in ``config.out`` or
        ``results/<experiment>/exported``.

    Raises:
        CheckpointError: there is no such model, or its graph does not compute what the model computes.
        ConfigError: format and precision do not go together, or the extra ``export`` is not installed.
        DataError: a lower precision needs the model's data, which are missing or bad.
    """
    require_at_least(1, calibration_samples=config.calibration_samples, scored_samples=config.scored_samples)
    if config.format == "pt2" and config.precision == "int8":
        raise ConfigError("--precision int8 is made for --format onnx or openvino, not for pt2")
    for package in (*NEEDED[config.format], *(("onnxruntime",) if config.precision == "int8" else ())):
        import_extra(package)
    model = load_model(config.checkpoint).requires_grad_(False)
    splits = None if config.precision == "fp32" else _open_splits(model, config)
    name = experiment_name(model)
    folder = config.out if config.out is not None else Path("results") / name / "exported"
    folder.mkdir(parents=True, exist_ok=True)
    file_name = f"{name}_{config.precision}{SUFFIXES[config.format]}"
    with tempfile.TemporaryDirectory(prefix=".unfinished_", dir=folder) as scratch:
        path = Path(scratch) / file_name
        write = _prepare(model, config, splits, path)
        facts = _facts(model, config)
        write(facts)
        backend = load_backend(path, RUNS[path.suffix], "cpu")
        facts = replace(facts, difference=difference(backend, model, trial_inputs(model)))
        if config.precision == "fp32" and not (facts.difference or 0.0) <= TOLERANCE:
            raise CheckpointError(
                f"{config.checkpoint} as {config.format} differs from PyTorch by {facts.difference:.2g} m, more than "
                f"{TOLERANCE} m: nothing was written"
            )
        if splits is not None:
            facts = replace(facts, accuracy=_accuracy(model, backend, splits.scored, config))
        write(facts)
        del backend  # on some systems an open file cannot be moved
        move_into_place([path.with_suffix(".bin"), path] if config.format == "openvino" else [path], folder)
    _tell(folder / file_name, facts)
    return folder / file_name


def trial_inputs(model: DepthModel) -> list[Tensor]:
    """Inputs to compare a graph by, a batch for each of ``TRIAL_BATCHES``.

    Of an RGB model coloured noise; of an audio model noise that dies away, and in one ear and then in both is silent.
    """
    generator = torch.Generator().manual_seed(0)
    if model.input_key == "image":
        size = model.image_size
        return [torch.rand(batch, 3, size, size, generator=generator) for batch in TRIAL_BATCHES]
    samples = _samples(model)
    dying = 0.3 * torch.exp(-6 * torch.arange(samples) / samples).expand(2, -1).clone()
    dying[0, samples // 2 :] = 0
    dying[1, 3 * samples // 4 :] = 0
    return [dying * torch.randn(batch, 2, samples, generator=generator) for batch in TRIAL_BATCHES]


def difference(backend: Backend, model: DepthModel, inputs: list[Tensor]) -> float:
    """Largest difference from a model in PyTorch, of depth and of uncertainty, in metres; infinite where one is NaN."""
    largest = 0.0
    for raw in inputs:
        with torch.inference_mode():
            answers = zip(backend.predict(raw)[:2], model.predict(raw)[:2], strict=True)
        for got, expected in answers:
            if got is None or expected is None:
                largest = max(largest, 0.0 if got is expected else float("inf"))
                continue
            off = (got.cpu() - expected.cpu()).abs().nan_to_num(nan=float("inf"))
            largest = max(largest, float(off.max()))
    return largest


def spread(total: int, wanted: int) -> list[int]:
    """At most ``wanted`` indices below ``total``, evenly spread."""
    return sorted({int(index) for index in np.linspace(0, total - 1, min(total, wanted)).round()})


def _samples(model: DepthModel) -> int:
    return AudioCut(seconds=trained_data(model).cut_seconds).frames


def _facts(model: DepthModel, config: ExportConfig) -> ExportMetadata:
    audio = model.input_key == "audio"
    return ExportMetadata(
        version=__version__,
        checkpoint=config.checkpoint,
        precision=config.precision,
        input_key=model.input_key,
        image_size=model.image_size,
        max_depth=model.max_depth,
        run=model.run,
        sample_rate=SAMPLE_RATE if audio else None,
        samples=_samples(model) if audio else None,
    )


def _part(model: DepthModel) -> Modality:
    return "image" if model.input_key == "image" else "audio"


def _open_splits(model: DepthModel, config: ExportConfig) -> _Splits:
    data = trained_data(model)
    if config.dataset not in (None, data.dataset):
        data = replace(data, dataset=config.dataset, data_dir=None, locations=(), leave_out=None)
    if config.data_dir is not None:
        data = replace(data, data_dir=config.data_dir)
    if data.dataset == "simulated" and data.data_dir is None:
        make_once(data.root)
    part = _part(model)
    training = open_dataset(data, "train", (part,)) if config.precision == "int8" else None
    return _Splits(training, open_dataset(data, config.split, (part, "depth"), get_protocol(_PROTOCOL).depth_resize))


def _prepare(model: DepthModel, config: ExportConfig, splits: _Splits | None, path: Path) -> Write:
    """Trace the model, and quantise it if that is wanted: what is left is to write the file."""
    traced = copy.deepcopy(model)
    if config.precision == "fp16":
        traced.network.half()
    graph = DepthGraph(traced, _samples(model) if model.input_key == "audio" else 0).eval()
    example = trial_inputs(model)[-1][:2]
    if config.format == "pt2":
        return pt2_writer(graph, example, path)
    source = path.with_suffix(".traced.onnx")
    trace_onnx(graph, example, 2 if model.has_uncertainty else 1, source)
    if splits is not None and splits.training is not None:
        whole, source = source, path.with_suffix(".int8.onnx")
        frames = spread(len(splits.training), config.calibration_samples)
        quantize(whole, source, splits.training, frames, _part(model))
    return onnx_writer(source, path) if config.format == "onnx" else openvino_writer(source, path)


def _accuracy(before: Backend, after: Backend, dataset: DepthDataset, config: ExportConfig) -> dict[str, object]:
    """RMSE in metres, of the model in PyTorch and of the file, on the same frames."""
    frames = spread(len(dataset), config.scored_samples)
    scores = {"before": DepthMetrics(), "after": DepthMetrics()}
    for batch in DataLoader(Subset(dataset, frames), batch_size=4):
        scored = get_protocol(_PROTOCOL).scored(batch["depth"], batch["valid"])
        for name, backend in (("before", before), ("after", after)):
            with torch.inference_mode():
                depth = backend.predict(batch[backend.input_key])[0]
            scores[name].update(depth.cpu(), batch["depth"], scored)
    rmse = {name: float(score.compute()["rmse"]) for name, score in scores.items()}
    return {"metric": "rmse", **rmse, "split": config.split, "protocol": _PROTOCOL, "images": len(frames)}


def _tell(path: Path, facts: ExportMetadata) -> None:
    files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    size = sum(file.stat().st_size for file in files) / 1e6
    log.info("%s: %.1f MB, differs from PyTorch by at most %.2g m on trial inputs", path, size, facts.difference)
    if facts.accuracy is not None:
        told = facts.accuracy
        log.info(
            "RMSE on %d %s images, protocol %s: %.4f m before, %.4f m after",
            *(told[name] for name in ("images", "split", "protocol", "before", "after")),
        )

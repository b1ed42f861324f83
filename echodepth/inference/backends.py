"""Runtimes for trained models behind one interface: PyTorch, ONNX Runtime and OpenVINO."""

import zipfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from echodepth.core.device import choose_device
from echodepth.core.errors import CheckpointError, ConfigError, is_of_machine
from echodepth.core.input_files import in_home
from echodepth.core.integrity import DamageError, check_file, warn_of_no_seal
from echodepth.core.packaged import DEFAULT_MODEL, packaged_model
from echodepth.inference.config import BackendName, CompileMode
from echodepth.inference.export_metadata import (
    BACKEND_BY_SUFFIX,
    METADATA_KEY,
    ExportMetadata,
    import_extra,
    parse_metadata,
)
from echodepth.inference.latency import LatencyModel
from echodepth.inference.runtime import Backend
from echodepth.models.checkpoint import load_depth_model
from echodepth.models.layers import Prediction

GraphRunner = Callable[[np.ndarray], Sequence[np.ndarray]]
"""Runs a graph on one input array and returns its output arrays."""


class ExportedModel:
    """An exported file, loaded in its runtime; a ``Backend``.

    Args:
        metadata: metadata of the file.
        run_graph: calls the runtime.

    Attributes:
        files: that it was loaded from.
    """

    def __init__(self, metadata: ExportMetadata, run_graph: GraphRunner) -> None:
        self.metadata = metadata
        self.files: tuple[Path, ...] = ()
        self.run_graph = run_graph
        self.input_key = metadata.input_key
        self.image_size = metadata.image_size
        self.max_depth = metadata.max_depth
        self.run = metadata.run

    def __repr__(self) -> str:
        return f"ExportedModel({', '.join(map(str, self.files))})"

    def predict(self, raw: Tensor) -> Prediction:
        """Predict depth as :meth:`Backend.predict` describes; there are no features.

        Raises:
            ConfigError: the shape of ``raw`` differs from the graph's input shape.
            CheckpointError: the graph cannot be run, or gives no maps: anyone may have written it.
        """
        if tuple(raw.shape[1:]) != self.metadata.input_shape:
            shape = ", ".join(map(str, self.metadata.input_shape))
            raise ConfigError(f"this exported model takes [B, {shape}], not {list(raw.shape)}")
        path = self.files[0] if self.files else Path("the exported model")
        try:
            outputs = self.run_graph(raw.float().cpu().numpy())
        except Exception as error:  # the exceptions of the runtimes have no common base class
            if is_of_machine(error):
                raise
            raise _damaged(path, error) from error
        maps = [torch.from_numpy(np.array(output)) for output in outputs]
        if not maps or any(each.ndim != 4 or each.shape[:2] != (len(raw), 1) for each in maps):
            shapes = ", ".join(str(list(each.shape)) for each in maps)
            raise _damaged(path, ValueError(f"its outputs are {shapes or 'none'}, not maps"))
        return Prediction(maps[0], maps[1] if len(maps) > 1 else None, {})


def load_backend(
    checkpoint: str | Path | None,
    backend: BackendName = "auto",
    device: str = "auto",
    compile: CompileMode | None = None,
    trust_code: bool = False,
) -> Backend:
    """Load a model into a runtime.

    Args:
        checkpoint: torch: a checkpoint, as ``--checkpoint`` names it, None for the default model, or a ``.pt2``; onnx:
            an ``.onnx``; openvino: an ``.xml`` with its ``.bin``.
        backend: torch, onnx or openvino; auto takes the one of the file's suffix, and torch for a checkpoint.
        device: torch: any torch device or auto; onnx: auto, cpu or cuda; openvino: auto, cpu, gpu or npu. Exported
            graphs use as many threads as torch does.
        compile: ``latency`` prepares a checkpoint for the shortest time of one frame, see ``LatencyModel``; exported
            files stay as they are.
        trust_code: open a ``.pt2``. It may contain pickled objects, which can run any code when they are read.

    Raises:
        CheckpointError: the file is missing or damaged, or another version wrote it.
        ConfigError: the file is a ``.pt2`` that is not trusted, or needs another backend; the backend is not installed,
            or the device is not available.
    """
    path = in_home(checkpoint or DEFAULT_MODEL)
    required = BACKEND_BY_SUFFIX.get(path.suffix)
    if backend == "auto":
        backend = required or "torch"
    if required is None and backend == "torch":
        model = load_depth_model(checkpoint, choose_device(device))
        return LatencyModel(model) if compile == "latency" else model
    if required is None:
        named = checkpoint or (DEFAULT_MODEL if packaged_model(DEFAULT_MODEL) else "MODEL")
        raise ConfigError(
            f"--backend {backend} needs an exported file, but {named} is none: make one with "
            f"echodepth export --checkpoint {named} --format {backend}"
        )
    if required != backend:
        raise ConfigError(f"{checkpoint} is not for --backend {backend}: leave it out, or use --backend {required}")
    files = (path, path.with_suffix(".bin")) if path.suffix == ".xml" else (path,)
    for each in files:
        if not each.is_file():  # a pipe would never end
            raise CheckpointError(f"{each} does not exist: make it with echodepth export")
    if backend == "torch" and not trust_code:
        raise ConfigError(
            f"{checkpoint}: a .pt2 can hold code that runs when it is opened; give an .onnx or .xml file, or the model "
            "folder, or --trust_code if you exported this file yourself"
        )
    try:
        is_sealed = check_file(*files)
    except DamageError as error:
        raise _damaged(path, error) from error
    exported = {"torch": _load_pt2, "onnx": _load_onnx, "openvino": _load_openvino}[backend](path, device)
    exported.files = files
    if not is_sealed:
        warn_of_no_seal(path)
    return exported


def _load_pt2(path: Path, device: str) -> ExportedModel:
    torch_device = choose_device(device)
    extra_files = {f"{METADATA_KEY}.json": ""}
    if not zipfile.is_zipfile(path):
        raise _damaged(path, ValueError("not an archive"))
    try:
        program = torch.export.load(path, extra_files=extra_files)
    except Exception as error:  # a damaged archive raises errors of many types
        if is_of_machine(error):
            raise
        raise _damaged(path, error) from error
    metadata = parse_metadata(extra_files[f"{METADATA_KEY}.json"], path)
    if torch_device.type != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, torch_device)
    module = program.module()

    def run_graph(raw: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            return [output.cpu().numpy() for output in module(torch.from_numpy(raw).to(torch_device))]

    return ExportedModel(metadata, run_graph)


def _load_onnx(path: Path, device: str) -> ExportedModel:
    runtime = import_extra("onnxruntime")
    available = runtime.get_available_providers()
    if device not in ("auto", "cpu", "cuda") or (device == "cuda" and "CUDAExecutionProvider" not in available):
        raise ConfigError(
            f"--device {device} cannot be used by the onnxruntime that is installed, which has {', '.join(available)}: "
            "use --device cpu, or install onnxruntime-gpu for cuda"
        )
    preferred = ("CPUExecutionProvider",) if device == "cpu" else ("CUDAExecutionProvider", "CPUExecutionProvider")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors only: it warns of every node that a GPU leaves to the CPU
    providers = [provider for provider in preferred if provider in available]
    try:
        session = runtime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions have no common base class
        if is_of_machine(error):
            raise
        raise _damaged(path, error) from error
    metadata = parse_metadata(session.get_modelmeta().custom_metadata_map.get(METADATA_KEY), path)
    return ExportedModel(metadata, lambda raw: session.run(None, {session.get_inputs()[0].name: raw}))


def _load_openvino(path: Path, device: str) -> ExportedModel:
    openvino = import_extra("openvino")
    core = openvino.Core()
    device_name = "CPU" if device == "auto" else device.upper()
    if device_name not in {available.split(".")[0] for available in core.available_devices}:
        raise ConfigError(
            f"--device {device} cannot be used by OpenVINO here, which finds {', '.join(core.available_devices)}"
        )
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if device_name == "CPU":
        settings["INFERENCE_NUM_THREADS"] = torch.get_num_threads()
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        if is_of_machine(error):
            raise
        raise _damaged(path, error) from error
    text = str(model.get_rt_info(METADATA_KEY).value) if model.has_rt_info(METADATA_KEY) else None
    metadata = parse_metadata(text, path)
    if metadata.precision == "fp32":
        # By default OpenVINO computes in half precision wherever the processor is faster at it.
        settings["INFERENCE_PRECISION_HINT"] = "f32"

    @lru_cache(maxsize=2)  # the batches of a split have one size, its last batch another
    def compiled(batch: int) -> Any:
        # A graph with a fixed batch size is a fifth faster.
        fixed = model.clone()
        fixed.reshape([batch, *metadata.input_shape])
        return core.compile_model(fixed, device_name, settings)

    return ExportedModel(metadata, lambda raw: list(compiled(len(raw))(raw).values()))


def _damaged(path: Path, error: Exception) -> CheckpointError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return CheckpointError(f"{path} cannot be read ({lines[-1][:200]}): make it again with echodepth export")

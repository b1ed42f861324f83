"""Whatever computes a trained model, behind one small interface: PyTorch, ONNX Runtime or OpenVINO."""

import zipfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from echodepth.core.device import choose_device
from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.inference.config import BackendName
from echodepth.inference.export_metadata import KEY, RUNS, ExportMetadata, import_extra, read_facts
from echodepth.inference.runtime import Backend
from echodepth.models.checkpoint import load_model
from echodepth.models.layers import Prediction

Compute = Callable[[np.ndarray], Sequence[np.ndarray]]


class ExportedModel:
    """An exported file in its runtime.

    Args:
        facts: what the file says of itself.
        compute: the runtime: from one array to the graph's outputs.
    """

    def __init__(self, facts: ExportMetadata, compute: Compute) -> None:
        self.facts = facts
        self.compute = compute
        self.input_key = facts.input_key
        self.image_size = facts.image_size
        self.max_depth = facts.max_depth
        self.run = facts.run

    def predict(self, raw: Tensor) -> Prediction:
        """See :class:`Engine`; there are no features.

        Raises:
            ConfigError: ``raw`` has not the shape that the graph was made for.
        """
        if tuple(raw.shape[1:]) != self.facts.input_shape:
            raise ConfigError(
                f"this exported model takes [B, {', '.join(map(str, self.facts.input_shape))}], not {list(raw.shape)}"
            )
        maps = [torch.from_numpy(np.array(each)) for each in self.compute(raw.float().cpu().numpy())]
        return Prediction(maps[0], maps[1] if len(maps) > 1 else None, {})


def load_backend(checkpoint: str | Path, backend: BackendName = "torch", device: str = "auto") -> Backend:
    """Read a model for one of the backends.

    Args:
        checkpoint: what ``load_model`` reads, or a ``.pt2``, for torch; an ``.onnx`` for onnx; an ``.xml`` with its
            ``.bin`` for openvino.
        backend: torch, onnx or openvino.
        device: a name that torch knows; onnx knows auto, cpu and cuda, openvino auto, cpu, gpu and npu. Exported
            graphs take as many threads as torch would.

    Raises:
        CheckpointError: there is no such file, it is damaged, or another version made it.
        ConfigError: the file is for another backend, the backend is not installed, or the device not there.
    """
    path = Path(checkpoint)
    wanted = RUNS.get(path.suffix)
    if wanted is None and backend == "torch":
        return load_model(checkpoint, choose_device(device))
    if wanted is None:
        raise ConfigError(
            f"--backend {backend} runs an exported file, which {checkpoint} is not: make one with "
            f"echodepth export --checkpoint {checkpoint} --format {backend}"
        )
    if wanted != backend:
        raise ConfigError(f"{checkpoint} is not for --backend {backend}: use --backend {wanted}")
    if not path.is_file():
        raise CheckpointError(f"{checkpoint} does not exist: make it with echodepth export")
    return {"torch": _load_pt2, "onnx": _load_onnx, "openvino": _load_openvino}[backend](path, device)


def _load_pt2(path: Path, device: str) -> ExportedModel:
    place = choose_device(device)
    told = {f"{KEY}.json": ""}
    if not zipfile.is_zipfile(path):
        raise _damaged(path, ValueError("not an archive"))
    try:
        program = torch.export.load(path, extra_files=told)
    except Exception as error:  # what it raises on a damaged archive is of many kinds
        raise _damaged(path, error) from error
    facts = read_facts(told[f"{KEY}.json"], path)
    if place.type != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, place)
    module = program.module()

    def compute(raw: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            return [each.cpu().numpy() for each in module(torch.from_numpy(raw).to(place))]

    return ExportedModel(facts, compute)


def _load_onnx(path: Path, device: str) -> ExportedModel:
    runtime = import_extra("onnxruntime")
    there = runtime.get_available_providers()
    if device not in ("auto", "cpu", "cuda") or (device == "cuda" and "CUDAExecutionProvider" not in there):
        raise ConfigError(
            f"--device {device} cannot be used by the onnxruntime that is installed, which has {', '.join(there)}: "
            "use --device cpu, or install onnxruntime-gpu for cuda"
        )
    wanted = ("CPUExecutionProvider",) if device == "cpu" else ("CUDAExecutionProvider", "CPUExecutionProvider")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors; it warns of every node that a GPU leaves to the CPU
    try:
        session = runtime.InferenceSession(path, options, providers=[each for each in wanted if each in there])
    except Exception as error:  # its exceptions have no common base of their own
        raise _damaged(path, error) from error
    facts = read_facts(session.get_modelmeta().custom_metadata_map.get(KEY), path)
    return ExportedModel(facts, lambda raw: session.run(None, {session.get_inputs()[0].name: raw}))


def _load_openvino(path: Path, device: str) -> ExportedModel:
    openvino = import_extra("openvino")
    core = openvino.Core()
    name = "CPU" if device == "auto" else device.upper()
    if name not in {each.split(".")[0] for each in core.available_devices}:
        raise ConfigError(
            f"--device {device} cannot be used by OpenVINO here, which finds {', '.join(core.available_devices)}"
        )
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if name == "CPU":
        settings["INFERENCE_NUM_THREADS"] = torch.get_num_threads()
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        raise _damaged(path, error) from error
    facts = read_facts(str(model.get_rt_info(KEY).value) if model.has_rt_info(KEY) else None, path)
    if facts.precision == "fp32":
        # Else it rounds to half wherever the machine is faster at that.
        settings["INFERENCE_PRECISION_HINT"] = "f32"

    @lru_cache(maxsize=2)  # a split's batches, and its last
    def compiled(batch: int) -> Any:
        # A graph that knows its batch is a fifth faster.
        fixed = model.clone()
        fixed.reshape([batch, *facts.input_shape])
        return core.compile_model(fixed, name, settings)

    return ExportedModel(facts, lambda raw: list(compiled(len(raw))(raw).values()))


def _damaged(path: Path, error: Exception) -> CheckpointError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return CheckpointError(f"{path} cannot be read ({lines[-1][:200]}): make it again with echodepth export")

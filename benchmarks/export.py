"""Seconds to an answer of exported models, against the same model in eager PyTorch.

    python -m benchmarks.export

One input at a time, 256x256, the front end included. The weights are untrained, which changes no time, and the ranges
for int8 come from noise. Two measures: ``..._processor_time``, what one thread computes, on which other processes
hardly bear; and ``..._time``, the wait with two threads. A busy machine delays PyTorch's threads, which wait for each
other at every layer, far more than the runtimes', so that the wait is left out unless the machine is idle beforehand.

``inference_export`` is the faster of the engines in single precision for the binaural network, ``inference_export_rgb``
for the RGB network. They are measured against the network called as it is; ``inference_predict`` is what ``predict``
makes of the same network, in PyTorch too. ``inference_export_difference`` is the largest difference from PyTorch over
all of them, against the metre's thousandth that is allowed.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from benchmarks.timing import Outcome, is_idle, keep, medians, processor_seconds, wall_seconds
from echodepth import __version__
from echodepth.data.records import Modality
from echodepth.data.sample import Sample
from echodepth.inference.backends import load_backend
from echodepth.inference.export import TOLERANCE, difference, trial_inputs
from echodepth.inference.export_graph import DepthGraph
from echodepth.inference.export_metadata import BACKEND_BY_SUFFIX, ExportMetadata
from echodepth.inference.exporters import onnx_writer, openvino_writer, trace_onnx
from echodepth.inference.quantize import quantize
from echodepth.inference.runtime import Backend
from echodepth.models.checkpoint import DepthModel, ModelSpec
from echodepth.models.run_record import RunRecord

SIZE, RUNS_EACH, SAMPLES = 256, 5, 7782
LEVELS = [3, 4, 5]
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "": ("binaural_attention", {"base_channels": 32, "attention_levels": LEVELS}),
    "_64": ("binaural_attention", {"base_channels": 64, "attention_levels": LEVELS}),
    "_rgb": ("rgb", {"base_channels": 64}),
    "_rgb_32": ("rgb", {"base_channels": 32}),
}
"""What is measured, by the part of its entries' names that tells it."""
PACKAGES = ("torch", "onnxruntime", "openvino")


class Noise(Dataset[Sample]):
    """Frames that hold nothing."""

    def __init__(self, frames: Tensor, audio: bool) -> None:
        self.frames, self.audio = frames, audio

    def __getitem__(self, index: int) -> Sample:
        return Sample(audio=self.frames[index]) if self.audio else Sample(image=self.frames[index])


def build(network: str, arguments: dict[str, Any]) -> DepthModel:
    torch.manual_seed(0)
    run = RunRecord(experiment_name=network, data={"dataset": "batvisionv2", "max_depth": 30.0})
    model = DepthModel(ModelSpec(network, arguments | {"output_size": SIZE}, {"image_size": SIZE}), run)
    for name, parameter in model.named_parameters():
        if name.endswith("gate"):
            torch.nn.init.constant_(parameter, 0.7)  # a shut gate would hide what attention gives
    return model.eval().requires_grad_(False)


def engines(model: DepthModel, scratch: Path) -> dict[str, Backend]:
    """The model in each runtime and precision, by name."""
    audio = model.input_key == "audio"
    traced = {precision: scratch / f"{precision}.onnx" for precision in ("fp32", "int8")}
    frames = trial_inputs(model)[-1]
    trace_onnx(DepthGraph(model, SAMPLES if audio else 0).eval(), frames[:2], 1, traced["fp32"])
    part: Modality = "audio" if audio else "image"
    quantize(traced["fp32"], traced["int8"], Noise(frames, audio), list(range(len(frames))), part)
    made: dict[str, Backend] = {}
    for precision, source in traced.items():
        metadata = ExportMetadata(
            version=__version__,
            checkpoint="",
            precision=precision,
            input_key=model.input_key,
            image_size=SIZE,
            max_depth=model.max_depth,
            run=model.run,
            sample_rate=None,
            samples=SAMPLES if audio else None,
        )
        for writer, suffix in ((onnx_writer, ".onnx"), (openvino_writer, ".xml")):
            path = scratch / f"model_{precision}{suffix}"
            writer(source, path)(metadata)
            backend = BACKEND_BY_SUFFIX[suffix]
            made[f"{backend}_{precision}"] = load_backend(path, backend, "cpu", trust_code=True)
    return made


@torch.inference_mode()
def _ask(answer: Callable[[Tensor], Any], raw: Tensor) -> None:
    answer(raw)


def measure(name: str, model: DepthModel, scratch: Path, idle: bool) -> float:
    """Keep one entry per engine and precision, and the best in single precision; return the largest difference."""
    measures = {"processor_time": (1, processor_seconds)} | ({"time": (2, wall_seconds)} if idle else {})
    largest = 0.0
    for what, (threads, clock) in measures.items():
        torch.set_num_threads(threads)  # engines take as many
        ways = engines(model, scratch)
        one, *_ = inputs = trial_inputs(model)
        whole = [each for each in ways if each.endswith("fp32")]
        largest = max(largest, *(difference(ways[each], model, inputs) for each in whole))
        asked = {each: backend.predict for each, backend in ways.items()} | {"predict": model.predict, "torch": model}
        seconds = medians(
            {each: partial(clock, partial(_ask, answer, one)) for each, answer in asked.items()}, RUNS_EACH
        )
        entries = {each: took for each, took in seconds.items() if each != "torch"}
        entries["export"] = min(seconds[each] for each in whole)
        for each, took in entries.items():
            keep(f"inference_{each}{name}_{what}", Outcome(took, seconds["torch"], "s", RUNS_EACH), PACKAGES)
    return largest


def main() -> None:
    idle = is_idle()
    largest = 0.0
    for name, (network, arguments) in NETWORKS.items():
        with tempfile.TemporaryDirectory() as scratch:
            largest = max(largest, measure(name, build(network, arguments), Path(scratch), idle))
    keep("inference_export_difference", Outcome(largest, TOLERANCE, "m", len(NETWORKS)), PACKAGES)


if __name__ == "__main__":
    main()

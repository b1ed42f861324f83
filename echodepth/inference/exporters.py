"""From a graph in PyTorch to the files that other runtimes read, each with what it says of itself inside."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from echodepth.inference.export_graph import DepthGraph
from echodepth.inference.export_metadata import KEY, ExportMetadata, import_extra

Write = Callable[[ExportMetadata], None]
"""Writes the file, with these facts in it; may be called again with better ones."""
INPUT = "raw"
OUTPUTS = ("depth", "scale")
QUIETED = ("onnxscript", "onnx_ir", "torch.onnx", "torch.export")


def trace_onnx(graph: DepthGraph, example: Tensor, outputs: int, path: Path) -> None:
    """Trace a graph to ONNX, batch free, weights inside.

    Args:
        graph: in eval mode.
        example: a batch of two: of one, the tracer takes the batch for a constant.
        outputs: how many the graph has.
        path: the file to write.
    """
    for needed in ("onnx", "onnxscript"):
        import_extra(needed)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            (example,),
            input_names=[INPUT],
            output_names=list(OUTPUTS[:outputs]),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )
        assert program is not None
        program.save(str(path), external_data=False)


def onnx_writer(source: Path, path: Path) -> Write:
    """Write an ONNX file again, with facts, and without the traces of where its source code lay."""
    onnx = import_extra("onnx")
    model = onnx.load(source)
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info, model.graph):
        del part.metadata_props[:]

    def write(facts: ExportMetadata) -> None:
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, {KEY: facts.to_json()})
        onnx.save(model, path)

    return write


def openvino_writer(source: Path, path: Path) -> Write:
    """Write an ONNX file as OpenVINO's ``.xml`` and ``.bin``, with facts."""
    openvino = import_extra("openvino")
    model = openvino.convert_model(source)

    def write(facts: ExportMetadata) -> None:
        model.set_rt_info(facts.to_json(), KEY)
        # The graph has the precision it was traced in: halving the Fourier kernels too would drown quiet echoes.
        openvino.save_model(model, path, compress_to_fp16=False)

    return write


def pt2_writer(graph: DepthGraph, example: Tensor, path: Path) -> Write:
    """Write a graph as ``torch.export`` does, batch free, with facts; arguments as for ``trace_onnx``."""
    with _quiet(), torch.no_grad():
        program = torch.export.export(graph, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))

    def write(facts: ExportMetadata) -> None:
        with _quiet():
            torch.export.save(program, path, extra_files={f"{KEY}.json": facts.to_json()})

    return write


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the tracer's notices, which tell users of things that only its makers can change."""
    levels = {name: logging.getLogger(name).level for name in QUIETED}
    for name in QUIETED:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

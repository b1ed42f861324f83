"""Writers of exported files: ONNX, OpenVINO and torch.export, each with its metadata and its digest inside."""

import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from echodepth.core.integrity import seal_file
from echodepth.inference.config import Precision
from echodepth.inference.export_graph import DepthGraph
from echodepth.inference.export_metadata import METADATA_KEY, ExportMetadata, import_extra
from echodepth.models.checkpoint import DepthModel, save_model

Write = Callable[[ExportMetadata], None]
"""Writes the file with the given metadata; a second call replaces the file."""
INPUT = "raw"
OUTPUTS = ("depth", "uncertainty")
_NOISY_LOGGERS = ("onnxscript", "onnx_ir", "torch.onnx", "torch.export")


def trace_onnx(graph: DepthGraph, example: Tensor, outputs: int, path: Path) -> None:
    """Trace a graph to ONNX with a dynamic batch axis and the weights inside.

    Args:
        graph: the graph, in eval mode.
        example: a batch of two inputs; with one input the tracer would treat the batch size as a constant.
        outputs: number of outputs of the graph, 1 or 2.
        path: file to write.
    """
    for package in ("onnx", "onnxscript"):
        import_extra(package)
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
    """Return a writer that copies the ONNX file ``source`` to ``path`` without the source-code paths of the tracer."""
    onnx = import_extra("onnx")
    model = onnx.load(source)
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info, model.graph):
        del part.metadata_props[:]

    def write(metadata: ExportMetadata) -> None:
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
        onnx.save(model, path)
        seal_file(path)

    return write


def openvino_writer(source: Path, path: Path) -> Write:
    """Return a writer that converts the ONNX file ``source`` to OpenVINO's ``.xml`` and ``.bin``."""
    openvino = import_extra("openvino")
    model = openvino.convert_model(source)

    def write(metadata: ExportMetadata) -> None:
        model.set_rt_info(metadata.to_json(), METADATA_KEY)
        # The graph keeps the precision that it was traced in: Fourier kernels in fp16 would drown quiet echoes.
        openvino.save_model(model, path, compress_to_fp16=False)
        seal_file(path, path.with_suffix(".bin"))

    return write


def pt2_writer(graph: DepthGraph, example: Tensor, path: Path) -> Write:
    """Return a writer for ``torch.export``, with a dynamic batch axis; arguments as for ``trace_onnx``."""
    with _quiet(), torch.no_grad():
        program = torch.export.export(graph, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))

    def write(metadata: ExportMetadata) -> None:
        # In memory first: torch's own writer of files ends the process with an abort if the disk is full.
        encoded = io.BytesIO()
        with _quiet():
            torch.export.save(program, encoded, extra_files={f"{METADATA_KEY}.json": metadata.to_json()})
        path.write_bytes(encoded.getbuffer())
        seal_file(path)

    return write


def folder_writer(model: DepthModel, precision: Precision, path: Path) -> Write:
    """Return a writer of a model folder, for ``fp16`` with weights in float16, which the reader converts to float32."""

    def write(metadata: ExportMetadata) -> None:
        saved = copy.copy(model)
        if precision == "fp16":
            changes = [metadata.difference or 0.0, (metadata.accuracy or {}).get("largest_change", 0.0)]
            saved.run = replace(model.run, dtype="float16", dtype_error=max(changes))
        else:
            saved.run = replace(model.run, dtype=None, dtype_error=None)
        save_model(saved, path)

    return write


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence notices of the tracer that concern its developers only."""
    levels = {name: logging.getLogger(name).level for name in _NOISY_LOGGERS}
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

"""Eight-bit integers in the place of most of a network's floating-point numbers.

Static quantisation: every activation's range is learnt beforehand, from frames of the training split, and written into
the graph beside 8-bit weights, a scale for each output channel (Nagel et al., arXiv 2106.08295).
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from echodepth.data.records import Modality
from echodepth.data.sample import Sample
from echodepth.inference.export_metadata import import_extra
from echodepth.inference.exporters import INPUT

QUANTIZED = ("Conv", "ConvTranspose", "MaxPool", "Concat", "Resize")
"""Convolutions, where the arithmetic is, and what lies between them, so that integers need not become floats there."""
KEPT_WHOLE = ("front_end", "head", "left_to_right", "right_to_left")
"""Modules whose numbers stay floating-point: decibels down to -100, the metres themselves, and the likenesses that
attention weighs exponentially."""


class _Frames:
    """Calibration frames one by one, in the form that onnxruntime asks for."""

    def __init__(self, dataset: Dataset[Sample], indices: list[int], part: Modality) -> None:
        self.frames: Iterator[np.ndarray] = (dataset[index][part][None].numpy() for index in indices)

    def get_next(self) -> dict[str, np.ndarray] | None:
        frame = next(self.frames, None)
        return None if frame is None else {INPUT: frame}


def quantize(source: Path, target: Path, dataset: Dataset[Sample], indices: list[int], part: Modality) -> None:
    """Quantise an ONNX file as traced, with the names of its modules.

    Args:
        source: the file with floating-point numbers.
        target: the file to write.
        dataset: the training split.
        indices: which of its frames the ranges are learnt from.
        part: what the model takes of a frame.
    """
    onnx, tools = import_extra("onnx"), import_extra("onnxruntime.quantization")
    prepared = target.with_suffix(".prepared.onnx")
    import_extra("onnxruntime.quantization.shape_inference").quant_pre_process(
        source, prepared, skip_optimization=True, skip_symbolic_shape=True
    )
    nodes = [
        node.name
        for node in onnx.load(prepared).graph.node
        if node.op_type in QUANTIZED and not _kept_whole(node.metadata_props)
    ]
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # onnxruntime's notices go to the root logger
    try:
        tools.quantize_static(
            prepared,
            target,
            _Frames(dataset, indices, part),
            quant_format=tools.QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED),
            nodes_to_quantize=nodes,
            per_channel=True,
            # Processors without VNNI add pairs of 8-bit products in 16 bits, where full weights would overflow.
            reduce_range=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
        )
    finally:
        root.setLevel(level)
        prepared.unlink(missing_ok=True)


def _kept_whole(properties: object) -> bool:
    told = {each.key: each.value for each in properties}  # type: ignore[attr-defined]
    scopes = told.get("pkg.torch.onnx.name_scopes", "")
    return any(f"{module}." in scopes or f"{module}'" in scopes for module in KEPT_WHOLE)

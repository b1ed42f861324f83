"""Static int8 quantisation of an ONNX graph.

The range of every activation is measured beforehand on frames of the training split. The graph stores it beside 8-bit
weights with one scale per output channel (Nagel et al., arXiv 2106.08295).
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
"""Convolutions hold the arithmetic; the other operators lie between them, and keep integers from becoming floats."""
FLOAT_MODULES = ("front_end", "head", "left_to_right", "right_to_left")
"""Modules that stay in floating point: decibels down to -100, depth in metres, and attention logits, whose
differences count exponentially."""


class _CalibrationReader:
    """Calibration frames one by one, through the interface that onnxruntime requires."""

    def __init__(self, dataset: Dataset[Sample], indices: list[int], modality: Modality) -> None:
        self.frames: Iterator[np.ndarray] = (dataset[index][modality][None].numpy() for index in indices)

    def get_next(self) -> dict[str, np.ndarray] | None:
        frame = next(self.frames, None)
        return None if frame is None else {INPUT: frame}


def quantize(source: Path, target: Path, dataset: Dataset[Sample], indices: list[int], modality: Modality) -> None:
    """Quantise a traced ONNX file that still holds the names of its modules.

    Args:
        source: file in floating point.
        target: file to write.
        dataset: training split.
        indices: frames of the split that calibrate the activation ranges.
        modality: the model's input.
    """
    onnx, tools = import_extra("onnx"), import_extra("onnxruntime.quantization")
    preprocessed = target.with_suffix(".prepared.onnx")
    import_extra("onnxruntime.quantization.shape_inference").quant_pre_process(
        source, preprocessed, skip_optimization=True, skip_symbolic_shape=True
    )
    nodes = [
        node.name
        for node in onnx.load(preprocessed).graph.node
        if node.op_type in QUANTIZED and not _stays_float(node.metadata_props)
    ]
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # onnxruntime logs its notices to the root logger
    try:
        tools.quantize_static(
            preprocessed,
            target,
            _CalibrationReader(dataset, indices, modality),
            quant_format=tools.QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED),
            nodes_to_quantize=nodes,
            per_channel=True,
            # Processors without VNNI add pairs of 8-bit products in 16 bits, where full-range weights would overflow.
            reduce_range=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
        )
    finally:
        root.setLevel(level)
        preprocessed.unlink(missing_ok=True)


def _stays_float(properties: object) -> bool:
    metadata = {each.key: each.value for each in properties}  # type: ignore[attr-defined]
    scopes = metadata.get("pkg.torch.onnx.name_scopes", "")
    return any(f"{module}." in scopes or f"{module}'" in scopes for module in FLOAT_MODULES)

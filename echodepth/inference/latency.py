"""A model prepared for one frame at a time.

A frame of the student takes some hundred small kernels, and a GPU waits longer for their launches than it computes. A
CUDA graph records the launches of the front end and the network once and repeats them all with one call
(https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).
"""

from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from threading import Lock

import torch
from torch import Tensor

from echodepth.core.device import float32_products
from echodepth.models.checkpoint import DepthModel
from echodepth.models.conv_bn_fusion import fuse_conv_bn
from echodepth.models.layers import Prediction

GRAPHS = 4
"""Graphs that are kept: one for each shape of the input. Each holds the memory of all feature maps."""
WARM_UPS = 3
"""Runs before a recording, in which cuDNN chooses its algorithms and constants are sent to the device."""


class LatencyModel:
    """A ``Backend`` with the shortest time from one input to its depth.

    Batch norms are fused into the convolutions, the memory format is channels-last, and on CUDA a graph of front end
    and network is recorded for each shape of the input, with products in TF32. The first input of a shape therefore
    takes about a second. Depth differs from that of ``model`` by rounding.

    Args:
        model: stays as it is.
    """

    def __init__(self, model: DepthModel) -> None:
        self.run = model.run
        self.input_key = model.input_key
        self.image_size = model.image_size
        self.max_depth = model.max_depth
        self.source = model
        self._model = deepcopy(model).eval().requires_grad_(False)
        fuse_conv_bn(self._model.network)
        self._model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device = next(self._model.parameters()).device
        self._graphs: OrderedDict[torch.Size, Callable[[Tensor], Prediction]] = OrderedDict()
        self._lock = Lock()

    def __repr__(self) -> str:
        return repr(self.source)

    @torch.inference_mode()
    def predict(self, raw: Tensor) -> Prediction:
        """Predict depth as ``Backend.predict`` describes; there are no features."""
        if self._device.type != "cuda":
            return self._predict(raw)
        with self._lock:  # a graph has one input, whatever thread calls it
            if raw.shape not in self._graphs:
                if len(self._graphs) == GRAPHS:
                    self._graphs.popitem(last=False)
                self._graphs[raw.shape] = self._record(raw)
            self._graphs.move_to_end(raw.shape)
            return self._graphs[raw.shape](raw)

    def _predict(self, raw: Tensor) -> Prediction:
        prepared = self._model.front_end(raw.to(self._device)).contiguous(memory_format=torch.channels_last)
        depth, uncertainty, _ = self._model.network.predict(prepared)
        return Prediction(depth, uncertainty, {})

    def _record(self, raw: Tensor) -> Callable[[Tensor], Prediction]:
        given = raw.to(self._device, torch.float32).clone()
        # Recording happens on a stream of its own, and so must the warm-up: cuBLAS has a workspace for each stream.
        stream, graph = torch.cuda.Stream(self._device), torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.device(self._device), float32_products(tf32=True):
            with torch.cuda.stream(stream):
                for _ in range(WARM_UPS):
                    self._predict(given)
            torch.cuda.synchronize(self._device)
            # Another model may compute in another thread meanwhile.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                recorded = self._predict(given)

        def replay(raw: Tensor) -> Prediction:
            given.copy_(raw)
            graph.replay()
            # The next replay overwrites the recorded outputs.
            depth, uncertainty = (None if x is None else x.clone() for x in recorded[:2])
            assert depth is not None
            return Prediction(depth, uncertainty, {})

        return replay

"""The interface of a model in some runtime."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from echodepth.models.run_record import RunRecord


@runtime_checkable
class Backend(Protocol):
    """A model in some runtime: a ``DepthModel`` in PyTorch, or an exported file."""

    run: RunRecord
    """Record of the training run, as in ``DepthModel``."""

    @property
    def input_key(self) -> str:
        """``image`` or ``audio``."""

    @property
    def image_size(self) -> int:
        """Side S of the depth map, in pixels."""

    @property
    def max_depth(self) -> float:
        """Upper end of the prediction, in metres."""

    def predict(self, raw: Tensor) -> tuple[Tensor, Tensor | None, Any]:
        """Predict depth.

        Args:
            raw: images [B,3,S,S] in 0..1, or waveforms [B,2,T] cut as in training, on the CPU.

        Returns:
            Depth [B,1,S,S] in metres, its uncertainty [B,1,S,S] (Laplace scale, metres) or None, and any features.
        """

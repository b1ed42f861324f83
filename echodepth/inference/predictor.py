"""One model, ready to be asked: anything that shows or lets hear a room goes in, depth in metres comes out."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar, overload

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.data.audio import AudioCut
from echodepth.inference.backends import load_backend
from echodepth.inference.config import BackendName
from echodepth.inference.inputs import FILMS, Input, Prepared, check_kind, is_batch, prepare_audio, prepare_image
from echodepth.inference.runtime import Backend, experiment_name, trained_data
from echodepth.models import checkpoint, hub

_Input = TypeVar("_Input", bound=Input)
AT_A_TIME = 8
"""Inputs that go through a model together."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a model makes of one input, or of a batch in one array.

    Attributes:
        depth: metres along the optical axis, float32: of a picture at its own size once upright, of a recording at the
            model's.
        uncertainty: metres that the depth is expected to be off; None of a model trained without ``--uncertainty``.
    """

    depth: Float[np.ndarray, "*batch h w"]
    uncertainty: Float[np.ndarray, "*batch h w"] | None = None


class Predictor:
    """A model behind one method, ``infer``.

    Args:
        engine: a ``DepthModel``, or anything else that makes depth of prepared input.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    @classmethod
    def from_pretrained(
        cls, checkpoint: str | Path, device: str = "auto", backend: BackendName = "torch"
    ) -> "Predictor":
        """Read a model from wherever it is.

        Args:
            checkpoint: a model folder, a ``.pth`` file with ``model_state_dict``, an experiment under checkpoints/, or
                ``ORG/NAME`` on the Hugging Face Hub (``ORG/NAME@REVISION`` for a branch, tag or commit); or a file that
                ``echodepth export`` made.
            device: auto, cpu, cuda, cuda:1, mps.
            backend: what computes: torch, onnx or openvino; see ``load_backend``.

        Raises:
            CheckpointError: there is none, it is unreadable, or its weights do not fit.
            ConfigError: the device cannot be used here.
        """
        return cls(load_backend(checkpoint, backend, device))

    def push_to_hub(self, repo_id: str, license: str | None = None, private: bool = False) -> str:
        """Publish the model folder with its card on the Hugging Face Hub.

        Args:
            repo_id: ``ORG/NAME``; made if need be.
            license: of the weights, as the Hub spells it (``mit``, ``cc-by-sa-4.0``); written into the card.
            private: of a repository that is made now.

        Returns:
            The address of the model's page.

        Raises:
            CheckpointError: this is an exported model, or the Hub does not take it.
        """
        if not isinstance(self.backend, checkpoint.DepthModel):
            raise CheckpointError(f"{self.name} is an exported model: publish the one that it was exported from")
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "best"
            checkpoint.save_model(self.backend, folder, license)
            return hub.publish(folder, repo_id, private, f"{self.name}, by echodepth")

    @property
    def name(self) -> str:
        """The name under which the model was trained."""
        return experiment_name(self.backend)

    @cached_property
    def _audio_cut(self) -> AudioCut:
        data = trained_data(self.backend)
        return AudioCut(data.audio_start, data.cut_seconds)

    @overload
    def infer(self, x: Input, sample_rate: int | None = None) -> Estimate: ...

    @overload
    def infer(self, x: list[_Input] | tuple[_Input, ...], sample_rate: int | None = None) -> list[Estimate]: ...

    def infer(
        self, x: Input | list[_Input] | tuple[_Input, ...], sample_rate: int | None = None
    ) -> Estimate | list[Estimate]:
        """Predict depth.

        Args:
            x: for a model that sees, a picture's path, a Pillow image, or an array of any size: NumPy [h, w, 3] or
                [h, w], a tensor [3, h, w]; uint8, or floats in 0..1. For one that hears, a WAV or FLAC file's path, or
                an array [2, t] or [t, 2] of any length and rate, left ear first. With a leading axis, an array is a
                batch; a list may mix all of these.
            sample_rate: Hz, of arrays of sound; a file says its own.

        Returns:
            The estimate; of a list, one for each.

        Raises:
            ConfigError: this is not what the model takes, or the sample rate is not said.
            DataError: a file is missing or unreadable, the recording mono, too short or not finite, the picture's
                numbers no colours.
        """
        if isinstance(x, list | tuple):
            groups = [x[start : start + AT_A_TIME] for start in range(0, len(x), AT_A_TIME)]
            return [
                estimate
                for group in groups
                for estimate in self.estimate([self.prepare(one, sample_rate) for one in group])
            ]
        if isinstance(x, np.ndarray | Tensor) and is_batch(x, self.backend.input_key) and len(x):
            return _stacked(self.infer(list(x), sample_rate))
        return self.estimate([self.prepare(x, sample_rate)])[0]

    def prepare(self, x: Input, sample_rate: int | None = None) -> Prepared:
        """One input as the model takes it; arguments and errors are those of ``infer``."""
        if isinstance(x, str | Path):
            check_kind(Path(x), self.backend.input_key, self.name)
            if Path(x).suffix.lower() in FILMS:
                raise ConfigError(f"{x} is a film: echodepth predict takes it, infer its frames")
        if sample_rate is not None and (self.backend.input_key == "image" or isinstance(x, str | Path)):
            raise ConfigError("sample_rate is said of arrays of sound alone: a file says its own, a picture has none")
        if self.backend.input_key == "image":
            return prepare_image(x, self.backend.image_size)
        return prepare_audio(x, sample_rate, lambda: self._audio_cut)

    def estimate(self, prepared: Sequence[Prepared]) -> list[Estimate]:
        """Depth of inputs that are prepared, which go through the model together."""
        raw = torch.stack([one.raw for one in prepared])
        with torch.inference_mode(), _at_rest(self.backend):
            depth, scale = self.backend.predict(raw)[:2]
            maps = (torch.cat([depth, scale], dim=1) if scale is not None else depth).float().cpu()
            return [_at_size(each, one.size) for each, one in zip(maps, prepared, strict=True)]


def load_model(checkpoint: str | Path, device: str = "auto", backend: BackendName = "torch") -> Predictor:
    """Read a model from wherever it is: ``Predictor.from_pretrained``, which says what may be named."""
    return Predictor.from_pretrained(checkpoint, device, backend)


def _at_size(maps: Float[Tensor, "c s s"], size: tuple[int, int] | None) -> Estimate:
    if size is not None:
        # A prediction is smooth where a measured map has holes and edges, so it may be interpolated.
        maps = F.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]
    metres = maps.numpy()
    return Estimate(metres[0], metres[1] if len(metres) > 1 else None)


def _stacked(estimates: list[Estimate]) -> Estimate:
    doubts = [one.uncertainty for one in estimates if one.uncertainty is not None]
    return Estimate(np.stack([one.depth for one in estimates]), np.stack(doubts) if doubts else None)


@contextmanager
def _at_rest(backend: Backend) -> Iterator[None]:
    """A network in eval mode, and as it was afterwards; other engines know no other mode."""
    if not isinstance(backend, nn.Module):
        yield
        return
    training = backend.training
    backend.eval()
    try:
        yield
    finally:
        backend.train(training)

"""Depth prediction with one trained model: an image or a recording in any form in, depth in metres out."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TypeVar, overload

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.core.array_store import short_hash
from echodepth.core.errors import CheckpointError, ConfigError, names_arguments
from echodepth.core.field_of_view import FieldOfView
from echodepth.core.result_log import content_digest
from echodepth.data.audio import AudioCut
from echodepth.data.recorded import trained_camera, trained_data
from echodepth.inference.backends import ExportedModel, load_backend
from echodepth.inference.config import BackendName, CompileMode
from echodepth.inference.estimate import Estimate
from echodepth.inference.inputs import (
    VIDEO_SUFFIXES,
    Input,
    ModelInput,
    check_file,
    is_batch,
    prepare_audio,
    prepare_image,
)
from echodepth.inference.latency import LatencyModel
from echodepth.inference.runtime import Backend
from echodepth.models import hub
from echodepth.models.checkpoint import DepthModel, save_model
from echodepth.models.conv_bn_fusion import fused_copy
from echodepth.models.mirror_average import MirrorAveraged, RawPredictor
from echodepth.models.model_digest import model_digest

_Input = TypeVar("_Input", bound=Input)
BATCH_SIZE = 8
"""Number of inputs that pass through a model together."""


class Predictor:
    """A model behind one method, ``infer``.

    Args:
        backend: a ``DepthModel`` or any other ``Backend``.
        mirror_average: average each prediction with that of the mirrored input, see ``MirrorAveraged``.
    """

    def __init__(self, backend: Backend, mirror_average: bool = False) -> None:
        self.backend = backend
        self._use(backend, mirror_average)

    def __repr__(self) -> str:
        return f"Predictor({self.name}: {self.backend!r})"

    def _use(self, model: Backend, mirror_average: bool) -> None:
        is_exported = isinstance(model, ExportedModel) and model.metadata.mirror_average
        self.mirror_average = mirror_average or is_exported
        """Whether predictions are averaged with those of the mirrored input, here or inside an exported graph."""
        self._inference: RawPredictor = MirrorAveraged(model) if mirror_average and not is_exported else model

    @classmethod
    def from_pretrained(
        cls,
        checkpoint: str | Path | None = None,
        device: str = "auto",
        backend: BackendName = "auto",
        compile: CompileMode | None = None,
        mirror_average: bool = False,
        trust_code: bool = False,
    ) -> "Predictor":
        """Load a model from disk or from the Hugging Face Hub.

        In PyTorch, predictions come from a copy of ``backend`` with fused batch norms, which has fewer operations:
        a network whose weights are to change belongs into ``Predictor(model)``.

        Args:
            checkpoint: a model folder, a ``.pth`` file with ``model_state_dict``, an experiment under checkpoints/,
                ``ORG/NAME`` on the Hugging Face Hub (``ORG/NAME@REVISION`` for a branch, tag or commit), a file that
                ``echodepth export`` wrote, or the name of a model that comes with the package. By default that is
                ``echodepth-light``, with a warning that says so.
            device: auto, cpu, cuda, cuda:1 or mps.
            backend: runtime: torch, onnx or openvino; auto takes the one of the file's suffix.
            compile: ``latency`` for the shortest time of one frame: on a GPU, a CUDA graph of front end and network.
                Exported files stay as they are.
            mirror_average: average each prediction, and its uncertainty, with that of the mirrored input: exchanged
                ears, or a flipped image. It lowers the error and takes twice the time. A file that was exported with it
                needs no second time.
            trust_code: open a ``.pt2``, which can hold code that runs on opening.

        Raises:
            CheckpointError: the model is missing or unreadable, or its weights do not fit the network.
            ConfigError: the device is not available, or a ``.pt2`` is not trusted.
        """
        return load_model(checkpoint, device, backend, compile, mirror_average, trust_code)

    def push_to_hub(self, repo_id: str, license: str | None = None, private: bool = False) -> str:
        """Publish the model folder with its model card on the Hugging Face Hub.

        Args:
            repo_id: ``ORG/NAME``; the repository is created if it does not exist.
            license: licence of the weights, as the Hub spells it (``mit``, ``cc-by-sa-4.0``); part of the card.
            private: whether a new repository is private.

        Returns:
            The address of the model's page.

        Raises:
            CheckpointError: this is an exported model, or the Hub rejects the upload.
        """
        model = self.backend.source if isinstance(self.backend, LatencyModel) else self.backend
        if not isinstance(model, DepthModel):
            raise CheckpointError(f"{self.name} is an exported model: publish the one that it was exported from")
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "best"
            save_model(model, folder, license)
            return hub.publish(folder, repo_id, private, f"{self.name}, by echodepth")

    @property
    def name(self) -> str:
        """Name of the experiment that trained the model."""
        return self.backend.run.experiment_name

    @cached_property
    def digest(self) -> str:
        """Hash of what decides a prediction together with its input, but for rounding: model, runtime and averaging.

        Raises:
            TypeError: the backend is of another kind than ``load_model`` returns.
        """
        model = self.backend.source if isinstance(self.backend, LatencyModel) else self.backend
        if isinstance(model, DepthModel):
            parts = [model_digest(model)]
        elif isinstance(model, ExportedModel):
            parts = ["exported", *(content_digest(file) for file in model.files)]
        else:
            raise TypeError(f"{type(model).__name__} is neither a DepthModel nor an exported model")
        return short_hash([*parts, self.mirror_average])

    @cached_property
    def field_of_view(self) -> FieldOfView | None:
        """Field of view of the camera of the training data, which depth maps cover; None if it is not known."""
        return trained_camera(self.backend)

    @cached_property
    def _audio_cut(self) -> AudioCut:
        data = trained_data(self.backend)
        return AudioCut(data.audio_start, data.cut_seconds)

    @overload
    def infer(self, x: Input, sample_rate: int | None = None) -> Estimate: ...

    @overload
    def infer(self, x: list[_Input] | tuple[_Input, ...], sample_rate: int | None = None) -> list[Estimate]: ...

    @names_arguments
    def infer(
        self, x: Input | list[_Input] | tuple[_Input, ...], sample_rate: int | None = None
    ) -> Estimate | list[Estimate]:
        """Predict depth.

        Args:
            x: for an RGB model, the path of an image, a Pillow image, a NumPy array [h, w, 3] or [h, w], or a tensor
                [3, h, w]; uint8, or floats in 0..1. For an audio model, the path of a WAV or FLAC file, or an array
                [2, t] or [t, 2] of any length and sample rate, left ear first. An array with a leading axis is a batch.
                A list may mix all of these.
            sample_rate: Hz; required for arrays of audio, and invalid for anything else.

        Returns:
            One estimate; for a list, one estimate per element.

        Raises:
            ConfigError: the model does not take this input, or ``sample_rate`` is missing or superfluous.
            DataError: a file is missing or unreadable, a recording is mono, too short or not finite, or the values of
                an image are out of range.
        """
        if isinstance(x, list | tuple):
            groups = [x[start : start + BATCH_SIZE] for start in range(0, len(x), BATCH_SIZE)]
            return [
                estimate
                for group in groups
                for estimate in self.estimate([self.prepare(one, sample_rate) for one in group])
            ]
        if isinstance(x, np.ndarray | Tensor) and is_batch(x, self.backend.input_key) and len(x):
            return _stack(self.infer(list(x), sample_rate))
        return self.estimate([self.prepare(x, sample_rate)])[0]

    def prepare(self, x: Input, sample_rate: int | None = None) -> ModelInput:
        """Convert one input to the model's input; arguments and errors are those of ``infer``."""
        if isinstance(x, str | Path):
            check_file(Path(x), self.backend.input_key, self.name)
            if Path(x).suffix.lower() in VIDEO_SUFFIXES:
                raise ConfigError(f"{x} is a video: use echodepth predict, or infer its frames")
        if sample_rate is not None and (self.backend.input_key == "image" or isinstance(x, str | Path)):
            raise ConfigError("sample_rate is for arrays of audio only: a file states its own, an image has none")
        if self.backend.input_key == "image":
            return prepare_image(x, self.backend.image_size)
        return prepare_audio(x, sample_rate, lambda: self._audio_cut)

    def estimate(self, inputs: Sequence[ModelInput]) -> list[Estimate]:
        """Predict depth for prepared inputs, in one batch.

        Raises:
            CheckpointError: a prediction is NaN or infinite, and so are weights of the model.
        """
        raw = torch.stack([one.raw for one in inputs])
        with torch.inference_mode(), _eval_mode(self._inference):
            depth, uncertainty = self._inference.predict(raw)[:2]
            maps = (torch.cat([depth, uncertainty], dim=1) if uncertainty is not None else depth).float().cpu()
            if not torch.isfinite(maps).all():
                raise CheckpointError(
                    f"{self.name} predicts depth that is not finite: its weights are damaged, or its training "
                    "diverged; use an earlier epoch, or export it again"
                )
            return [_resize(each, one.size) for each, one in zip(maps, inputs, strict=True)]


@names_arguments
def load_model(
    checkpoint: str | Path | None = None,
    device: str = "auto",
    backend: BackendName = "auto",
    compile: CompileMode | None = None,
    mirror_average: bool = False,
    trust_code: bool = False,
) -> Predictor:
    """Load a model; arguments and errors are those of ``Predictor.from_pretrained``."""
    predictor = Predictor(load_backend(checkpoint, backend, device, compile, trust_code), mirror_average)
    if isinstance(predictor.backend, DepthModel):
        predictor._use(fused_copy(predictor.backend), mirror_average)
    return predictor


def _resize(maps: Float[Tensor, "c s s"], size: tuple[int, int] | None) -> Estimate:
    if size is not None:
        # Interpolation is safe because a prediction is smooth, unlike ground truth, which has holes and edges.
        maps = F.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]
    metres = maps.numpy()
    return Estimate(metres[0], metres[1] if len(metres) > 1 else None)


def _stack(estimates: list[Estimate]) -> Estimate:
    uncertainty = [one.uncertainty for one in estimates if one.uncertainty is not None]
    return Estimate(np.stack([one.depth for one in estimates]), np.stack(uncertainty) if uncertainty else None)


@contextmanager
def _eval_mode(model: RawPredictor) -> Iterator[None]:
    """Put a PyTorch network into eval mode and restore its mode afterwards; other backends have no modes."""
    backend = model.model if isinstance(model, MirrorAveraged) else model
    # Setting the mode of all modules for each of many files takes longer than a small network.
    if not isinstance(backend, nn.Module) or not any(module.training for module in backend.modules()):
        yield
        return
    training = backend.training
    backend.eval()
    try:
        yield
    finally:
        backend.train(training)

"""A model on disk: the network, the front end it was trained with, and what is known of its training.

A model folder holds ``config.json``, ``model.safetensors`` and ``README.md``, a card. It is all that evaluation,
prediction and a teacher read. Training's own checkpoints (``epoch_0002.pth``) can be read as well.
"""

import json
import logging
import pickle
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from echodepth.core.errors import CheckpointError
from echodepth.models.frontends.echo import EchoFrontEnd, ImageFrontEnd
from echodepth.models.hub import fetch, is_hub_id
from echodepth.models.layers import MINIMUM_SIZE, DepthNet, Features, Prediction
from echodepth.models.model_card import write_card
from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet
from echodepth.models.networks.light_binaural import LightBinauralDepthNet
from echodepth.models.networks.rgb_depth import RGBDepthNet
from echodepth.models.networks.unet_baseline import UNetBaseline

NETWORKS: dict[str, type[DepthNet]] = {
    "rgb": RGBDepthNet,
    "binaural_attention": BinauralAttentionDepthNet,
    "light": LightBinauralDepthNet,
    "unet_baseline": UNetBaseline,
}
FORMAT = 1
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelSpec:
    """How to build a model: plain values only, so that it can be written down.

    Attributes:
        network: a key of ``NETWORKS``.
        arguments: the network's constructor arguments.
        front_end: the front end's constructor arguments.
    """

    network: str
    arguments: dict[str, Any] = field(default_factory=dict)
    front_end: dict[str, Any] = field(default_factory=dict)


class DepthModel(nn.Module):
    """A network behind the front end it was trained with: a raw image or waveform in, metres out.

    Args:
        spec: what to build.
        run: what is known of the training, as plain values: kind, experiment_name, data, seed, epoch, validation.

    Raises:
        CheckpointError: the spec names no known network.
    """

    def __init__(self, spec: ModelSpec, run: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        if spec.network not in NETWORKS:
            raise CheckpointError(f"unknown network {spec.network!r}: there are {', '.join(NETWORKS)}")
        self.spec = spec
        self.run: dict[str, Any] = dict(run or {})
        self.front_end: ImageFrontEnd | EchoFrontEnd = (
            ImageFrontEnd(**spec.front_end) if spec.network == "rgb" else EchoFrontEnd(**spec.front_end)
        )
        self.network = NETWORKS[spec.network](**spec.arguments)

    @property
    def input_key(self) -> str:
        """Which part of a sample it takes: ``image`` or ``audio``."""
        return self.front_end.input_key

    @property
    def max_depth(self) -> float:
        """Upper end of the prediction, in metres."""
        return float(self.network.max_depth)  # type: ignore[arg-type]

    @property
    def image_size(self) -> int:
        """Side of the depth map, in pixels."""
        return self.front_end.image_size

    @property
    def uncertainty(self) -> bool:
        """Whether it says how far off it expects to be."""
        return self.network.uncertainty_head is not None

    def feature_channels(self) -> dict[str, int]:
        """Channels of x1..x5 and d1..d4."""
        return {level: shape[1] for level, shape in self._feature_shapes(MINIMUM_SIZE).items()}

    def feature_sizes(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of x1..x5 and d1..d4."""
        return {level: (shape[2], shape[3]) for level, shape in self._feature_shapes(self.image_size).items()}

    def _feature_shapes(self, side: int) -> dict[str, torch.Size]:
        training = self.training
        channels = 2 * self.front_end.ear_channels if isinstance(self.front_end, EchoFrontEnd) else 3
        with torch.no_grad():
            example = next(self.network.parameters()).new_zeros(1, channels, side, side)
            _, features = self.network.eval()(example, return_features=True)
        self.train(training)
        return {level: feature.shape for level, feature in features.items()}

    def forward(self, raw: Tensor, return_features: bool = False) -> Tensor | tuple[Tensor, Features]:
        """Depth [B,1,S,S] in metres from images [B,3,H,W] in 0..1 or waveforms [B,2,T]; features on request."""
        result: Tensor | tuple[Tensor, Features] = self.network(self.front_end(raw), return_features)
        return result

    def predict(self, raw: Tensor) -> Prediction:
        """Depth, its scale where the network has one, and the features, from the same input, wherever that lies."""
        prepared = self.front_end(raw.to(next(self.parameters()).device))
        if prepared.device.type == "cpu" and not torch.is_grad_enabled():
            # A sixth faster on a CPU, where nothing has to be kept for a way back; docs/speed.md has the figure.
            prepared = prepared.contiguous(memory_format=torch.channels_last)
        return self.network.predict(prepared)


def save_model(model: DepthModel, folder: Path, licence: str | None = None) -> None:
    """Write a model folder, replacing an older one only when the new one is complete; ``licence`` is the weights'."""
    new, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(parents=True)
    config = {"format": FORMAT, **asdict(model.spec), "run": model.run}
    (new / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.network.state_dict().items()}
    save_file(weights, new / "model.safetensors")
    (new / "README.md").write_text(write_card(model.network, model.input_key, model.image_size, model.run, licence))
    if folder.exists():
        folder.replace(old)
    new.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_model(checkpoint: str | Path, device: str | torch.device = "cpu") -> DepthModel:
    """Read a model, in eval mode.

    Args:
        checkpoint: a model folder, a ``.pth`` file with ``model_state_dict``, the name of an experiment, whose
            ``checkpoints/<experiment>/best`` is read, or ``ORG/NAME`` on the Hugging Face Hub.
        device: where the model is put.

    Raises:
        CheckpointError: there is none, it is unreadable, or its weights do not fit, name by name.
    """
    path = find_checkpoint(checkpoint)
    model = _load_folder(path) if path.is_dir() else _load_file(path)
    return model.to(device).eval()


def find_checkpoint(checkpoint: str | Path) -> Path:
    """The folder or file that ``checkpoint`` names, fetched from the Hub if it is there alone.

    Raises:
        CheckpointError: there is none; it lists the experiments that there are.
    """
    path = Path(checkpoint)
    for candidate in (path, path / "best", Path("checkpoints") / path / "best"):
        if (candidate / "config.json").is_file() or candidate.is_file():
            return candidate
    if is_hub_id(str(checkpoint)):
        return fetch(str(checkpoint))
    experiments = sorted(p.parent.parent.name for p in Path("checkpoints").glob("*/best/config.json"))
    there_are = f"there are {', '.join(experiments)}" if experiments else "there are none here"
    raise CheckpointError(
        f"no model at {checkpoint}: give a model folder, a .pth file, an experiment under checkpoints/ ({there_are}), "
        "or ORG/NAME on the Hugging Face Hub"
    )


def _load_folder(folder: Path) -> DepthModel:
    try:
        config = json.loads((folder / "config.json").read_text())
        if config["format"] != FORMAT:
            raise CheckpointError(f"{folder}/config.json has format {config['format']}; this version reads {FORMAT}")
        model = DepthModel(ModelSpec(config["network"], config["arguments"], config["front_end"]), config["run"])
        weights = load_file(folder / "model.safetensors")
    except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder} is not a complete model folder: {error!r}") from error
    return _fill(model, weights, folder)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The plain values and tensors of a ``.pth`` file with ``model_state_dict``, on the CPU.

    Raises:
        CheckpointError: the file is damaged, holds other objects, or no network.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, LookupError, ValueError, pickle.UnpicklingError) as error:
        # torch's own message advises to load such a file with its safeguards off.
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint of plain tensors: it is damaged, or holds other objects"
        ) from error
    if not isinstance(checkpoint, dict) or "model_state_dict" not in checkpoint:
        raise CheckpointError(f"{path} has no model_state_dict: give a checkpoint of a depth network")
    return checkpoint


def _load_file(path: Path) -> DepthModel:
    checkpoint = read_checkpoint(path)
    weights = checkpoint["model_state_dict"]
    if "model_spec" in checkpoint:
        spec, run = ModelSpec(**checkpoint["model_spec"]), checkpoint["run"]
    else:
        spec, run = _infer_spec(weights, path), {"experiment_name": path.stem}
    return _fill(DepthModel(spec, run), weights, path)


def _fill(model: DepthModel, weights: Mapping[str, Tensor], path: Path) -> DepthModel:
    try:
        model.network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        _, *misfits = str(error).splitlines()
        listed = "; ".join(line.strip() for line in misfits[:3])
        more = f"; and {len(misfits) - 3} more" if len(misfits) > 3 else ""
        raise CheckpointError(f"the weights in {path} do not fit {model.spec}: {listed}{more}") from error
    return model


def _infer_spec(weights: Mapping[str, Tensor], path: Path) -> ModelSpec:
    """A bare ``model_state_dict`` tells all but the size and the range, which are then the documented defaults."""
    said = "its image size and range: taken as 256 pixels and 30 m"
    network = "rgb" if "encoder.stages.0.0.weight" in weights else "binaural_attention"
    first = weights.get(f"{'' if network == 'rgb' else 'left_'}encoder.stages.0.0.weight")
    if first is None:
        raise CheckpointError(f"{path} holds neither an RGBDepthNet nor a BinauralAttentionDepthNet")
    arguments: dict[str, Any] = {
        "base_channels": first.shape[0],
        "bilinear": "decoder.stages.d1.up.weight" not in weights,
    }
    if "scale_head.conv.weight" in weights:
        arguments["uncertainty"] = True
    if network != "rgb":
        attended = {name.split(".")[1] for name in weights if name.startswith("left_to_right.")}
        arguments["attention_levels"] = [int(level.removeprefix("x")) for level in sorted(attended)]
        arguments["convolution"] = "full" if first.shape[2:] == (3, 3) else "separated"
        said = "its image size, range and form of attention: taken as 256 pixels, 30 m and full"
    log.warning("%s does not say %s", path, said)
    return ModelSpec(network, arguments)

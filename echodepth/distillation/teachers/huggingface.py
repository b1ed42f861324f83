"""Depth models of Hugging Face as teachers: Depth Anything (arXiv 2401.10891, 2406.09414) and DPT (arXiv 2103.13413).

They were trained on far more images than any echo dataset holds, but not with this data's camera:
``echodepth.distillation.scale_alignment`` converts their depth to metres.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from echodepth.core.errors import CheckpointError, ConfigError, EchodepthError, is_of_machine
from echodepth.core.safe_paths import plain_name
from echodepth.core.schema import check, read_json, short
from echodepth.data.sample import Sample
from echodepth.distillation.losses.base import resize_like
from echodepth.distillation.teachers.frozen import LiveTeacher
from echodepth.models.layers import Prediction

HUGGING_FACE = "hf:"
"""Prefix of a teacher on Hugging Face, or in a folder of its format."""
FAMILIES = ("depth_anything", "dpt")
"""Model types whose preprocessing and kind of depth are supported."""
_INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}
"""Pillow's resampling codes, as in preprocessor_config.json."""
_LARGEST_SIDE = 2048  # pixels of the images that a teacher gets; the usual ones have 518
_MOST_LAYERS = 200  # the largest of the families have 40


@dataclass(frozen=True)
class Preprocessing:
    """Image preprocessing of a model, for a whole batch on its device.

    The batched image processors of transformers need torchvision, which this project does without.

    Attributes:
        size: rows and columns; None keeps the image's size.
        keeps_aspect_ratio: whether only one of rows and columns is obeyed.
        multiple: rows and columns are rounded to a multiple of this.
        interpolation: ``bilinear`` or ``bicubic``, both antialiased, as in Pillow.
        scale: factor of the image's 0..1.
        mean: of red, green and blue; subtracted.
        std: of red, green and blue; divided by.
    """

    size: tuple[int, int] | None
    keeps_aspect_ratio: bool
    multiple: int
    interpolation: str
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, settings: dict[str, Any], own_size: int | Sequence[int] | None = None) -> "Preprocessing":
        """Parse the contents of preprocessor_config.json.

        Args:
            settings: the contents.
            own_size: the model's ``image_size``, which images have that are not resized otherwise.

        Raises:
            KeyError, TypeError, ValueError: a value is missing, of another type, or asks for an unknown step.
        """
        for name, switch in settings.items():
            if name.startswith("do_") and switch not in _switches(name):
                raise ValueError(f"preprocessor_config.json asks for {name}: {switch}, a step that is not supported")
        resizes, normalise = settings.get("do_resize", True), settings.get("do_normalize", True)
        rescale = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1.0
        size = _rows_and_columns(settings["size"] if resizes else own_size)
        multiple = int(settings.get("ensure_multiple_of") or 1) if resizes else 1
        if not 1 <= multiple <= _LARGEST_SIDE:
            raise ValueError(f"ensure_multiple_of is {multiple}")
        mean, std = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)) if not normalise else _colours(settings)
        if not 0 < float(rescale) < math.inf:
            raise ValueError(f"rescale_factor is {rescale}")
        return cls(
            size=size,
            keeps_aspect_ratio=bool(resizes and settings.get("keep_aspect_ratio", False)),
            multiple=multiple,
            interpolation=_INTERPOLATIONS[settings.get("resample", 3)],
            scale=255 * float(rescale),  # models were trained on bytes times this factor
            mean=mean,
            std=std,
        )

    def __call__(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h2 w2"]:
        """Resize, rescale and normalise RGB in 0..1."""
        height, width = image.shape[-2:]
        size: tuple[float, float] = self.size or (height, width)
        if self.keeps_aspect_ratio:  # the side that changes less decides, as in transformers
            factor = min(size[0] / height, size[1] / width, key=lambda factor: abs(1 - factor))
            size = factor * height, factor * width
        rows, columns = (max(1, round(side / self.multiple)) * self.multiple for side in size)
        if (rows, columns) != (height, width):
            # Bicubic interpolation overshoots at edges; Pillow clips to the range of a byte.
            image = F.interpolate(image, (rows, columns), mode=self.interpolation, antialias=True).clamp(0, 1)
        mean, std = (image.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (self.scale * image - mean) / std


def _switches(name: str) -> tuple[object, ...]:
    """Values of a step's switch that are obeyed, or that change nothing for RGB."""
    known = ("do_resize", "do_rescale", "do_normalize", "do_convert_rgb")
    return (True, False, None) if name in known else (False, None)


def _colours(settings: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the three colours."""
    mean, std = (check(settings[name], tuple[float, float, float], name) for name in ("image_mean", "image_std"))
    if min(std) <= 0:
        raise ValueError(f"image_std is {std}")
    return mean, std


def _rows_and_columns(size: Any) -> tuple[int, int] | None:
    """Rows and columns of a size as a number, a pair, or a mapping; None for none."""
    if size is None:
        return None
    if isinstance(size, Mapping):
        edge = size.get("shortest_edge", size.get("longest_edge"))
        size = (size["height"], size["width"]) if edge is None else edge
    rows, columns = (int(size), int(size)) if isinstance(size, int | float) else map(int, size)
    if not 1 <= min(rows, columns) <= max(rows, columns) <= _LARGEST_SIDE:
        raise ValueError(f"the size of images is {rows}x{columns}: each side has 1 to {_LARGEST_SIDE} pixels")
    return rows, columns


class HuggingFaceTeacher(LiveTeacher):
    """A depth model of Hugging Face. It gives depth alone: its features have no levels that match the student's.

    Args:
        model: an ``AutoModelForDepthEstimation`` of one of ``FAMILIES``.
        preprocess: the model's image preprocessing.

    Raises:
        ConfigError: the model is of another family.
    """

    def __init__(self, model: nn.Module, preprocess: Preprocessing) -> None:
        config: Any = model.config
        _check_family(config.model_type)
        settings = json.loads(json.dumps(config.to_dict(), default=str))
        super().__init__(model, {"config": settings, "preparation": asdict(preprocess)})
        metric = getattr(config, "depth_estimation_type", "relative") == "metric"
        self.depth_kind = "up_to_scale" if metric else "affine_inverse"
        self.preprocess = preprocess

    @classmethod
    def load(cls, name: str) -> "HuggingFaceTeacher":
        """Load a model from the hub or a local folder; only complete safetensors weights are accepted, and no code.

        Args:
            name: ``ORG/NAME``, searched in the user's cache and then on the hub; or a folder.

        Raises:
            CheckpointError: the model cannot be loaded, or weights are missing.
            ConfigError: transformers is not installed, or the model is of another family.
        """
        try:
            from transformers import AutoModelForDepthEstimation
            from transformers.utils import cached_file
        except ImportError as error:
            raise ConfigError(
                f"--teacher {HUGGING_FACE}{name} needs transformers: pip install 'echodepth[teachers]' "
                f"({_first_line(error)})"
            ) from error
        try:
            _check_settings(read_json(Path(cached_file(name, "config.json"))))
            _check_weights(name)
            # Without this argument, transformers asks whether to run code from the model's repository.
            model, found = AutoModelForDepthEstimation.from_pretrained(
                name, use_safetensors=True, output_loading_info=True, trust_remote_code=False
            )
            path = Path(cached_file(name, "preprocessor_config.json"))
            preprocess = Preprocessing.read(read_json(path), _own_size(model.config))
        except EchodepthError:
            raise
        except Exception as error:  # for settings of anyone's, transformers and torch raise errors of every type
            if is_of_machine(error) and not isinstance(error, OSError):
                raise
            raise CheckpointError(
                f"--teacher {HUGGING_FACE}{name} cannot be loaded: {_first_line(error)} Without network access, "
                f"download it elsewhere with `hf download {name}` and give its folder: --teacher {HUGGING_FACE}FOLDER"
            ) from error
        if lost := sorted({*found["missing_keys"], *(str(key) for key in found["mismatched_keys"])}):
            raise CheckpointError(
                f"--teacher {HUGGING_FACE}{name} has missing weights or weights of other shapes ({lost[0]}, "
                f"{len(lost)} in total): download it again"
            )
        return cls(model, preprocess)

    def feature_channels(self) -> dict[str, int]:
        """Empty: a Hugging Face teacher gives depth alone."""
        return {}

    def feature_sizes(self) -> dict[str, tuple[int, int]]:
        """Empty: a Hugging Face teacher gives depth alone."""
        return {}

    @torch.no_grad()
    def predict(self, batch: Sample) -> Prediction:
        """Depth of ``depth_kind`` at the images' size."""
        image = batch["image"]
        self.model.to(image)
        depth = self.model(pixel_values=self.preprocess(image)).predicted_depth[:, None]  # [B, 1, rows, columns]
        # Under mixed precision the model returns bfloat16.
        return Prediction(resize_like(depth.to(image), image), None, {})


def _check_settings(settings: Any) -> None:
    """Raise a ConfigError for a config.json whose model needs code of its own, or another repository."""
    if not isinstance(settings, dict):
        raise TypeError("config.json is no mapping")
    _check_family(settings.get("model_type"))
    backbone = settings.get("backbone_config")
    for part in (settings, backbone if isinstance(backbone, dict) else {}):
        if part.get("backbone") is not None:
            raise ConfigError(
                f"--teacher fetches its backbone {short(part['backbone'])} from another repository, which nobody asked "
                "for: give a model that holds its backbone's settings itself, in backbone_config"
            )
        # transformers fetches and runs kernels of the name that a model's settings give.
        for name in ("attn_implementation", "_attn_implementation", "quantization_config"):
            if part.get(name) not in (None, "eager", "sdpa"):
                raise ConfigError(
                    f"--teacher asks for {name} {short(part[name])}, which runs code of another package: give a model "
                    "of plain weights"
                )
        layers = part.get("num_hidden_layers", 0)
        if type(layers) is not int or layers > _MOST_LAYERS:
            raise ConfigError(f"--teacher has {short(layers)} layers: at most {_MOST_LAYERS} are read")


def _check_weights(name: str) -> None:
    """Raise a ValueError if the model of a config.json has more weights than their files have bytes."""
    from transformers import AutoConfig, AutoModelForDepthEstimation
    from transformers.utils.hub import cached_file

    with torch.device("meta"):  # nothing is allocated
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        model = AutoModelForDepthEstimation.from_config(config, trust_remote_code=False)
    needed = sum(weight.numel() for weight in model.parameters())
    index = "model.safetensors.index.json"
    has_parts = cached_file(name, "model.safetensors", _raise_exceptions_for_missing_entries=False) is None
    listed = read_json(Path(cached_file(name, index)))["weight_map"].values() if has_parts else ["model.safetensors"]
    files = [Path(cached_file(name, plain_name(file, index))) for file in sorted({*listed})]
    if needed > sum(file.stat().st_size for file in files):
        raise ValueError(f"it has {needed:,} weights by its config.json, and fewer bytes in {files[0].name}")


def _check_family(model_type: object) -> None:
    if model_type not in FAMILIES:
        raise ConfigError(
            f"--teacher is a {model_type!s:.100} model, whose kind of depth is unknown, and code that comes "
            f"with a model is never run: give a model of the family {' or '.join(FAMILIES)}"
        )


def _own_size(config: Any) -> Any:
    """The size of images that the position embeddings of a model were made for; None if it has none."""
    settings = getattr(config, "backbone_config", None) or config
    return getattr(settings, "image_size", None)


def _first_line(error: Exception) -> str:
    """First line of the error's message: transformers appends unrelated advice."""
    line = (str(error).splitlines() or [""])[0] or repr(error)
    return line if line.endswith(".") else f"{line}."

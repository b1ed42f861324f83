"""Depth models of Hugging Face as teachers: Depth Anything (arXiv 2401.10891, 2406.09414) and DPT (arXiv 2103.13413).

They were made to see, from far more pictures than any echo dataset holds. What they do not know is this data's camera:
their depth becomes metres by ``echodepth.distillation.scale_alignment``.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn

from echodepth.core.errors import CheckpointError, ConfigError
from echodepth.data.sample import Sample
from echodepth.distillation.losses.base import Prediction
from echodepth.distillation.losses.feature_matching import resized
from echodepth.distillation.teachers.frozen import HUGGING_FACE, LiveTeacher

FAMILIES = ("depth_anything", "dpt")
"""Kinds of model whose preparation of pictures, and whose answer, are known here."""
_INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers, as the model's preprocessor_config.json has them."""


@dataclass(frozen=True)
class Preparation:
    """How a model wants its pictures.

    Done on the whole batch and its device. The image processors of transformers that do so need torchvision.

    Attributes:
        size: rows and columns; None keeps the picture's own.
        multiple: of which both are made.
        interpolation: ``bilinear`` or ``bicubic``, both antialiased, as Pillow's.
        mean: of red, green and blue, is taken off.
        std: of red, green and blue, is divided by.
    """

    size: tuple[int, int] | None
    multiple: int
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, settings: dict[str, Any]) -> "Preparation":
        """From the contents of preprocessor_config.json.

        Raises:
            KeyError, TypeError, ValueError: it holds something else than is expected.
        """
        size = settings["size"] if settings.get("do_resize", True) else None
        if isinstance(size, int):
            size = {"height": size, "width": size}
        normalise = settings.get("do_normalize", True)
        return cls(
            size=None if size is None else (int(size["height"]), int(size["width"])),
            multiple=int(settings.get("ensure_multiple_of") or 1),
            interpolation=_INTERPOLATIONS[settings.get("resample", 3)],
            mean=tuple(map(float, settings["image_mean"])) if normalise else (0.0, 0.0, 0.0),
            std=tuple(map(float, settings["image_std"])) if normalise else (1.0, 1.0, 1.0),
        )

    def __call__(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h2 w2"]:
        """From RGB in 0..1 to what the model takes.

        ``keep_aspect_ratio`` changes nothing here: samples are squares, and so is the size of every such model.
        """
        rows, columns = (max(1, round(side / self.multiple)) * self.multiple for side in self.size or image.shape[-2:])
        if (rows, columns) != tuple(image.shape[-2:]):
            # A bicubic curve overshoots at edges; pictures of bytes are cut off there.
            image = F.interpolate(image, (rows, columns), mode=self.interpolation, antialias=True).clamp(0, 1)
        mean, std = (image.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (image - mean) / std


class HuggingFaceTeacher(LiveTeacher):
    """A depth model of Hugging Face. It shows its depth alone: its features are no ladder like ours.

    Args:
        model: an ``AutoModelForDepthEstimation`` of one of ``FAMILIES``.
        prepare: how it wants its pictures.

    Raises:
        ConfigError: the model is of another family.
    """

    def __init__(self, model: nn.Module, prepare: Preparation) -> None:
        config: Any = model.config
        if config.model_type not in FAMILIES:
            raise ConfigError(
                f"--teacher is a {config.model_type} model, whose answer is not understood here: "
                f"give one of {' or '.join(FAMILIES)}"
            )
        settings = json.loads(json.dumps(config.to_dict(), default=str))
        super().__init__(model, {"config": settings, "preparation": asdict(prepare)})
        metric = getattr(config, "depth_estimation_type", "relative") == "metric"
        self.answer = "proportions" if metric else "disparity"
        self.prepare = prepare

    @classmethod
    def load(cls, name: str) -> "HuggingFaceTeacher":
        """Read a model of the hub or of a local folder, from safetensors alone, and every weight of it.

        Args:
            name: ``ORG/NAME``, looked for in the user's cache and then on the hub; or a folder.

        Raises:
            CheckpointError: it cannot be had, or is incomplete.
            ConfigError: transformers is not installed, or the model is of an unknown family.
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
            model, found = AutoModelForDepthEstimation.from_pretrained(
                name, use_safetensors=True, output_loading_info=True
            )
            with open(cached_file(name, "preprocessor_config.json"), encoding="utf-8") as file:  # noqa: PTH123
                prepare = Preparation.read(json.load(file))
        except (OSError, LookupError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(
                f"--teacher {HUGGING_FACE}{name} cannot be had: {_first_line(error)} Where the network is closed, "
                f"fetch it elsewhere with `hf download {name}`, and give its folder: --teacher {HUGGING_FACE}FOLDER"
            ) from error
        if lost := sorted({*found["missing_keys"], *(str(key) for key in found["mismatched_keys"])}):
            raise CheckpointError(
                f"--teacher {HUGGING_FACE}{name} lacks weights, or has them in other shapes ({lost[0]}, "
                f"{len(lost)} in all): fetch it anew"
            )
        return cls(model, prepare)

    def feature_channels(self) -> dict[str, int]:
        """None."""
        return {}

    def feature_sizes(self) -> dict[str, tuple[int, int]]:
        """None."""
        return {}

    @torch.no_grad()
    def predict(self, batch: Sample) -> Prediction:
        """Its own kind of depth (see ``answer``) at the images' size."""
        image = batch["image"]
        self.model.to(image)
        said = self.model(pixel_values=self.prepare(image)).predicted_depth[:, None]  # [B, 1, rows, columns]
        return Prediction(resized(said.to(image), image), {})  # mixed precision answers in bfloat16


def _first_line(error: Exception) -> str:
    """Of a message that goes on with advice on other things."""
    line = (str(error).splitlines() or [""])[0] or repr(error)
    return line if line.endswith(".") else f"{line}."

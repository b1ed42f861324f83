"""See depth by ear, taught by sight: binaural echo depth estimation distilled from an RGB teacher.

    from echodepth import EXAMPLES, load_model

    estimate = load_model().infer(EXAMPLES[0])  # the model and a recording that come with the package
    print(estimate.depth.shape, estimate.depth.max())  # metres
    estimate.plot().savefig("depth.png")

Prediction:
    load_model            a trained model by name, folder, file or ORG/NAME on the Hugging Face Hub: a Predictor
    Predictor             infer(x): depth of a recording or image, given as a path, an array or a tensor
    Estimate              its answer: depth and predicted uncertainty in metres, as NumPy arrays; plot() draws them
    EXAMPLES              paths of three recordings that come with the package

Networks, as torch modules:
    RGBDepthNet, create_rgb_depth_model                          the teacher: images [B, 3, H, W]
    BinauralAttentionDepthNet, create_binaural_attention_model   the student: spectrograms [B, 2, H, W]
    EchoFrontEnd                                                 waveforms [B, 2, T] to spectrograms

Data:
    DataConfig            which dataset, where, at which size
    open_dataset          one split of it: samples by index, or batches
    tensor_loader         batches (spectrogram, image, depth) for a training loop of your own

Errors:
    EchodepthError        base class of what a user can mend; the message names the file, row or argument

Three verbs have one meaning each. Calling a network gives depth as a tensor, with gradient, and with
return_features=True also its feature maps. predict(tensor), of networks and models, gives depth, uncertainty and
features. infer(x), of a Predictor, takes files, arrays and images as they are, and gives an Estimate.

Whatever takes a path takes it as text, too. help(echodepth.Predictor) and the like tell the rest. Training, evaluation
and export are commands (echodepth --help), and functions: echodepth.training.train.train, ...

Importing this package costs next to nothing: torch and lightning are imported where they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echodepth.core.errors import EchodepthError as EchodepthError
    from echodepth.core.packaged import EXAMPLES as EXAMPLES
    from echodepth.data.config import DataConfig as DataConfig
    from echodepth.data.dataset import open_dataset as open_dataset
    from echodepth.inference.estimate import Estimate as Estimate
    from echodepth.inference.predictor import Predictor as Predictor
    from echodepth.inference.predictor import load_model as load_model
    from echodepth.models.frontends.echo import EchoFrontEnd as EchoFrontEnd
    from echodepth.models.networks.binaural_attention import BinauralAttentionDepthNet as BinauralAttentionDepthNet
    from echodepth.models.networks.binaural_attention import (
        create_binaural_attention_model as create_binaural_attention_model,
    )
    from echodepth.models.networks.rgb_depth import RGBDepthNet as RGBDepthNet
    from echodepth.models.networks.rgb_depth import create_rgb_depth_model as create_rgb_depth_model
    from echodepth.training.tensor_loader import tensor_loader as tensor_loader

__version__ = "0.2.0"
# Not __all__: help(echodepth) would list, after the page above, all that the networks inherit from torch.
_MODULES = {
    "EXAMPLES": "core.packaged",
    "BinauralAttentionDepthNet": "models.networks.binaural_attention",
    "DataConfig": "data.config",
    "EchoFrontEnd": "models.frontends.echo",
    "EchodepthError": "core.errors",
    "Estimate": "inference.estimate",
    "Predictor": "inference.predictor",
    "RGBDepthNet": "models.networks.rgb_depth",
    "create_binaural_attention_model": "models.networks.binaural_attention",
    "create_rgb_depth_model": "models.networks.rgb_depth",
    "load_model": "inference.predictor",
    "open_dataset": "data.dataset",
    "tensor_loader": "training.tensor_loader",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    if name == "open_dataset":
        from echodepth.core.errors import names_arguments

        value = names_arguments(value)  # inside the package its errors reach commands through Python functions
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*_MODULES, "__version__"])

"""See depth by ear, taught by sight: binaural echo depth estimation distilled from an RGB teacher.

    from echodepth import EXAMPLES, load_model

    depth = load_model().infer(EXAMPLES[0]).depth  # metres, from the model and a recording that come with the package

Importing this package costs next to nothing: torch and lightning are imported where they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echodepth.core.packaged import EXAMPLES
    from echodepth.inference.predictor import Estimate, Predictor, load_model

__version__ = "0.2.0"
__all__ = ["EXAMPLES", "Estimate", "Predictor", "__version__", "load_model"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "echodepth.core.packaged" if name == "EXAMPLES" else "echodepth.inference.predictor"
    return getattr(import_module(module), name)

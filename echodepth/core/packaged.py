"""Files that come with the package: trained models by name, and example recordings."""

from importlib.resources import files
from pathlib import Path

from echodepth.core.errors import CheckpointError
from echodepth.core.run_paths import is_experiment_name, trained_experiments

PRETRAINED = Path(str(files("echodepth") / "pretrained"))
"""Folder of the model folders, each with the name of its model."""
DEFAULT_MODEL = "echodepth-light"
"""Model that is used where none is named."""
EXAMPLE_FOLDER = Path(str(files("echodepth") / "examples"))
"""Folder of the example recordings; beside ``room.wav`` are ``room.jpg`` and ``room_depth.png``."""
EXAMPLES = tuple(sorted(EXAMPLE_FOLDER.glob("*.wav")))
"""The example recordings."""


def packaged_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.parent.name for path in PRETRAINED.glob("*/config.json"))


def packaged_model(name: str | Path) -> Path | None:
    """The folder of the packaged model of that name; None if there is none. A path such as ``./name`` is no name."""
    folder = PRETRAINED / name
    return folder if is_experiment_name(str(name)) and (folder / "config.json").is_file() else None


def packaged_or_own(name: str | Path, own: Path | None) -> Path | None:
    """The packaged model of a name, or else the user's own.

    Args:
        name: as the user gave it.
        own: what it names in the working directory, if anything.

    Raises:
        CheckpointError: both exist. Neither is preferred: a result must not depend on the working directory unseen.
    """
    packaged = packaged_model(name)
    if packaged is not None and own is not None and own.resolve() != packaged:
        raise CheckpointError(
            f"{name} names two models, the one that comes with echodepth and {own}: rename {own}, or give it as ./{own}"
        )
    return packaged or own


def missing_model(sentence: str) -> CheckpointError:
    """The error for a model that is not there, with the names of those that are; the sentence ends with "give"."""
    names = [*trained_experiments(), *packaged_models()]
    there_are = f"there are {', '.join(names)}" if names else "there are none"
    return CheckpointError(
        f"{sentence} a model folder, a .pth file, the name of an experiment ({there_are}), or ORG/NAME on the Hugging "
        "Face Hub"
    )

"""Loading of the teacher that ``--teacher`` names."""

from echodepth.distillation.teachers.frozen import FrozenTeacher, LiveTeacher
from echodepth.distillation.teachers.huggingface import HUGGING_FACE, HuggingFaceTeacher


def load_teacher(name: str) -> LiveTeacher:
    """Load a teacher: a model of this project, or after ``hf:`` one of Hugging Face.

    Raises:
        CheckpointError: the model does not exist or cannot be read.
        ConfigError: the model takes no images, or its family is not supported.
    """
    if name.startswith(HUGGING_FACE):
        return HuggingFaceTeacher.load(name.removeprefix(HUGGING_FACE))
    return FrozenTeacher.load(name)

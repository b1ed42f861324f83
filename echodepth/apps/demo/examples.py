"""What the page offers to pick from: files that are named, or some of the dataset that the model was trained on."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from echodepth.apps.demo.backend import Question
from echodepth.core.errors import ConfigError, DataError
from echodepth.data.config import change_source
from echodepth.data.dataset import list_split
from echodepth.data.records import Modality, Record
from echodepth.inference.config import DemoConfig
from echodepth.inference.inputs import RECORDINGS
from echodepth.inference.predictor import Predictor
from echodepth.inference.runtime import trained_data
from echodepth.inference.sources import PICTURES

log = logging.getLogger(__name__)

_OFFERED = 6


def find_examples(config: DemoConfig, predictors: list[Predictor]) -> list[Question]:
    """Questions that all the models can be asked.

    Raises:
        DataError: a file or folder that is named is not there or holds nothing that the models take, or the dataset
            in ``--data_dir`` cannot be listed.
    """
    wanted = {predictor.backend.input_key for predictor in predictors}
    if config.examples:
        return [question for path in config.examples for question in _of_path(path, wanted)]
    try:
        return _of_dataset(predictors[0], config.data_dir, wanted)
    except (ConfigError, DataError) as error:  # a model trained from shards has no files to pick from
        if config.data_dir is not None:
            raise
        log.info("no examples to pick from (%s); --examples or --data_dir names some", error)
        return []


def _of_path(path: Path, wanted: set[str]) -> list[Question]:
    endings = RECORDINGS if "audio" in wanted else PICTURES
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    questions = [
        question
        for file in files
        if file.suffix.lower() in endings and file.is_file() and not _is_depth(file)
        for question in [_beside(file)]
        if "image" not in wanted or question.picture is not None
    ]
    if not questions:
        what = " with a picture beside it" if wanted == {"audio", "image"} else ""
        raise DataError(f"--examples {path} holds no {'WAV or FLAC file' if 'audio' in wanted else 'picture'}{what}")
    return questions


def _is_depth(path: Path) -> bool:
    return path.stem.endswith("_depth")


def _beside(path: Path) -> Question:
    """A file with what lies beside it: ``kitchen.jpg``, and ``kitchen.npy`` or ``kitchen_depth.png``."""
    hears = path.suffix.lower() in RECORDINGS
    pictures = [path.with_suffix(ending) for ending in sorted(PICTURES)] if hears else [path]
    depths = [path.with_suffix(".npy"), *(path.with_name(f"{path.stem}_depth{ending}") for ending in (".npy", ".png"))]
    return Question(path if hears else None, *(next(filter(Path.is_file, each), None) for each in (pictures, depths)))


def _of_dataset(predictor: Predictor, data_dir: Path | None, wanted: set[str]) -> list[Question]:
    data = replace(change_source(trained_data(predictor.backend), None, data_dir), leave_out=None)
    parts: tuple[Modality, ...] = ("image", "depth") if wanted == {"image"} else ("image", "audio", "depth")
    records, _ = list_split(data, "test", parts)
    usable = [question for record in records if (question := _of_record(record, wanted)) is not None]
    chosen = np.linspace(0, len(usable) - 1, min(len(usable), _OFFERED)).round().astype(int)
    return [usable[index] for index in chosen]


def _of_record(record: Record, wanted: set[str]) -> Question | None:
    # BatVision V1 keeps its ears in two arrays, which no browser plays.
    recording = record.audio[0] if len(record.audio) == 1 else None
    question = Question(
        recording, *(path if path and path.is_file() else None for path in (record.image, record.depth))
    )
    lacks = ("audio" in wanted and recording is None) or ("image" in wanted and question.picture is None)
    return None if lacks else question

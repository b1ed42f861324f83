"""Examples on the demo page: files that the flags name, or instances of the model's dataset."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from echodepth.apps.demo.backend import DemoInput
from echodepth.apps.demo.config import DemoConfig
from echodepth.core.errors import ConfigError, DataError
from echodepth.core.input_files import given_paths
from echodepth.core.packaged import DEFAULT_MODEL, EXAMPLE_FOLDER, packaged_model
from echodepth.data.dataset import list_split
from echodepth.data.recorded import data_to_read
from echodepth.data.records import Modality, Record
from echodepth.inference.inputs import AUDIO_SUFFIXES, IMAGE_SUFFIXES
from echodepth.inference.predictor import Predictor

log = logging.getLogger(__name__)

_FROM_DATASET = 6


def find_examples(config: DemoConfig, predictors: list[Predictor]) -> list[DemoInput]:
    """Find examples that all models can take.

    Raises:
        DataError: a file or folder of ``--examples`` is missing or holds nothing that the models take, or the dataset
            in ``--data_dir`` cannot be listed.
    """
    input_keys = {predictor.backend.input_key for predictor in predictors}
    is_packaged = config.data_dir is None and packaged_model(config.checkpoint or DEFAULT_MODEL) is not None
    examples = config.examples or ((EXAMPLE_FOLDER,) if is_packaged else ())
    if examples:
        return [example for path in given_paths(examples) for example in _from_path(path, input_keys)]
    try:
        return _from_dataset(predictors[0], config.data_dir, input_keys)
    except (ConfigError, DataError) as error:  # a model trained from shards has no single files
        if config.data_dir is not None:
            raise
        log.info("the page has no examples (%s): name some with --examples or --data_dir", error)
        return []


def _from_path(path: Path, input_keys: set[str]) -> list[DemoInput]:
    suffixes = AUDIO_SUFFIXES if "audio" in input_keys else IMAGE_SUFFIXES
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    examples = [
        example
        for file in files
        if file.suffix.lower() in suffixes and file.is_file() and not file.stem.endswith("_depth")
        for example in [_with_companions(file)]
        if "image" not in input_keys or example.image is not None
    ]
    if not examples:
        expected = "WAV or FLAC file" if "audio" in input_keys else "image"
        companion = " with an image of the same name" if input_keys == {"audio", "image"} else ""
        raise DataError(f"--examples {path} holds no {expected}{companion}")
    return examples


def _with_companions(path: Path) -> DemoInput:
    """A file with the files of the same name: ``kitchen.jpg``, and ``kitchen.npy`` or ``kitchen_depth.png``."""
    is_audio = path.suffix.lower() in AUDIO_SUFFIXES
    images = [path.with_suffix(suffix) for suffix in sorted(IMAGE_SUFFIXES)] if is_audio else [path]
    depths = [path.with_suffix(".npy"), *(path.with_name(f"{path.stem}_depth{suffix}") for suffix in (".npy", ".png"))]
    companions = (next(filter(Path.is_file, candidates), None) for candidates in (images, depths))
    return DemoInput(path if is_audio else None, *companions)


def _from_dataset(predictor: Predictor, data_dir: Path | None, input_keys: set[str]) -> list[DemoInput]:
    data = replace(data_to_read(predictor.backend, None, data_dir), leave_out=None)
    modalities: tuple[Modality, ...] = ("image", "depth") if input_keys == {"image"} else ("image", "audio", "depth")
    records, _ = list_split(data, "test", modalities)
    usable = [example for record in records if (example := _from_record(record, input_keys)) is not None]
    chosen = np.linspace(0, len(usable) - 1, min(len(usable), _FROM_DATASET)).round().astype(int)
    return [usable[index] for index in chosen]


def _from_record(record: Record, input_keys: set[str]) -> DemoInput | None:
    # BatVision V1 stores each ear as an array, which a browser cannot play.
    recording = record.audio[0] if len(record.audio) == 1 else None
    files = (path if path and path.is_file() else None for path in (record.image, record.depth))
    example = DemoInput(recording, *files)
    incomplete = ("audio" in input_keys and recording is None) or ("image" in input_keys and example.image is None)
    return None if incomplete else example

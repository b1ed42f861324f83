"""What is to be predicted: files, folders of them, films, or a part of a dataset, each with where its results go."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from PIL import Image

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.config import DataConfig, change_source
from echodepth.data.dataset import list_split
from echodepth.data.decoder import Decoder
from echodepth.data.images import open_image, open_upright
from echodepth.data.records import Modality, Record
from echodepth.inference.config import PredictConfig
from echodepth.inference.inputs import FILMS, RECORDINGS, Prepared
from echodepth.inference.predictor import Predictor
from echodepth.inference.runtime import trained_data

log = logging.getLogger(__name__)

PICTURES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
"""Looked for in a folder; a file that is named may have any ending."""


@dataclass(frozen=True)
class Source:
    """One thing to predict.

    Attributes:
        name: as messages call it.
        stem: where its results go, below the folder of results and without an ending.
        files: what it is read from: results that are older are made anew.
        read: reads it as the model takes it.
        picture: opens the RGB that shows the same, upright; None where there is none.
    """

    name: str
    stem: Path
    files: tuple[Path, ...]
    read: Callable[[], Prepared]
    picture: Callable[[], Image.Image] | None = None

    @property
    def is_film(self) -> bool:
        """Whether it is many pictures, and ``read`` is of no use."""
        return len(self.files) == 1 and self.files[0].suffix.lower() in FILMS


def find_sources(config: PredictConfig, predictor: Predictor, out: Path) -> list[Source]:
    """Everything that the flags name.

    Raises:
        ConfigError: nothing is named, both files and a dataset are, or two results would go to one place.
        DataError: a dataset or folder is not there, or holds nothing of the kind.
    """
    of_dataset = config.split is not None or config.dataset is not None or config.data_dir is not None
    if of_dataset and (config.files or config.beside is not None):
        raise ConfigError(
            "files and --beside are one thing, --split, --dataset and --data_dir another: give one of them"
        )
    if not of_dataset and not config.files:
        raise ConfigError(
            "no file is given: name pictures or films for an RGB model, WAV files for an audio model, folders of them, "
            "or a dataset's --split"
        )
    sources = _of_split(config, predictor) if of_dataset else list(_of_files(config, predictor, out))
    for stem, count in Counter(source.stem for source in sources).items():
        if count > 1:
            both = [source.name for source in sources if source.stem == stem]
            raise ConfigError(f"{both[0]} and {both[1]}: one result would replace the other; predict them apart")
    return sources


def _of_files(config: PredictConfig, predictor: Predictor, out: Path) -> Iterator[Source]:
    hears = predictor.backend.input_key == "audio"
    if config.beside is not None and not hears:
        raise ConfigError(f"--beside is for audio models: {predictor.name} is given the picture itself")
    for given in config.files:
        for path, stem in _below(given, RECORDINGS if hears else PICTURES | FILMS, out):
            picture = partial(open_upright, path)
            beside = _picture_beside(config.beside, stem) if config.beside is not None and hears else None
            yield Source(
                name=str(path),
                stem=stem,
                files=(path, beside) if beside is not None else (path,),
                read=partial(predictor.prepare, path),
                picture=picture if not hears else partial(open_upright, beside) if beside is not None else None,
            )


def _below(given: Path, endings: frozenset[str], out: Path) -> Iterator[tuple[Path, Path]]:
    """The file itself, or the files of a folder; each with its place among the results."""
    if not given.is_dir():
        yield given, Path(given.stem)
        return
    results = out.resolve()
    if results == given.resolve():
        raise ConfigError(f"--out {out} is the folder that is read: give another for the results")
    found = [
        path
        for path in sorted(given.rglob("*"))
        if path.suffix.lower() in endings
        and path.is_file()
        and not path.name.startswith(".")
        # What an earlier call wrote below the folder is no picture of it.
        and not path.resolve().is_relative_to(results)
    ]
    if not found:
        raise DataError(f"{given} holds no file that the model takes: {' '.join(sorted(endings))}")
    yield from ((path, path.relative_to(given).with_suffix("")) for path in found)


def _picture_beside(beside: Path, stem: Path) -> Path:
    """The picture that shows what a recording lets hear; a missing one is found out when it is opened."""
    if not beside.is_dir():
        return beside
    for folder in (beside / stem.parent, beside):
        for path in sorted(folder.glob(f"{stem.name}.*")):
            if path.suffix.lower() in PICTURES:
                return path
    return beside / stem.with_suffix(".jpg")


def _of_split(config: PredictConfig, predictor: Predictor) -> list[Source]:
    data = replace(change_source(trained_data(predictor.backend), config.dataset, config.data_dir), leave_out=None)
    split = config.split or "test"
    part: Modality = "image" if predictor.backend.input_key == "image" else "audio"
    records, decoder = list_split(data, split, (part,))
    pictures = {record.name: record.image for record in records} if part == "image" else _pictures(data, split)
    return [_of_record(record, decoder, pictures.get(record.name)) for record in records]


def _pictures(data: DataConfig, split: str) -> dict[str, Path | None]:
    """The camera's view of each instance, where the dataset has it."""
    try:
        records, _ = list_split(data, split, ("audio", "image"))  # type: ignore[arg-type]
    except DataError as error:
        log.warning("the results lack the camera's view: %s", error)
        return {}
    return {record.name: record.image for record in records if record.image is not None and record.image.is_file()}


def _of_record(record: Record, decoder: Decoder, image: Path | None) -> Source:
    """An instance is read as in training; a picture lies there as its depth map does, whatever its EXIF data say."""

    def read() -> Prepared:
        try:
            sample = decoder(record)
            if record.image is None or "image" not in decoder.modalities:
                return Prepared(sample["audio"])
            with open_image(record.image) as picture:
                return Prepared(sample["image"], (picture.height, picture.width))
        except DataError as error:
            raise DataError(f"{record.source}: {error}") from error

    place = Path(record.name)  # of an RGB-D folder, the depth map's own
    return Source(
        name=record.name,
        stem=place.with_suffix("") if place.suffix.lower() in PICTURES else place,
        files=tuple(decoder.files(record)) + ((image,) if image is not None else ()),
        read=read,
        picture=partial(open_image, image) if image is not None else None,
    )

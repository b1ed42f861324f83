"""Inputs of ``echodepth predict``: files, folders, videos or a dataset split, each with the stem of its results."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from PIL import Image

from echodepth.core.errors import ConfigError, DataError
from echodepth.core.input_files import given_paths
from echodepth.core.packaged import EXAMPLE_FOLDER, EXAMPLES
from echodepth.core.safe_paths import relative_path
from echodepth.data.config import DataConfig
from echodepth.data.dataset import list_split
from echodepth.data.decoder import Decoder
from echodepth.data.images import open_image, open_upright, upright_size
from echodepth.data.recorded import data_to_read
from echodepth.data.records import Modality, Record
from echodepth.inference.config import PredictConfig
from echodepth.inference.inputs import AUDIO_SUFFIXES, IMAGE_SUFFIXES, VIDEO_SUFFIXES, ModelInput
from echodepth.inference.predictor import Predictor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """One file or dataset instance to predict.

    Attributes:
        name: name for messages.
        stem: path of the results relative to the output folder, without a suffix.
        files: files that the source is read from.
        read: reads the model's input; not for videos.
        image: opens the RGB image of the same view, upright; None if there is none.
        image_file: its file, unless it is among ``files``.
        reading: how the files are read, where that is not decided by the model.
    """

    name: str
    stem: Path
    files: tuple[Path, ...]
    read: Callable[[], ModelInput]
    image: Callable[[], Image.Image] | None = None
    image_file: Path | None = None
    reading: str = ""

    @property
    def is_video(self) -> bool:
        """Whether the source is a video, to be read frame by frame."""
        return len(self.files) == 1 and self.files[0].suffix.lower() in VIDEO_SUFFIXES


def find_sources(config: PredictConfig, predictor: Predictor, out: Path) -> list[Source]:
    """List the sources that the flags name.

    Raises:
        ConfigError: the flags name nothing, or both files and a dataset, or two sources with the same results.
        DataError: a dataset or folder is missing, or holds nothing that the model takes.
    """
    from_dataset = config.split is not None or config.dataset is not None or config.data_dir is not None
    if config.examples:
        if config.files or config.image is not None or from_dataset:
            raise ConfigError("--examples names its own files: give it without files, --image and a dataset's split")
        config = _with_examples(config, predictor)
    if from_dataset and (config.files or config.image is not None):
        raise ConfigError("files and --image cannot be combined with --split, --dataset and --data_dir: give either")
    if not from_dataset and not config.files:
        raise ConfigError(
            "no file is given: name images or videos for an RGB model, WAV files for an audio model, folders of them, "
            "or a dataset's --split, or try --examples"
        )
    sources = _split_sources(config, predictor) if from_dataset else list(_file_sources(config, predictor, out))
    for stem, count in Counter(source.stem for source in sources).items():
        if count > 1:
            names = [source.name for source in sources if source.stem == stem]
            raise ConfigError(
                f"{names[0]} and {names[1]}: the result of one would replace the other's; predict them into different "
                "--out folders"
            )
    return sources


def _with_examples(config: PredictConfig, predictor: Predictor) -> PredictConfig:
    """The same flags for the example recordings, or for their images where the model takes images."""
    if predictor.backend.input_key == "audio":
        return replace(config, files=EXAMPLES, image=EXAMPLE_FOLDER)
    return replace(config, files=tuple(recording.with_suffix(".jpg") for recording in EXAMPLES))


def _file_sources(config: PredictConfig, predictor: Predictor, out: Path) -> Iterator[Source]:
    is_audio = predictor.backend.input_key == "audio"
    if config.image is not None and not is_audio:
        raise ConfigError(f"--image is for audio models: {predictor.name} takes the image itself as its input")
    images = _ImageFinder(config.image) if config.image is not None else None
    for given in given_paths(config.files):
        for path, stem in _find_files(given, AUDIO_SUFFIXES if is_audio else IMAGE_SUFFIXES | VIDEO_SUFFIXES, out):
            shown: Path | None = path
            if is_audio:
                shown = images.find(stem) if images is not None else None
            yield Source(
                name=str(path),
                stem=stem,
                files=(path,),
                read=partial(predictor.prepare, path),
                image=partial(open_upright, shown) if shown is not None else None,
                image_file=shown if is_audio else None,
            )


def _find_files(given: Path, suffixes: frozenset[str], out: Path) -> Iterator[tuple[Path, Path]]:
    """A file, or the files in a folder and below; each with the stem of its results."""
    if not given.is_dir():
        yield given, Path(given.stem)
        return
    results = out.resolve()
    if results == given.resolve():
        raise ConfigError(f"--out {out} is the input folder: give another folder for the results")
    found = [
        path
        for path in sorted(given.rglob("*"))
        if path.suffix.lower() in suffixes
        and path.is_file()
        and not path.name.startswith(".")
        # Results of an earlier call below the input folder are not inputs.
        and not path.resolve().is_relative_to(results)
    ]
    if not found:
        raise DataError(f"{given} holds no file that the model takes: {' '.join(sorted(suffixes))}")
    yield from ((path, path.relative_to(given).with_suffix("")) for path in found)


class _ImageFinder:
    """Finds the images of recordings, which have their stems; each folder is listed once.

    Args:
        image: the image of all recordings, or the folder of their images.
    """

    def __init__(self, image: Path) -> None:
        self.image = image
        self.is_folder = image.is_dir()
        self._listed: dict[Path, dict[str, list[Path]]] = {}
        self._taken: dict[Path, Path] = {}

    def find(self, stem: Path) -> Path:
        """The image of a recording; a missing one is reported when it is opened.

        Args:
            stem: path of the recording below its folder, without a suffix.

        Raises:
            ConfigError: two images have the stem, or two recordings the image.
        """
        if not self.is_folder:
            return self.image
        for folder in dict.fromkeys((self.image / stem.parent, self.image)):
            found = self._list(folder).get(stem.name, [])
            if len(found) > 1:
                raise ConfigError(f"{found[0]} and {found[1]} both have the name of the recording {stem}: keep one")
            if found:
                other = self._taken.setdefault(found[0], stem)
                if other != stem:
                    raise ConfigError(
                        f"{found[0]} has the name of two recordings, {other} and {stem}: put images into folders named "
                        "as those of the recordings"
                    )
                return found[0]
        return self.image / f"{stem}.jpg"

    def _list(self, folder: Path) -> dict[str, list[Path]]:
        """The images in a folder by stem."""
        if folder not in self._listed:
            found: dict[str, list[Path]] = defaultdict(list)
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
                    found[path.stem].append(path)
            self._listed[folder] = found
        return self._listed[folder]


def _split_sources(config: PredictConfig, predictor: Predictor) -> list[Source]:
    data = replace(data_to_read(predictor.backend, config.dataset, config.data_dir), leave_out=None)
    split = config.split or "test"
    modality: Modality = "image" if predictor.backend.input_key == "image" else "audio"
    records, decoder = list_split(data, split, (modality,))
    images = {record.name: record.image for record in records} if modality == "image" else _images(data, split)
    return [_record_source(record, decoder, images.get(record.name)) for record in records]


def _images(data: DataConfig, split: str) -> dict[str, Path | None]:
    """The RGB image of each instance, by the instance's name; empty if the dataset has no images."""
    try:
        records, _ = list_split(data, split, ("audio", "image"))  # type: ignore[arg-type]
    except DataError as error:
        log.warning("the results do not show RGB images: %s", error)
        return {}
    return {record.name: record.image for record in records if record.image is not None and record.image.is_file()}


def _record_source(record: Record, decoder: Decoder, image: Path | None) -> Source:
    """A dataset instance, read as in training."""

    def read() -> ModelInput:
        try:
            sample = decoder(record)
            if record.image is None or "image" not in decoder.modalities:
                return ModelInput(sample["audio"])
            with open_image(record.image) as opened:
                return ModelInput(sample["image"], upright_size(opened, str(record.image)))
        except DataError as error:
            raise DataError(f"{record.source}: {error}") from error

    stem = relative_path(record.name, record.source)  # in an RGB-D folder the file name of the depth map
    return Source(
        name=record.name,
        stem=stem.with_suffix("") if stem.suffix.lower() in IMAGE_SUFFIXES else stem,
        files=tuple(decoder.files(record)),
        read=read,
        image=partial(open_upright, image) if image is not None else None,
        image_file=image,
        reading=f"{decoder.modalities} {decoder.image_size} {decoder.audio_cut}",
    )

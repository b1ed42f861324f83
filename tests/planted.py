"""A dataset's ailments, planted one by one into a healthy root in BatVision V2's format."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image


class Garden:
    """A root to plant faults in; its rows are handed out one after the other, so that none gets two.

    Attributes:
        root: the dataset.
        location: the one whose single rows are spoilt.
    """

    def __init__(self, root: Path, location: str) -> None:
        self.root, self.location = root, location
        self.names = iter(sorted(path.stem.removeprefix("audio_") for path in self.folder("audio").iterdir()))

    def folder(self, part: str, location: str | None = None) -> Path:
        return self.root / (location or self.location) / part

    def next_row(self) -> str:
        return next(self.names)

    def file(self, part: str, name: str) -> Path:
        return next(self.folder(part).glob(f"{part}_{name}.*"))

    def rewrite_audio(self, change: Callable[[np.ndarray], np.ndarray], path: Path, rate: int = 44100) -> None:
        sound, _ = soundfile.read(path)
        soundfile.write(path, change(sound), rate, subtype="PCM_32")

    def split_of(self, name: str) -> str:
        tables = self.root.glob(f"{self.location}/*.csv")
        return next(table.stem for table in tables if f"audio_{name}.wav" in table.read_text())


def missing(garden: Garden) -> str:
    name = garden.next_row()
    garden.file("camera", name).unlink()
    return name


def cut_short(garden: Garden) -> str:
    name = garden.next_row()
    path = garden.file("audio", name)
    path.write_bytes(path.read_bytes()[:90_000])
    return name


def other_rate(garden: Garden) -> str:
    name = garden.next_row()
    garden.rewrite_audio(lambda sound: sound, garden.file("audio", name), 48000)
    return name


def mono(garden: Garden) -> str:
    name = garden.next_row()
    garden.rewrite_audio(lambda sound: sound[:, :1], garden.file("audio", name))
    return name


def clipped(garden: Garden) -> str:
    name = garden.next_row()
    garden.rewrite_audio(lambda sound: np.clip(4 * sound, -1, 1), garden.file("audio", name))
    return name


def silent_ear(garden: Garden) -> str:
    name = garden.next_row()
    garden.rewrite_audio(lambda sound: sound * [1.0, 1e-3], garden.file("audio", name))
    return name


def one_microphone(garden: Garden) -> str:
    name = garden.next_row()
    garden.rewrite_audio(lambda sound: sound[:, [0, 0]], garden.file("audio", name))
    return name


def late(garden: Garden) -> str:
    name = garden.next_row()
    rng = np.random.default_rng(0)
    garden.rewrite_audio(
        lambda sound: np.concatenate([1e-4 * rng.normal(size=(2646, 2)), sound]), garden.file("audio", name)
    )
    return name


def metres(garden: Garden) -> str:
    name = garden.next_row()
    path = garden.file("depth", name)
    np.save(path, np.load(path).astype(np.float32) / 1000)
    return name


def centimetres(garden: Garden, location: str) -> None:
    for path in garden.folder("depth", location).iterdir():
        np.save(path, np.load(path) // 10)


def constant_depth(garden: Garden) -> str:
    name = garden.next_row()
    path = garden.file("depth", name)
    np.save(path, np.full_like(np.load(path), 2000))
    return name


def no_depth(garden: Garden) -> str:
    name = garden.next_row()
    path = garden.file("depth", name)
    np.save(path, np.zeros_like(np.load(path)))
    return name


def cropped(garden: Garden) -> str:
    name = garden.next_row()
    path = garden.file("camera", name)
    with Image.open(path) as picture:
        picture.crop((0, 0, 20, 32)).save(path)
    return name


def twice(garden: Garden) -> str:
    """The same recording under two names, in one split."""
    name = garden.next_row()
    twin = next(other for other in garden.names if garden.split_of(other) == garden.split_of(name))
    shutil.copy(garden.file("audio", name), garden.file("audio", twin))
    return name


def room_in_two_splits(garden: Garden) -> str:
    """One row of a room moves from its split to another."""
    tables = {split: garden.root / garden.location / f"{split}.csv" for split in ("train", "test")}
    rows = {split: list(csv.reader(table.open())) for split, table in tables.items()}
    moved = rows["test"].pop()
    rows["train"].append(moved)
    for split, table in tables.items():
        with table.open("w", newline="") as file:
            csv.writer(file).writerows(rows[split])
    return moved[5].removesuffix(".wav").removeprefix("audio_")


def swapped_ears(garden: Garden, location: str) -> None:
    for path in garden.folder("audio", location).iterdir():
        garden.rewrite_audio(lambda sound: sound[:, ::-1], path)


def _redraw(garden: Garden, location: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    for path in garden.folder("camera", location).iterdir():
        pixels = np.asarray(Image.open(path))
        Image.fromarray(change(pixels)).save(path, quality=92)


def mirrored_pictures(garden: Garden, location: str) -> None:
    _redraw(garden, location, lambda pixels: np.ascontiguousarray(pixels[:, ::-1]))


def shifted_pictures(garden: Garden, location: str) -> None:
    """Three pixels of 32 to the right, as through another camera beside the depth's."""
    _redraw(garden, location, lambda pixels: np.concatenate([pixels[:, :3], pixels[:, :-3]], axis=1))

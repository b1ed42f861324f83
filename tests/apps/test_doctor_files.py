"""The doctor on files that are no media files, or dangerous ones: a finding each, never a traceback or a hang."""

import io
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from echodepth.apps.doctor.row_checks import check_row
from echodepth.data.dataset import list_split
from tests.data.test_depth_values import WALL, with_sky
from tests.data.test_hostile_images import png
from tests.data.test_wav_files import SAMPLES, data, fmt, riff, stored
from tests.roots import v2, write_v2_root


def npy(array: np.ndarray, pickled: bool = False) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=pickled)
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, WALL)
    return file.getvalue()


def claiming_more() -> bytes:
    """An array of 20 kB whose header claims 8 GB."""
    return npy(np.ones((100, 100), np.uint16)).replace(b"(100, 100), }    ", b"(65536, 65536), }")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


CASES: dict[str, tuple[str, bytes | Callable[[Path], None], str]] = {
    "bomb": ("camera_0.jpeg", png(60_000, 60_000), "corrupt"),
    "large": ("camera_0.jpeg", png(9000, 9000), "corrupt"),
    "bomb of text": ("camera_0.jpeg", png(8, 8, (b"zTXt", b"a\0\0" + zlib.compress(bytes(70_000_000)))), "corrupt"),
    "image pipe": ("camera_0.jpeg", pipe, "missing"),
    "audio pipe": ("audio_0.wav", pipe, "missing"),
    "depth pipe": ("depth_0.npy", pipe, "missing"),
    "npz": ("depth_0.npy", npz(), "corrupt"),
    "pickle": ("depth_0.npy", npy(np.array([{}, None]), pickled=True), "corrupt"),
    "no pixels": ("depth_0.npy", npy(np.zeros((0, 0), np.uint16)), "depth format"),
    "8 bits": ("depth_0.npy", npy(np.full((48, 64), 200, np.uint8)), "depth format"),
    "claims gigabytes": ("depth_0.npy", claiming_more(), "corrupt"),
    "65535": ("depth_0.npy", npy(with_sky(np.round(1000 * WALL), 65535).astype(np.uint16)), "depth marker"),
    "10 m": ("depth_0.npy", npy(with_sky(np.round(1000 * WALL), 10_000).astype(np.uint16)), "possible depth marker"),
    "metres": ("depth_0.npy", npy(with_sky(WALL, 1000.0)), "depth unit"),
    "cut": ("audio_0.wav", riff(fmt() + data(SAMPLES * 9))[:-900], "corrupt"),
    "low end": ("audio_0.wav", riff(fmt(32, 4) + data(stored(24, 4) * 9)), "audio level"),
    "second data chunk": ("audio_0.wav", riff(fmt() + data(SAMPLES * 9) + data(SAMPLES)), "unread audio"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_is_a_finding(case: str, tmp_path: Path) -> None:
    name, spoil, kind = CASES[case]
    root = write_v2_root(tmp_path, ("Attic",), rows=1, splits=("train",))
    path = root / "Attic" / name.split("_")[0] / name
    if isinstance(spoil, bytes):
        path.write_bytes(spoil)
    else:
        spoil(path)
    records, decoder = list_split(v2(root), "train", ("image", "audio", "depth"))
    found = [finding for finding in check_row(records[0], "train", decoder).findings if name in finding.what]
    assert kind in [finding.kind for finding in found]
    assert all("\n" not in finding.what for finding in found)

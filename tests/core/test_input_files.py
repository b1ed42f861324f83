"""Files that users name: pipes and devices are refused before they are opened, and marked encodings are read."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest

from echodepth.apps.convert.pairing import _Times
from echodepth.core.errors import DataError, EchodepthError
from echodepth.core.input_files import (
    LARGEST_TEXT,
    given_paths,
    in_home,
    matching_paths,
    read_text,
    regular_file,
    why_no_file,
)
from echodepth.data.arrays import read_array
from echodepth.data.audio import read_wav
from echodepth.data.camera_file import read_camera
from echodepth.data.config import DataConfig
from echodepth.data.dataset import list_split
from echodepth.data.images import read_depth_image, read_image
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.dataset import Simulated
from echodepth.simulate.dataset_card import create_or_verify_card
from echodepth.simulate.rig import read_rig
from echodepth.training.command_flags import _recorded_flags
from tests.roots import v2, write_rgbd_root, write_v2_root

TEXT = "Küche,1.5\nFlur,2\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_marked_encodings_are_read(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(TEXT.encode(encoding))
    assert read_text(tmp_path / "a.csv") == TEXT


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Flur,2\n" + "Küche".encode("latin-1"), r"a\.csv, line 2: the text is not UTF-8: save the file as UTF-8"),
        (TEXT.encode("utf-16-le"), r"a\.csv(, line 1: the text is not UTF-8| has zero bytes).*save the file as UTF-8"),
        ("Flur".encode("utf-16-be"), r"a\.csv has zero bytes, as UTF-16 without a byte order mark"),
        (b"\xff\xfe\x00", r"a\.csv, line 1: the text is not UTF-16"),
    ],
)
def test_other_encodings_are_refused_with_the_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_text(tmp_path / "a.csv")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lists_in_marked_encodings_list_the_same_rows(encoding: str, tmp_path: Path) -> None:
    """A spreadsheet saves CSV files as UTF-16, or with a mark, which became part of the first column's name."""
    first, second = write_v2_root(tmp_path / "v2", ("Attic",)), write_rgbd_root(tmp_path / "tum")
    configs = v2(first), DataConfig(dataset="rgbd", data_dir=second)
    plain = [list_split(config, "train", ("image",))[0] for config in configs]
    for table in (first / "Attic/train.csv", second / "assoc.txt"):
        table.write_text(table.read_text(), encoding=encoding)
    assert [list_split(config, "train", ("image",))[0] for config in configs] == plain


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def link_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bind_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    ("make", "kind"),
    [(make_pipe, "a named pipe"), (link_device, "a device"), (bind_socket, "a socket"), (Path.mkdir, "a folder")],
)
def test_what_is_no_regular_file_is_never_opened(make, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]  # fmt: skip  # noqa: E501
    """The doctor waited for ever for what nobody wrote into a pipe."""
    monkeypatch.chdir(tmp_path)
    path = Path("x")
    make(path)
    assert why_no_file(path) == f"x is {kind}, not a file"
    for read in (
        *(regular_file, read_text, read_wav, read_array, read_rig, _Times),
        *(lambda file: read_image(file, 8), lambda file: read_depth_image(file, 1000.0)),
        lambda file: _recorded_flags(file, "rgb"),
    ):
        with pytest.raises(EchodepthError, match=f"x is {kind}, not a file: give a file"):
            read(path)
    assert read_camera(path) is None
    assert regular_file(Path("absent")) == Path("absent")
    assert why_no_file(Path("absent")) == "absent does not exist"


def test_a_list_that_is_a_pipe_is_one_line(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path, ("Attic",))
    (root / "Attic/val.csv").unlink()
    os.mkfifo(root / "Attic/val.csv")
    with pytest.raises(DataError, match=r"val\.csv is a named pipe, not a file"):
        list_split(v2(root), "val", ("image",))


def test_lists_have_a_size(tmp_path: Path) -> None:
    """A sparse file takes no room on a disk or in an archive."""
    root = write_v2_root(tmp_path, ("Attic",))
    for name in ("SHA256SUMS", "Attic/train.csv"):
        (root / name).touch()
        os.truncate(root / name, LARGEST_TEXT + 1)
        with pytest.raises(DataError, match=rf"{name} has more than 64 MB, which no such file needs: split it"):
            list_split(v2(root), "train", ("image",))
        (root / name).unlink()


@pytest.mark.parametrize("name", ["SHA256SUMS", "simulation.json"])
def test_files_beside_the_lists_may_be_pipes(name: str, tmp_path: Path) -> None:
    """The reader waited for ever for the digests that nobody wrote into a pipe."""
    root = write_v2_root(tmp_path, ("Attic",))
    os.mkfifo(root / name)
    config = SimulateConfig(root, rooms=3, poses=1, image_size=16, workers=1)
    with pytest.raises(DataError, match=rf"{name} is a named pipe, not a file"):
        create_or_verify_card(config)
    assert Simulated.remedy(root)
    if name == "SHA256SUMS":
        with pytest.raises(DataError, match=r"SHA256SUMS is a named pipe, not a file"):
            list_split(v2(root), "train", ("image",))


def test_an_archive_of_arrays_is_told_apart(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", np.ones((4, 4)))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(DataError, match=r"a\.npy cannot be read as a NumPy array: it is an archive .*numpy\.save"):
        read_array(tmp_path / "a.npy")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a folder whose name is a pattern of another's, and files of both."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("rec[1]/a.wav", "rec[1]/b.wav", "rec1/c.wav", "rec[1]/._a.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("~/rec[1]/*.wav", ["rec[1]/a.wav", "rec[1]/b.wav"]),  # a folder of that name comes before the pattern
        ("~/rec[12]/*.wav", ["rec1/c.wav"]),
        ("~/rec*/[ac].wav", ["rec1/c.wav", "rec[1]/a.wav"]),
        ("~/rec?", ["rec1"]),
        ("~/rec[1]", ["rec[1]"]),
        ("~/nowhere/a.wav", ["nowhere/a.wav"]),
    ],
)
def test_quoted_patterns_find_what_a_shell_would(given: str, found: list[str], home: Path) -> None:
    assert given_paths([in_home(given)]) == [home / name for name in found]
    assert sorted(path for path in matching_paths(given) if path.exists()) == [
        home / name for name in found if (home / name).exists()
    ]


def test_a_pattern_that_finds_nothing_is_named(home: Path) -> None:
    with pytest.raises(DataError, match=r"rec\[1\]/x\*\.wav does not exist, and finds nothing as a pattern"):
        given_paths([home / "rec1/c.wav", home / "rec[1]/x*.wav"])
    assert in_home("~nobody-of-this-name/a.wav") == Path("~nobody-of-this-name/a.wav")


@pytest.mark.parametrize("word", [",", "a ", "\n", "\r", "\u2028"])
def test_lists_have_few_words(word: str, tmp_path: Path) -> None:
    """60 MB of commas became a gigabyte of cells."""
    (tmp_path / "a.csv").write_text(2**22 * word, encoding="utf-8", newline="")
    read_text(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text((2**22 + 1) * word, encoding="utf-8", newline="")
    with pytest.raises(DataError, match=r"a\.csv has 4,194,305 words or cells"):
        read_text(tmp_path / "a.csv")

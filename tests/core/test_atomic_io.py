"""Files that are there whole or not at all: kills, leftovers, other machines, long names."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from echodepth.core import atomic_io
from echodepth.core.atomic_io import atomic_folder, atomic_write, remove_unfinished, scratch_folder
from tests.conftest import ROOT

KILLED = """
import os, sys
from pathlib import Path
from echodepth.core.atomic_io import atomic_folder, atomic_write
blocks = [write(Path(sys.argv[1]) / "result.npy") for write in (atomic_write, atomic_folder)]
for block in blocks:
    block.__enter__()
print(*os.listdir(sys.argv[1]), flush=True)
os.kill(os.getpid(), 9)
"""


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".*"))


def forget_that_it_was_cleaned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic_io, "_cleaned", set())


def test_the_next_writer_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    """Leftovers once stayed for good, unless the command was simulate or shard, and a minute had passed."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9
    assert leftovers(tmp_path) == sorted(done.stdout.split())
    assert len(leftovers(tmp_path)) == 2
    with atomic_write(tmp_path / "other.txt") as unfinished:
        assert leftovers(tmp_path) == [unfinished.name]
        unfinished.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["other.txt"]


def test_what_another_process_writes_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with atomic_write(tmp_path / "a.txt") as own, scratch_folder(tmp_path / "b") as folder:
        own.write_text("a")
        (folder / "part").write_text("b")
        for path in (own, folder):
            os.utime(path, (0, 0))
        forget_that_it_was_cleaned(monkeypatch)
        with atomic_write(tmp_path / "c.txt") as other:
            other.write_text("c")
        remove_unfinished(tmp_path)
        assert own.exists()
        assert (folder / "part").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "c.txt"]


def test_without_locks_leftovers_go_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, young, other = (tmp_path / name for name in (".a.wav.7.unfinished", ".b.wav.8.unfinished", "c.wav"))
    for path in (old, young, other):
        path.touch()
    os.utime(old, (time.time() - 90_000,) * 2)
    monkeypatch.setattr(atomic_io, "fcntl", None)
    remove_unfinished(tmp_path)
    assert sorted(tmp_path.iterdir()) == [young, other]


def test_two_containers_with_one_process_number_do_not_mix_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both wrote to ``.result.npy.1.unfinished``, and each renamed what the other had half written."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    names = []
    for host in ("one", "two/../two", "two/../two"):
        monkeypatch.setattr("socket.gethostname", lambda host=host: host)
        block = atomic_write(tmp_path / "result.npy")
        names.append(block.__enter__().name)
        block.__exit__(None, None, None)
    assert len(set(names)) == 3
    assert ".one-1-" in names[0]
    assert ".two----two-1-" in names[1]


def test_many_writers_of_one_file_that_remove_leftovers_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(number: int) -> None:
        forget_that_it_was_cleaned(monkeypatch)
        with atomic_write(tmp_path / "result.txt") as unfinished:
            unfinished.write_text(f"{number}" * 1000)

    monkeypatch.setattr(os, "fsync", lambda _: None)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(10, 100)))
    text = (tmp_path / "result.txt").read_text()
    assert text == text[:2] * 1000
    assert not leftovers(tmp_path)


def test_a_name_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 125 + ".json")
    with atomic_write(path) as unfinished:
        unfinished.write_text("whole")
    assert path.read_text() == "whole"


def test_file_and_folder_are_flushed_before_and_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it, an empty file may stand in an older one's place after a power failure."""
    path, synced = tmp_path / "result.txt", list[tuple[str, bool]]()

    def noted(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, path.exists()))

    monkeypatch.setattr(os, "fsync", noted)
    with atomic_write(path) as unfinished:
        unfinished.write_text("whole")
    assert synced == [(unfinished.name, False), (tmp_path.name, True)]
    synced.clear()
    with atomic_folder(tmp_path / "set") as folder:
        (folder / "part.txt").write_text("whole")
    assert [name for name, _ in synced] == ["part.txt", folder.name, tmp_path.name]


def test_a_disk_that_does_not_keep_the_file_keeps_the_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.txt"
    path.write_text("older")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*result\.txt'"), atomic_write(path) as unfinished:
        unfinished.write_text("newer")
    assert path.read_text() == "older"
    assert not leftovers(tmp_path)


def test_an_error_that_is_not_of_the_disk_keeps_its_words(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"^\[Errno 5\] broken$"), atomic_write(tmp_path / "result.txt"):
        raise OSError(5, "broken")


def test_a_folder_that_fails_leaves_no_folder_above_it(tmp_path: Path) -> None:
    """A failed conversion once left an empty --out."""
    (tmp_path / "kept").mkdir()
    for target in ("new/deep/set", "kept/set"):
        with pytest.raises(ValueError, match="bad"), atomic_folder(tmp_path / target):
            raise ValueError("bad")
    assert [*tmp_path.rglob("*")] == [tmp_path / "kept"]

    def fail_beside_another_process() -> None:
        (tmp_path / "shared/other.txt").write_text("of another process")
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"), atomic_folder(tmp_path / "shared/set"):
        fail_beside_another_process()
    assert (tmp_path / "shared/other.txt").is_file()

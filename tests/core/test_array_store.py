"""Stores of memory-mapped arrays: rows by name, resumed writing, and what makes a store invalid."""

import errno
import os
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from echodepth.core.array_store import ArrayStore, ResumableWriter, allocate, fingerprint, read_index, short_hash
from echodepth.core.errors import ConfigError, DataError

ROWS = ("a", "b", "c")
VALUES = np.arange(6, dtype=np.float16).reshape(3, 2)


def writer(folder: Path, rows: tuple[str, ...] = ROWS) -> ResumableWriter:
    return ResumableWriter(folder, {"rows": list(rows)}, ("x",), rows, "delete something")


def test_a_complete_store_gives_its_rows_by_name_also_after_pickling(tmp_path: Path) -> None:
    growing = writer(tmp_path / "store")
    growing.write(ROWS, {"x": VALUES})
    growing.finish()
    assert read_index(tmp_path / "store") == {"rows": ["a", "b", "c"]}
    store = ArrayStore(tmp_path / "store", ["x"], ROWS)
    assert np.array_equal(store.take("x", ("c", "a")), VALUES[[2, 0]])
    store.arrays["x"][:] = 9  # copy-on-write
    small = pickle.dumps(store)
    assert len(small) < 1000
    assert np.array_equal(pickle.loads(small).arrays["x"], VALUES)


def test_a_writer_resumes_its_own_rows_and_starts_again_for_others(tmp_path: Path) -> None:
    writer(tmp_path / "store").write(("b",), {"x": VALUES[1:2]})
    assert not (tmp_path / "store").exists()
    again = writer(tmp_path / "store")
    assert (again.done, again.missing()) == (1, [0, 2])
    again.write(("c", "a"), {"x": VALUES[[2, 0]]})
    again.finish()
    assert np.array_equal(np.load(tmp_path / "store/x.npy"), VALUES)
    writer(tmp_path / "store").write(("b",), {"x": VALUES[1:2]})
    assert writer(tmp_path / "store", ("b", "d")).missing() == [0, 1]


def test_arrays_of_another_length_are_damaged(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", VALUES[:2])
    with pytest.raises(DataError, match=r"its arrays are damaged \(their lengths differ from the index\): delete it"):
        _ = ArrayStore(tmp_path, ["x"], ROWS).arrays


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", 200 * b"\x00"], ids=str)
def test_an_array_that_is_none_is_damaged(content: bytes, tmp_path: Path) -> None:
    whole = tmp_path / "x.npy"
    np.save(whole, VALUES)
    for damaged in (content, whole.read_bytes().replace(b"(3", b"(-3"), whole.read_bytes()[:-1]):
        whole.write_bytes(damaged)
        with pytest.raises(DataError, match="its arrays are damaged"):
            _ = ArrayStore(tmp_path, ["x"], ROWS).arrays


def test_the_free_space_is_checked_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=11))
    with pytest.raises(ConfigError, match=r"needs 1\.2e-08 GB and has 1\.1e-08: delete something"):
        allocate(tmp_path / "store", {"x": (np.dtype(np.float16), (3, 2))}, "delete something")
    assert not list((tmp_path / "store").iterdir())


def test_the_space_of_an_array_is_taken_before_it_is_written(tmp_path: Path) -> None:
    """A mapped file has holes, and writing into one on a full disk ended `prepare` with SIGBUS."""
    allocate(tmp_path / "store", {"x": (np.dtype(np.float32), (1000, 1000))}, "delete something")
    assert (tmp_path / "store/x.npy").stat().st_blocks * 512 >= 4_000_000


def test_a_disk_that_fills_up_meanwhile_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(ConfigError, match=r"cannot hold .* GB more \(No space left on device\): delete something"):
        allocate(tmp_path / "store", {"x": (np.dtype(np.float16), (3, 2))}, "delete something")
    assert not list((tmp_path / "store").iterdir())


def test_a_fingerprint_changes_with_name_size_time_and_absence(tmp_path: Path) -> None:
    file = tmp_path / "a"
    seen = {fingerprint([file])}
    file.write_bytes(b"1")
    os.utime(file, ns=(0, 5))
    seen.add(fingerprint([file]))
    assert fingerprint([file]) in seen
    os.utime(file, ns=(0, 6))
    seen.add(fingerprint([file]))
    file.write_bytes(b"12")
    os.utime(file, ns=(0, 6))
    seen.add(fingerprint([file]))
    assert len(seen) == 4
    assert short_hash({"b": 1, "a": 2}) == short_hash({"a": 2, "b": 1}) != short_hash({"a": 2})

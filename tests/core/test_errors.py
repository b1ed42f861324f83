"""Which errors are the user's or the machine's, and what is said of them; the others are bugs."""

import errno
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from echodepth.core.array_store import ArrayStore
from echodepth.core.errors import LONGEST_LINE, ConfigError, DataError, printable, user_message
from echodepth.data.streaming.index import open_file
from echodepth.models.saved_weights import load_checkpoint


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (DataError("a.wav is silent"), "a.wav is silent"),
        (
            ConfigError("Caught ConfigError in DataLoader worker process 0.\nTraceback\nConfigError: a.wav is silent"),
            "a.wav is silent",
        ),
        (OSError(errno.EEXIST, "File exists", "taken"), "[Errno 17] File exists: 'taken'"),
        (OSError(errno.ENOSPC, "No space left on device"), "[Errno 28] No space left on device: free some space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "a"), "[Errno 122] Disk quota exceeded: 'a': free some space"),
        (OSError(errno.EROFS, "Read-only file system", "a"), "[Errno 30] Read-only file system: 'a': give a path"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "[Errno 13] Permission denied: 'a': give a path"),
        (MemoryError(), "MemoryError: close other programs, or give a smaller --batch_size"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory\nmore"),
            "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: close other programs",
        ),
        (
            RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0\nframe #0"),
            "[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0: free some space",
        ),
        (
            ValueError("Error while serializing: I/O error: No space left on device (os error 28)"),
            "Error while serializing: I/O error: No space left on device (os error 28): free some space",
        ),
        (
            RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's "),
            "DataLoader worker (pid 7) is killed by signal: Bus error.",
        ),
        (
            RuntimeError("unable to allocate shared memory(shm) for file </torch_7_1>: No space left on device (28)"),
            "unable to allocate shared memory(shm) for file </torch_7_1>: No space left on device (28): the processes",
        ),
        (
            RuntimeError("Caught RuntimeError in DataLoader worker process 0.\nRuntimeError: to file </torch_1_2>"),
            "to file </torch_1_2>: the processes that read data have too little shared memory",
        ),
    ],
)
def test_what_the_machine_lacks_is_one_line(error: Exception, message: str) -> None:
    said = user_message(error)
    assert said is not None
    assert said.startswith(message)
    assert "\n" not in said
    assert ("--num_workers 0" in said) == ("/torch_" in str(error) or "Bus error" in str(error))


@pytest.mark.parametrize(
    "error", [TypeError("unhashable"), KeyError("a"), AssertionError(), RuntimeError("mat1 and mat2")]
)
def test_everything_else_is_a_bug(error: Exception) -> None:
    assert user_message(error) is None


def test_a_value_of_any_length_leaves_file_and_remedy_in_the_message() -> None:
    error = DataError(f"rooms/simulation.json: seed {'a/' * 100_000} (requested: 3): give another --out")
    message = user_message(error)
    assert message is not None
    assert len(message) <= LONGEST_LINE
    assert message.startswith("rooms/simulation.json: seed a/a/")
    assert message.endswith("a/ (requested: 3): give another --out")
    # Lines of a list are short, however long it is.
    many = "\n".join(f"room {number} is missing" for number in range(1000))
    assert user_message(DataError(many)) == many


READERS: dict[str, Callable[[Path], object]] = {
    "torch.load": lambda folder: load_checkpoint(folder / "a.pth"),
    "zipfile.ZipFile.testzip": lambda folder: load_checkpoint(folder / "a.pth"),
    "numpy.load": lambda folder: ArrayStore(folder, ["x"], ["row"]).arrays,
    "fsspec.open": lambda folder: open_file("http://127.0.0.1:9", "index.json"),
}
"""What calls a library's function to read a file."""


@pytest.mark.parametrize("library", READERS)
def test_what_the_machine_lacks_is_not_called_damage(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user with too little memory was told to copy a whole file again."""
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")
    np.save(tmp_path / "x.npy", np.zeros(1))
    errors: list[Exception] = [MemoryError()]
    if library != "fsspec.open":  # which raises an OSError for an address that cannot be reached
        errors += [OSError(errno.EIO, "Input/output error"), OSError(errno.ENOMEM, "Cannot allocate memory")]
    if library == "torch.load":
        errors.append(RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory"))
    for error in errors:
        monkeypatch.setattr(library, Mock(side_effect=error))
        with pytest.raises(type(error)) as raised:
            READERS[library](tmp_path)
        assert raised.value is error


def test_a_name_cannot_command_the_terminal() -> None:
    assert printable("a\x1b[2Jb\r\udcff é 😀\n  c") == r"a\x1b[2Jb\r\udcff é 😀" + "\n  c"

"""NumPy files from anywhere: the header is checked against the file's size before anything is allocated."""

from io import BufferedIOBase
from math import prod
from tokenize import TokenError

import numpy as np
from jaxtyping import Shaped
from numpy.lib import format as npy

from echodepth.core.errors import DataError
from echodepth.data.records import File, StoredFile, as_file

LARGEST_ARRAY = 2**24
"""Numbers in the largest array that is read: a depth map of 4096x4096 pixels, or 6 minutes of one ear."""
_UNREADABLE = (OSError, ValueError, EOFError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError)
"""What NumPy raises for a damaged file, whose header is Python."""
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read_array(file: File) -> Shaped[np.ndarray, "..."]:
    """Read a ``.npy`` of numbers.

    Raises:
        DataError: the file is unreadable, holds no numbers, ends early, or has more than ``LARGEST_ARRAY`` of them.
    """
    try:
        with _opened(file) as stream:
            _check_header(stream, str(file))
            stream.seek(0)
            array: np.ndarray = npy.read_array(stream, allow_pickle=False)
            return array
    except _UNREADABLE as error:
        raise _unreadable_error(file, error) from error


def array_shape(file: File) -> tuple[int, ...]:
    """Shape of a ``.npy`` by its header; raises as ``read_array`` does."""
    try:
        with _opened(file) as stream:
            return _check_header(stream, str(file))
    except _UNREADABLE as error:
        raise _unreadable_error(file, error) from error


def _unreadable_error(file: File, error: BaseException) -> DataError:
    """The DataError for a damaged file; NumPy appends advice in further lines."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return DataError(f"{file} cannot be read as a NumPy array: {reason}")


def _opened(file: File) -> BufferedIOBase:
    opened = as_file(file)
    return opened if isinstance(file, StoredFile) else open(opened, "rb")  # type: ignore[return-value,arg-type]  # noqa: PTH123


def _check_header(stream: BufferedIOBase, name: str) -> tuple[int, ...]:
    if stream.read(4) == b"PK\3\4":
        raise ValueError("it is an archive of arrays (.npz): save the one array with numpy.save")
    stream.seek(0)
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"its version is {version[0]}.{version[1]}, not 1.0 or 2.0")
    shape, _, dtype = _HEADERS[version](stream)
    start = stream.tell()
    held, numbers = stream.seek(0, 2) - start, prod(shape)
    if len(shape) > 4 or not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError(f"its shape is {shape}")
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise ValueError(f"it holds {dtype}, not numbers")
    if numbers > LARGEST_ARRAY:
        raise ValueError(f"its header claims {numbers:,} numbers, more than {LARGEST_ARRAY:,}")
    if numbers * dtype.itemsize > held:
        raise ValueError(f"its header claims {numbers * dtype.itemsize:,} bytes, but {held:,} follow it")
    return tuple(shape)

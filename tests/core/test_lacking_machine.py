"""Machines without a home, with a full disk, or with nothing to write to but the working directory."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echodepth.core.errors import ConfigError
from echodepth.core.run_paths import cache_folder
from echodepth.core.wav_writer import write_wav
from echodepth.simulate.jit import jit


def test_a_recording_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk soundfile raised an AssertionError and left half a file."""
    samples = np.arange(-500, 500, dtype=np.int32).reshape(500, 2) << 8
    write_wav(tmp_path / "new/a.wav", samples, 44100, "PCM_32")
    assert np.array_equal(soundfile.read(tmp_path / "new/a.wav", dtype="int32")[0], samples)
    soundfile.write(tmp_path / "b.wav", samples, 44100, subtype="PCM_32")
    assert (tmp_path / "new/a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()

    def full(path: Path, data: object) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left on device"):
        write_wav(tmp_path / "full/a.wav", samples, 44100, "PCM_32")
    assert not list((tmp_path / "full").iterdir())


def test_a_user_without_a_home_is_told_of_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", none)
    monkeypatch.delenv("ECHODEPTH_CACHE", raising=False)
    with pytest.raises(ConfigError, match="no home folder: set ECHODEPTH_CACHE"):
        cache_folder()
    monkeypatch.setenv("ECHODEPTH_CACHE", "elsewhere")
    assert cache_folder() == Path("elsewhere")


def test_loops_are_compiled_where_no_machine_code_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """numba refused to compile in a read-only installation without a home."""
    monkeypatch.setattr("numba.core.caching.CompileResultCacheImpl._locator_classes", [])

    @jit
    def doubled(number: int) -> int:
        return 2 * number

    assert doubled(3) == 6

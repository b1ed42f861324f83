"""Prepared batches in their stored types: converted on the device, they are the batches of the files; read ahead."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from echodepth.core.errors import DataError
from echodepth.data.augmentation import flip_left_right
from echodepth.data.cache.packing import is_packed, unpack
from echodepth.data.cache.prepared import AudioCacheFormat, open_prepared, write_prepared
from echodepth.data.dataset import open_dataset
from echodepth.data.prefetch import AHEAD, PrefetchLoader
from echodepth.data.records import ALL_MODALITIES
from echodepth.data.sample import Sample
from echodepth.data.split_dataset import keep_batch
from echodepth.models.frontends.echo import EchoFrontEnd
from tests.roots import v2, write_v2_root


def same(first: Any, second: Any) -> bool:
    return bool(torch.equal(first, second)) if isinstance(first, torch.Tensor) else bool(first == second)


def test_every_stored_value_is_converted_as_numpy_divides_it() -> None:
    """Also depth beyond 32,767 units, whose bits are those of negative numbers, and units that are no power of two."""
    stored = np.arange(65536, dtype=np.uint16).reshape(1, 1, 256, 256)
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 3, 16, 16)
    half = np.random.default_rng(0).normal(size=(1, 2, 8, 8)).astype(np.float16)
    packed: Any = {"depth": torch.from_numpy(stored.view(np.int16)), "image": torch.from_numpy(image)}
    packed["spectrogram"] = torch.from_numpy(half.view(np.int16))
    for units in (1000.0, 5000.0):
        batch = unpack(packed, units)
        assert np.array_equal(batch["depth"].numpy(), stored.astype(np.float32) / np.float32(units))
        assert np.array_equal(batch["valid"].numpy(), stored > 0)
    assert np.array_equal(batch["image"].numpy(), image.astype(np.float32) / 255)
    assert np.array_equal(batch["spectrogram"].numpy(), half.astype(np.float32))
    assert packed["depth"].dtype == torch.int16
    assert is_packed(packed)
    assert not is_packed(batch)
    assert unpack(batch, 1.0) == batch


def test_packed_batches_are_those_of_the_files_also_mirrored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "cache"))
    config = v2(write_v2_root(tmp_path / "v2"))
    write_prepared(config, "train", AudioCacheFormat())
    kept = open_prepared(config, "train", ALL_MODALITIES, AudioCacheFormat())
    files = open_dataset(config, "train")
    assert kept is not None
    flip = torch.tensor([True, False])
    packed = list(kept.loader(2, shuffle_seed=3, packed=True))
    assert len(packed) == 2
    for given, read in zip(packed, files.loader(2, shuffle_seed=3), strict=True):
        assert {given[key].dtype for key in ("image", "depth")} == {torch.uint8, torch.int16}
        assert "valid" not in given
        for one, other in ((unpack(given, 1000.0), read), (unpack(flip_left_right(given, flip), 1000.0), None)):
            expected: Any = other or flip_left_right(read, flip)
            assert one.keys() == expected.keys()
            assert all(same(one[key], expected[key]) for key in expected)  # type: ignore[literal-required]


def test_packed_spectrograms_are_those_of_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "cache"))
    config, front_end = v2(write_v2_root(tmp_path / "v2")), EchoFrontEnd(32)
    form = AudioCacheFormat(front_end.settings, front_end)
    write_prepared(config, "train", form)
    kept = open_prepared(config, "train", ("audio",), form)
    assert kept is not None
    packed, batch = kept.batch([1, 0], packed=True), kept.batch([1, 0])
    assert packed["spectrogram"].dtype == torch.int16
    assert batch["spectrogram"].dtype == torch.float32
    assert torch.equal(unpack(packed, 1000.0)["spectrogram"], batch["spectrogram"])


class Numbers(torch.utils.data.Dataset[Sample]):
    """Batches that say which thread gathered them; one row may be broken."""

    def __init__(self, broken: int | None = None) -> None:
        self.broken, self.gathered = broken, list[int]()

    def __len__(self) -> int:
        return 10

    def __getitems__(self, indices: list[int]) -> Any:
        self.gathered += indices
        if self.broken in indices:
            raise DataError(f"row {self.broken} is broken")
        return {"rows": indices, "thread": threading.current_thread().name}


def reading_ahead(numbers: Numbers) -> PrefetchLoader:
    return PrefetchLoader(numbers, batch_size=2, collate_fn=keep_batch)


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert condition()


def test_batches_are_read_ahead_in_order_by_a_thread_that_ends() -> None:
    numbers = Numbers()
    loader = reading_ahead(numbers)
    for _ in range(2):
        batches: list[Any] = list(loader)
        assert [row for batch in batches for row in batch["rows"]] == list(range(10))
        assert {batch["thread"] for batch in batches} == {"prefetch"}
    assert len(loader) == 5
    assert not readers()


def test_no_more_is_read_ahead_than_is_wanted_and_a_forgotten_reader_ends() -> None:
    numbers = Numbers()
    batches = iter(reading_ahead(numbers))
    next(batches)
    # One batch was taken, AHEAD wait in the queue, and the thread holds one more.
    wait_until(lambda: len(numbers.gathered) == 2 * (AHEAD + 2))
    time.sleep(0.02)
    assert len(numbers.gathered) == 2 * (AHEAD + 2)
    del batches
    wait_until(lambda: not readers())


def test_an_error_of_the_reader_is_raised_at_its_batch_after_those_before_it() -> None:
    batches: Any = iter(reading_ahead(Numbers(broken=5)))
    assert [next(batches)["rows"] for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(DataError, match="row 5 is broken"):
        next(batches)
    with pytest.raises(StopIteration):
        next(batches)
    assert not readers()

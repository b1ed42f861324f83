"""A damaged shard stops the reader with its name."""

import json
from pathlib import Path

import pytest

from echodepth.core.errors import DataError
from echodepth.core.integrity import file_digest
from echodepth.data.streaming.index import INDEX
from tests.data.streaming.shards import as_file, module, names, order


def cut_within(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:300_000])


def cut_between_samples(path: Path) -> None:
    """After the second sample, where a tar file may well end."""
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"00000002.audio.wav")] + bytes(10240))


DAMAGE = {
    "cut within": (cut_within, r"is damaged or truncated: after 0 of 5 samples: unexpected end of data; copy it again"),
    "cut between": (cut_between_samples, r"it holds 2 samples, but the index lists 5"),
    "no tar": (lambda path: path.write_bytes(b"<html>" * 500), r"is damaged or truncated: after 0 of 5 samples"),
    "empty": (lambda path: path.write_bytes(b""), r"is damaged or truncated"),
    "missing": (Path.unlink, r"train-000000\.tar does not exist or cannot be reached: --data_dir is"),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_shard_that_is_not_whole_stops_the_reader_by_name(spoilt: Path, how: str) -> None:
    spoil, message = DAMAGE[how]
    path = spoilt / "train-000000.tar"
    spoil(path)  # type: ignore[operator]
    if path.exists():
        with pytest.raises(DataError, match=r"train-000000\.tar is damaged or truncated: it has \d+ bytes"):
            names(spoilt)
        # An index that does not know better, as where a server does not tell a file's size.
        index = json.loads((spoilt / INDEX).read_text())
        entry = {"bytes": path.stat().st_size, "sha256": file_digest(path)}
        index["splits"]["train"]["shards"][0].update(entry)
        del index["seal"]
        (spoilt / INDEX).write_text(json.dumps(index))
    with pytest.raises(DataError, match=message) as stopped:
        names(spoilt)
    assert "train-000000.tar" in str(stopped.value)
    said = ""
    for rank in range(2):  # whoever is given the part that is missing says so
        try:
            order(module(spoilt, rank, 2), 0)
        except DataError as error:
            said += str(error)
    assert "train-000000.tar" in said


def test_a_changed_byte_is_seen_by_the_hash(spoilt: Path) -> None:
    path = spoilt / "train-000000.tar"
    data = bytearray(path.read_bytes())
    data[1000] ^= 1  # within a recording: nothing but the hash can tell
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"train-000000\.tar is damaged or truncated: its hash differs"):
        names(spoilt)


def test_a_file_that_cannot_be_decoded_names_shard_and_row(spoilt: Path) -> None:
    with pytest.raises(
        DataError, match=r"train-00000\d\.tar \(.*/train\.csv, line \d+\): \d+\.audio\.wav has 20000 samples"
    ):
        list(as_file(spoilt, "train", ("audio",), max_depth=100.0))

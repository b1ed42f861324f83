"""Packing shards: the same bytes from the same files, resumed where it stopped, and bad rows named."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.streaming import journal as journals
from echodepth.data.streaming import writer as packing
from echodepth.data.streaming.index import INDEX
from echodepth.data.streaming.journal import Journal
from echodepth.data.streaming.writer import shard
from tests.configs import shard_config
from tests.data.streaming.shards import SHORT, SMALL, as_file, names
from tests.roots import write_v2_root


def test_the_same_files_make_the_same_bytes_and_another_seed_another_order(
    root: Path, shards: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(root, tmp_path / "copied", copy_function=shutil.copyfile)  # of another time
    again = shard(shard_config(data_dir=copied, out=tmp_path / "again", **{**SHORT, "workers": 2}, **SMALL))
    files = sorted(path.name for path in shards.iterdir() if not path.name.startswith("."))
    assert len(files) == 16
    for name in files:
        assert (again / name).read_bytes() == (shards / name).read_bytes(), name
    other = shard(shard_config(data_dir=root, out=tmp_path / "other", splits=("train",), seed=1, **SHORT))
    assert names(other) != names(shards)
    assert sorted(names(other)) == sorted(names(shards)) == sorted(names(root))
    # Rooms are mixed: a shard has rows of both.
    assert all(len(wanted.shard.rooms) == 2 for wanted in as_file(shards).shards)


def test_an_interrupted_packing_goes_on_where_it_was(
    root: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write, written = tmp_path / "out", packing._write_shard, list[str]()
    shards_before_it_ends = 2

    def noted(plan: Any, *rest: Any) -> Any:
        if len(written) == shards_before_it_ends:
            (out / f".{plan.name}.1.unfinished").write_bytes(b"half a shard")
            raise KeyboardInterrupt
        written.append(plan.name)
        return write(plan, *rest)

    config = shard_config(data_dir=root, out=out, **SHORT, **SMALL)
    monkeypatch.setattr(packing, "_write_shard", noted)
    with pytest.raises(KeyboardInterrupt):
        shard(config)
    assert not (out / INDEX).exists()

    written.clear()
    shards_before_it_ends = 100
    (out / "train-000001.tar").write_bytes(b"another shard")
    shard(config)
    assert len(written) == 14
    assert "train-000000.tar" not in written
    assert (out / INDEX).read_bytes() == (shards / INDEX).read_bytes()
    assert names(out) == names(shards)
    written.clear()
    (out / "val-000004.tar").unlink()
    shard(config)
    assert written == ["val-000004.tar"]


def test_half_a_line_of_the_journal_is_packed_again(root: Path, shards: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(shards, tmp_path / "out"))
    journal = out / journals.FILE
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-40])
    (out / INDEX).unlink()
    shard(shard_config(data_dir=root, out=out, **SHORT, **SMALL))
    assert (out / INDEX).read_bytes() == (shards / INDEX).read_bytes()
    assert sorted(journal.read_bytes().splitlines()) == sorted(whole.splitlines())


def test_the_journal_is_written_anew_once_for_each_split_not_for_each_shard(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time once grew with the square of the number of shards."""
    rewritten, rewrite = list[int](), Journal.rewrite

    def noted(journal: Journal) -> None:
        rewritten.append(len(journal.shards))
        rewrite(journal)

    monkeypatch.setattr(Journal, "rewrite", noted)
    shard(shard_config(data_dir=root, out=tmp_path / "out", **SHORT, **SMALL))
    assert rewritten == [0, 5, 10]
    assert len((tmp_path / "out" / journals.FILE).read_text().splitlines()) == 16


def test_files_that_changed_are_packed_again_and_other_splits_stay(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path / "files", ("Attic",))
    config = shard_config(data_dir=root, out=tmp_path / "shards", **SHORT)
    shard(config)
    assert names(config.out, locations=("Attic",)) == names(config.out)
    depth = root / "Attic/depth/depth_0.npy"
    np.save(depth, np.full_like(np.load(depth), 1234))
    shard(shard_config(data_dir=root, out=config.out, splits=("train",), **SHORT))
    changed = {sample["name"]: float(sample["depth"].max()) for sample in as_file(config.out)}
    assert changed["Attic/0"] == pytest.approx(1.234)
    assert len(as_file(config.out, "test")) == 2
    with pytest.raises(ConfigError, match=r"holds shards of batvisionv2 with other settings: give another --out"):
        shard(shard_config(dataset="batvisionv1", data_dir=root, out=config.out, **SHORT))


def test_a_bad_row_is_named_or_left_out_and_counted(tmp_path: Path) -> None:
    root = write_v2_root(tmp_path / "files", ("Attic",), rows=3)
    (root / "Attic/depth/depth_1.npy").write_bytes(b"nothing")
    config = shard_config(data_dir=root, out=tmp_path / "shards", splits=("train",), **SHORT)
    with pytest.raises(DataError, match=r"Attic/train\.csv, line 3: .*depth_1\.npy cannot be read.*--skip_bad"):
        shard(config)
    assert not (config.out / INDEX).exists()
    (root / "Attic/audio/audio_2.wav").unlink()
    with pytest.raises(DataError, match=r"line 4: .*audio_2\.wav does not exist"):
        shard(config)
    shard(shard_config(data_dir=root, out=config.out, splits=("train",), skip_bad=True, **SHORT))
    packed = as_file(config.out)
    assert [sample["name"] for sample in packed] == ["Attic/0"]
    assert len(packed.bad_rows) == 2
    (root / "Attic/depth/depth_0.npy").unlink()
    with pytest.raises(DataError, match="none of 3 rows can be used"):
        shard(shard_config(data_dir=root, out=config.out, splits=("train",), skip_bad=True, **SHORT))

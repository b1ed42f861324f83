"""Damage to prepared arrays and shards: refused by name with the command that mends it, which mends it alone."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from echodepth import cli
from echodepth.core.errors import ConfigError, DataError
from echodepth.core.integrity import unseal
from echodepth.data.cache.prepared import AudioCacheFormat, open_prepared, prepared_folder, write_prepared
from echodepth.data.config import DataConfig
from echodepth.data.opening import WAVEFORMS, open_split
from echodepth.data.records import ALL_MODALITIES
from echodepth.data.streaming.journal import FILE, Journal
from echodepth.data.streaming.writer import shard
from echodepth.models.frontends.echo import EchoFrontEnd
from tests.configs import shard_config
from tests.damage import BROKEN, damaged, flip, refusal, require_refused, restored
from tests.roots import v2, write_v2_root


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECHODEPTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def prepared(root: Path) -> tuple[DataConfig, Path]:
    config = v2(write_v2_root(root))
    return config, write_prepared(config, "train", AudioCacheFormat())


def test_damaged_prepared_arrays_are_refused(tmp_path: Path) -> None:
    """Zeros behind the header of ``audio.npy`` once trained a network on silence."""
    config, folder = prepared(tmp_path / "v2")

    def use() -> object:
        return open_split(config, "train", ALL_MODALITIES, prepared=WAVEFORMS)

    for name in contents(folder):
        require_refused(folder / name, use, flips=10)
    (folder / "image.npy").unlink()
    assert "image.npy is damaged" in refusal(use)
    open_split(config, "train", ("audio",), prepared=WAVEFORMS)  # the others still serve


def test_the_command_in_the_message_mends_the_arrays_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config, folder = prepared(tmp_path / "v2 rooms")
    whole = contents(folder)
    for name in ("audio.npy", "depth_exact.npy", "image.npy", "index.json"):
        # A new index may get the number of the old one.
        arrays = [path for path in folder.glob("*.npy") if "depth" not in path.name and path.name != name]
        kept = {path: path.stat().st_ino for path in arrays}
        (folder / name).write_bytes(BROKEN["zeros behind the header"](whole[name]))
        message = refusal(lambda: open_prepared(config, "train", ALL_MODALITIES, AudioCacheFormat()))
        assert message.startswith(f"{folder / name} is damaged, its contents differ from their sha256: `echodepth ")
        caplog.clear()
        cli.main([*shlex.split(message.split("`")[1])[1:], "--workers", "1"])
        assert f"{folder / name} is damaged" in caplog.text
        assert contents(folder) == whole
        if name != "index.json":
            assert {path: path.stat().st_ino for path in arrays} == kept
    caplog.clear()
    write_prepared(config, "train", AudioCacheFormat())
    assert "damaged" not in caplog.text


def test_an_array_of_another_form_is_removed_and_the_files_are_read(tmp_path: Path) -> None:
    config, folder = prepared(tmp_path / "v2")
    front_end = EchoFrontEnd(32)
    form = AudioCacheFormat(front_end.settings, front_end)
    write_prepared(config, "train", form)
    array = folder / f"{form.array}.npy"
    array.write_bytes(BROKEN["truncated"](array.read_bytes()))
    assert array.name in refusal(lambda: open_prepared(config, "train", ("audio",), form))
    write_prepared(config, "train", AudioCacheFormat())
    assert not array.exists()
    assert open_prepared(config, "train", ("audio",), form) is None
    assert open_prepared(config, "train", ALL_MODALITIES, AudioCacheFormat()) is not None


def test_verify_reads_what_has_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that gives other bytes than were written changes no time of a file."""
    config, _ = prepared(tmp_path / "v2")
    monkeypatch.setattr("echodepth.core.integrity._SETTLED", -1.0)
    open_split(config, "train", ALL_MODALITIES, prepared=WAVEFORMS)
    monkeypatch.setattr("echodepth.core.integrity.file_digest", lambda path: 64 * "0")
    open_split(config, "train", ALL_MODALITIES, prepared=WAVEFORMS)
    changed: Any = {**vars(config), "verify": True}
    with pytest.raises(DataError, match=r"audio\.npy is damaged"):
        open_split(DataConfig(**changed), "train", ("audio",), prepared=WAVEFORMS)


# --- shards ---


@pytest.fixture
def shards(tmp_path: Path) -> tuple[Any, Path]:
    config = shard_config(
        data_dir=write_v2_root(tmp_path / "v2"), out=tmp_path / "shards", workers=1, max_depth=10.0, shard_mb=1
    )
    return config, shard(config)


_HALF_A_LINE = ("truncated", "two bytes short", "appended", "zeros at the end")


def test_damaged_shards_are_refused(shards: tuple[Any, Path]) -> None:
    """By one epoch; with ``--verify`` before it."""
    _, folder = shards
    flags: dict[str, Any] = {"image_size": 16, "max_depth": 10.0, "audio_seconds": 0.01}
    config = DataConfig("batvisionv2", folder, **flags)

    def use() -> object:
        return list(open_split(config, "train"))

    require_refused(folder / "train-000000.tar", use, flips=10)
    require_refused(folder / "index.json", use, flips=20, name=folder.name)
    path = folder / "train-000000.tar"
    with restored(path) as data:
        path.write_bytes(flip(data, 8 * 2000))
        open_split(config, "train")
        with pytest.raises(DataError, match=r"train-000000\.tar is damaged .* its hash differs from the index"):
            open_split(DataConfig("batvisionv2", folder, verify=True, **flags), "train")


def test_packing_again_mends_the_damaged_shard_alone(
    shards: tuple[Any, Path], caplog: pytest.LogCaptureFixture
) -> None:
    config, folder = shards
    whole = contents(folder)
    for name, data in whole.items():
        for kind, spoilt in damaged(data, 2):
            kept = (folder / "val-000000.tar").stat().st_mtime_ns
            (folder / name).write_bytes(spoilt)
            caplog.clear()
            shard(config)
            assert {name: data for name, data in contents(folder).items() if name != FILE} == {
                name: data for name, data in whole.items() if name != FILE
            }, (name, kind)
            # The journal's end may be half a line of an interrupted run, and the index is written each time.
            is_told = name == "index.json" or (name == FILE and kind in _HALF_A_LINE)
            assert f"{name} is damaged" in caplog.text or is_told, (name, kind)
            if name in ("train-000000.tar", "index.json"):
                assert (folder / "val-000000.tar").stat().st_mtime_ns == kept


def test_a_journal_that_has_lost_a_shard_is_no_smaller_dataset(shards: tuple[Any, Path]) -> None:
    """A split that is not packed now would have lacked the shard without a word."""
    config, folder = shards
    journal = folder / FILE
    lines = journal.read_text().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if '"val-000000.tar"' in line)
    journal.write_text("".join([*lines[:at], lines[at].replace('"bytes": ', '"bytes": 1'), *lines[at + 1 :]]))
    train_only = shard_config(**{**vars(config.data), "out": folder, "workers": 1, "shard_mb": 1, "splits": ("train",)})
    with pytest.raises(ConfigError, match=r"\.packing\.jsonl is damaged: give --splits train val test"):
        shard(train_only)
    shard(config)
    header = {"dataset": "batvisionv2", "depth_units": 1000.0, "parts": ["image", "audio", "depth"]}
    assert not Journal(folder, header).is_damaged


def test_every_index_has_a_digest(shards: tuple[Any, Path], tmp_path: Path) -> None:
    import json

    _, folder = prepared(tmp_path / "others")
    for path in (folder / "index.json", shards[1] / "index.json"):
        assert unseal(json.loads(path.read_text()))[1] is not None
    assert prepared_folder(v2(tmp_path / "others"), "train") == folder

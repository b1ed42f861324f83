"""``echodepth shard``: packs a dataset's own files into tar shards for sequential reading.

Samples are shuffled once, with a seed, when they are written: neighbouring frames of a recording are similar, and a
reader's shuffle buffer is too small to mix rooms that are gigabytes apart. Each shard is written atomically. A journal
lists the finished ones, so that an interrupted run resumes.
"""

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from echodepth.core.array_store import file_stamp
from echodepth.core.atomic_io import atomic_write, remove_unfinished
from echodepth.core.errors import ConfigError, DataError, require_at_least
from echodepth.core.integrity import file_digest
from echodepth.core.workers import parallel_map
from echodepth.data.config import DataConfig
from echodepth.data.dataset import DepthDataset, list_split
from echodepth.data.dataset_registry import DATASETS
from echodepth.data.decoder import Decoder
from echodepth.data.records import SPLITS, Record, Split, StoredFile, StoredRecord
from echodepth.data.streaming.config import ShardConfig
from echodepth.data.streaming.index import INDEX, VERSION, Shard
from echodepth.data.streaming.journal import Journal, Packed
from echodepth.data.streaming.reader import FILE_NAMES, require_webdataset

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Plan:
    """A shard to be written: its rows with their keys, and a stamp of everything that determines its bytes."""

    name: str
    rows: list[tuple[str, Record]]
    stamp: str


def shard(config: ShardConfig) -> Path:
    """Pack the splits that are not packed yet or whose files have changed.

    Returns:
        The folder of the shards and their index.

    Raises:
        ConfigError: a flag is out of range, webdataset is not installed, or the folder holds shards of another dataset.
        DataError: a file is missing or, without ``skip_bad``, bad.
    """
    require_at_least(1, shard_mb=config.shard_mb, workers=config.workers)
    require_at_least(0, seed=config.seed)
    require_webdataset()
    data = config.data
    if data.leave_out is not None:
        raise ConfigError("--leave_out: pack all locations, and exclude one when the shards are read")
    reader = DATASETS[data.dataset]
    header = {"dataset": data.dataset, "depth_units": reader.depth_units(data), "parts": list(reader.modalities)}
    journal = Journal(config.out, header)
    if journal.is_damaged:
        log.warning("%s is damaged: the shards that it has lost are packed again", journal.path)
        if {*config.splits} != {*SPLITS}:
            raise ConfigError(f"{journal.path} is damaged: give --splits {' '.join(SPLITS)}, to pack what it has lost")
    remove_unfinished(config.out)
    for split in config.splits:
        _pack_split(config, data, split, journal)
    index = replace(journal.index(), field_of_view=reader.camera(data.root))
    with atomic_write(config.out / INDEX) as unfinished:
        unfinished.write_text(index.to_json() + "\n", encoding="utf-8")
    for name, shards in index.splits.items():
        samples, size = sum(each.samples for each in shards), sum(each.bytes for each in shards)
        bad = f"; {len(index.bad_rows[name])} bad rows left out" if index.bad_rows[name] else ""
        log.info("%s: %d samples in %d shards, %.0f MB%s", name, samples, len(shards), size / 1e6, bad)
    log.info("packed into %s: copy the folder to its destination, and pass that as --data_dir", config.out)
    return config.out


def _pack_split(config: ShardConfig, data: DataConfig, split: Split, journal: Journal) -> None:
    records, decoder = list_split(data, split, DATASETS[data.dataset].modalities)
    if not config.data.skip_bad:
        DepthDataset(records, decoder)  # raises for a missing file before anything is written
    plans = _plans(records, decoder, split, config)
    todo = [plan for plan in plans if not _is_finished(config.out, journal.shards.get(plan.name), plan)]
    for name in [plan.name for plan in todo if plan.name in journal.shards]:
        log.warning("%s is damaged or missing, or its files have changed: it is packed again", config.out / name)
    planned = {plan.name for plan in plans}
    stale = [name for name, packed in journal.shards.items() if packed.split == split and name not in planned]
    if todo or stale:
        (config.out / INDEX).unlink(missing_ok=True)  # until all shards that it lists exist again
    for name in stale:
        (config.out / name).unlink(missing_ok=True)
        del journal.shards[name]
    if todo or stale:
        journal.rewrite()
    workers = min(config.workers, max(1, len(todo)))
    tasks = ((plan, split, decoder, config.data.skip_bad, config.out, f"{data.root}/") for plan in todo)
    rows = sum(len(plan.rows) for plan in plans)
    done = rows - sum(len(plan.rows) for plan in todo)
    with tqdm(total=rows, initial=done, desc=f"shard {split}", unit="sample", disable=None) as bar:
        for name, count, packed in parallel_map(_write_shard, tasks, workers):
            journal.append(name, packed)
            bar.update(count)
    bad_rows = [row for plan in plans for row in journal.shards[plan.name].bad_rows]
    if len(bad_rows) == len(records):
        raise DataError(f"none of {len(records)} rows can be used; the first: {bad_rows[0]}")
    if bad_rows:
        log.warning("%d of %d rows are left out:\n  %s", len(bad_rows), len(records), "\n  ".join(bad_rows))


def _plans(records: list[Record], decoder: Decoder, split: Split, config: ShardConfig) -> list[_Plan]:
    """The samples in shuffled order, grouped by the size of a shard."""
    order = np.random.default_rng(config.seed).permutation(len(records))
    # The settings that determine which rows are bad.
    settings = [VERSION, config.data.skip_bad, decoder.image_size, decoder.max_depth, repr(decoder.audio_cut)]
    groups: list[list[tuple[str, Record, list[str]]]] = [[]]
    size = 0
    for key, index in enumerate(order):
        record, stamps = records[index], []
        bytes_of_row = 0
        for path in decoder.files(record):
            stamp = file_stamp(path)
            bytes_of_row += stamp[0] if stamp else 0
            stamps.append(f"{path.name}:{stamp[0]}:{stamp[1]}" if stamp else f"{path.name}:missing")
        if groups[-1] and size + bytes_of_row > config.shard_mb * 1e6:
            groups.append([])
            size = 0
        size += bytes_of_row
        groups[-1].append((f"{key:08d}", record, stamps))
    return [
        _Plan(
            f"{split}-{number:06d}.tar",
            [(key, record) for key, record, _ in group],
            hashlib.sha256(
                json.dumps([settings, [(key, row.name, stamps) for key, row, stamps in group]]).encode()
            ).hexdigest(),
        )
        for number, group in enumerate(groups)
    ]


def _is_finished(out: Path, packed: Packed | None, plan: _Plan) -> bool:
    """Whether the journal lists the shard, its source files are unchanged, and its contents are intact."""
    if packed is None or packed.stamp != plan.stamp:
        return False
    return packed.shard is None or file_digest(out / plan.name) == packed.shard.sha256


def _write_shard(
    plan: _Plan, split: Split, decoder: Decoder, skip_bad: bool, out: Path, root: str
) -> tuple[str, int, Packed]:
    path, rooms, bad_rows, samples = out / plan.name, {}, [], dict[str, int]()
    webdataset = require_webdataset()
    with atomic_write(path) as unfinished:
        # Without date and user, the same files give the same bytes.
        with (
            unfinished.open("wb") as file,
            webdataset.TarWriter(file, user="", group="", mtime=0, compress=False, encoder=False) as tar,
        ):
            for key, record in plan.rows:
                try:
                    sample = _sample(key, record, decoder, root)
                except DataError as error:
                    bad_rows.append(f"{record.source}: {error}")
                    if not skip_bad:
                        raise DataError(f"{bad_rows[0]}; --skip_bad leaves such rows out") from error
                    continue
                tar.write(sample)
                rooms[record.room] = record.location
                samples[record.room] = samples.get(record.room, 0) + 1
        digest, size = file_digest(unfinished) or "", unfinished.stat().st_size
    if not samples:
        path.unlink()
    shard = Shard(plan.name, sum(samples.values()), size, digest, dict(sorted(samples.items()))) if samples else None
    return plan.name, len(plan.rows), Packed(split, plan.stamp, shard, rooms, bad_rows)


def _sample(key: str, record: Record, decoder: Decoder, root: str) -> dict[str, Any]:
    """The tar members of one instance, after a trial of its decoding.

    Raises:
        DataError: the instance cannot be read or decoded.
    """

    def stored(path: Path | None) -> StoredFile | None:
        if path is None:
            return None
        try:
            return StoredFile(str(path), path.read_bytes())
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error

    image, depth = stored(record.image), stored(record.depth)
    audio = tuple(file for file in map(stored, record.audio) if file is not None)
    decoder(StoredRecord(record.name, record.location, record.room, image, audio, depth, record.source))
    ears = FILE_NAMES["audio"][1:] if len(audio) == 2 else FILE_NAMES["audio"][:1]
    files = {"image": image, "depth": depth, **dict(zip(ears, audio, strict=False))}
    metadata = {
        "location": record.location,
        "name": record.name,
        "room": record.room,
        "source": record.source.removeprefix(root),
    }
    return {
        "__key__": key,
        **{key + Path(file.name).suffix.lower(): file.data for key, file in files.items() if file is not None},
        "json": json.dumps(metadata, sort_keys=True).encode(),
    }

"""``echodepth shard``: a dataset packed into tar files of its own files' bytes, to be read from first to last.

The samples are shuffled while they are written, once, with a seed: neighbours in a recording are alike, and a reader's
buffer is too small to bring rooms together that lie gigabytes apart. A shard is written beside its place and moved
there when whole; what is finished is noted in a file of its own, so that an interrupted run goes on where it was.
"""

import contextlib
import hashlib
import json
import logging
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from echodepth.apps.convert.config import ShardConfig
from echodepth.core.atomic_io import atomic_write, remove_unfinished
from echodepth.core.errors import ConfigError, DataError, require_at_least
from echodepth.data.cache.prepared import depth_units, parts_of
from echodepth.data.config import DataConfig, Split
from echodepth.data.dataset import Decoder, DepthDataset, list_split
from echodepth.data.sample import Record, StoredFile, StoredRecord
from echodepth.data.streaming.index import INDEX, VERSION, Shard, ShardIndex
from echodepth.data.streaming.reader import PART_NAMES, require_webdataset
from echodepth.simulate.default_set import make_once

log = logging.getLogger(__name__)
_NOTES = ".packing.json"


@dataclass(frozen=True)
class _Plan:
    """A shard to be written: its rows with the keys that they get, and a stamp of all that decides its bytes."""

    name: str
    rows: list[tuple[str, Record]]
    stamp: str


@dataclass(frozen=True)
class _Packed:
    """A finished shard, as it is noted; ``shard`` is None where every row was bad."""

    split: str
    stamp: str
    shard: Shard | None
    rooms: dict[str, str] = field(default_factory=dict)
    bad_rows: list[str] = field(default_factory=list)


def shard(config: ShardConfig) -> Path:
    """Pack the splits that are not packed yet, or whose files have changed.

    Returns:
        The folder of the shards and their index.

    Raises:
        ConfigError: a flag is out of range, webdataset is not installed, or the folder holds shards of other data.
        DataError: a file is missing or, without ``skip_bad``, bad.
    """
    require_at_least(1, shard_mb=config.shard_mb, workers=config.workers)
    require_at_least(0, seed=config.seed)
    require_webdataset()
    if config.leave_out is not None:
        raise ConfigError("--leave_out: pack all locations, and leave one out when the shards are read")
    if config.dataset == "simulated" and config.data_dir is None:
        make_once(config.root)
    data = DataConfig(**{each.name: getattr(config, each.name) for each in fields(DataConfig)})
    head = {"dataset": data.dataset, "depth_units": depth_units(data), "parts": list(parts_of(data))}
    notes = _read_notes(config.out, head)
    remove_unfinished(config.out)
    for split in config.splits:
        _pack_split(config, data, split, notes, head)
    index = _index(head, notes)
    with atomic_write(config.out / INDEX) as unfinished:
        unfinished.write_text(index.to_json() + "\n", encoding="utf-8")
    for name, shards in index.splits.items():
        samples, size = sum(each.samples for each in shards), sum(each.bytes for each in shards)
        bad = f"; {len(index.bad_rows[name])} bad rows left out" if index.bad_rows[name] else ""
        log.info("%s: %d samples in %d shards, %.0f MB%s", name, samples, len(shards), size / 1e6, bad)
    log.info("packed into %s: copy the folder to where it is read, and name that with --data_dir", config.out)
    return config.out


def _pack_split(
    config: ShardConfig, data: DataConfig, split: Split, notes: dict[str, _Packed], head: dict[str, Any]
) -> None:
    records, decoder = list_split(data, split, parts_of(data))
    if not config.skip_bad:
        DepthDataset(records, decoder)  # names a missing file before anything is written
    plans = _plans(records, decoder, split, config)
    todo = [plan for plan in plans if not _is_finished(config.out, notes.get(plan.name), plan)]
    wanted = {plan.name for plan in plans}
    stale = [name for name, packed in notes.items() if packed.split == split and name not in wanted]
    if todo or stale:
        (config.out / INDEX).unlink(missing_ok=True)  # until all that it names is there again
    for name in stale:
        (config.out / name).unlink(missing_ok=True)
        del notes[name]
    pool = Parallel(n_jobs=min(config.workers, max(1, len(todo))), return_as="generator_unordered")
    place = (config.out.resolve(), Path.cwd(), f"{data.root}/")
    work = pool(delayed(_write_shard)(plan, split, decoder, config.skip_bad, place) for plan in todo)
    rows = sum(len(plan.rows) for plan in plans)
    done = rows - sum(len(plan.rows) for plan in todo)
    with tqdm(total=rows, initial=done, desc=f"shard {split}", unit="sample", disable=None) as bar:
        for name, count, packed in work:
            notes[name] = packed
            _write_notes(config.out, head, notes)
            bar.update(count)
    bad_rows = [row for plan in plans for row in notes[plan.name].bad_rows]
    if len(bad_rows) == len(records):
        raise DataError(f"none of {len(records)} rows can be used; the first: {bad_rows[0]}")
    if bad_rows:
        log.warning("%d of %d rows are left out:\n  %s", len(bad_rows), len(records), "\n  ".join(bad_rows))


def _plans(records: list[Record], decoder: Decoder, split: Split, config: ShardConfig) -> list[_Plan]:
    """The samples in their new order, as many in each shard as its size allows."""
    order = np.random.default_rng(config.seed).permutation(len(records))
    # What decides whether a row is bad.
    settings = [VERSION, config.skip_bad, decoder.image_size, decoder.max_depth, repr(decoder.audio_cut)]
    groups: list[list[tuple[str, Record, list[str]]]] = [[]]
    size = 0
    for key, place in enumerate(order):
        record, told = records[place], []
        bytes_of_row = 0
        for path in decoder.files(record):
            status = path.stat() if path.is_file() else None
            bytes_of_row += status.st_size if status else 0
            told.append(f"{path.name}:{status.st_size}:{status.st_mtime_ns}" if status else f"{path.name}:missing")
        if groups[-1] and size + bytes_of_row > config.shard_mb * 1e6:
            groups.append([])
            size = 0
        size += bytes_of_row
        groups[-1].append((f"{key:08d}", record, told))
    return [
        _Plan(
            f"{split}-{number:06d}.tar",
            [(key, record) for key, record, _ in group],
            hashlib.sha256(
                json.dumps([settings, [(key, row.name, told) for key, row, told in group]]).encode()
            ).hexdigest(),
        )
        for number, group in enumerate(groups)
    ]


def _is_finished(out: Path, packed: _Packed | None, plan: _Plan) -> bool:
    """Whether a shard is noted, was made of the same files, and is still what was written."""
    if packed is None or packed.stamp != plan.stamp:
        return False
    return packed.shard is None or _hash(out / plan.name) == packed.shard.sha256


def _hash(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_shard(
    plan: _Plan, split: Split, decoder: Decoder, skip_bad: bool, place: tuple[Path, Path, str]
) -> tuple[str, int, _Packed]:
    out, home, root = place
    path, rooms, bad_rows, samples = out / plan.name, {}, [], dict[str, int]()
    webdataset = require_webdataset()
    # joblib keeps its workers, and they keep the working directory that they were begun in.
    with contextlib.chdir(home), atomic_write(path) as unfinished:
        # Nothing of the day or the user: the same files make the same bytes.
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
        digest, size = _hash(unfinished) or "", unfinished.stat().st_size
    if not samples:
        path.unlink()
    shard = Shard(plan.name, sum(samples.values()), size, digest, dict(sorted(samples.items()))) if samples else None
    return plan.name, len(plan.rows), _Packed(split, plan.stamp, shard, rooms, bad_rows)


def _sample(key: str, record: Record, decoder: Decoder, root: str) -> dict[str, Any]:
    """What is written of one instance, once it has been decoded as readers will.

    Raises:
        DataError: it cannot be.
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
    ears = PART_NAMES["audio"][1:] if len(audio) == 2 else PART_NAMES["audio"][:1]
    files = {"image": image, "depth": depth, **dict(zip(ears, audio, strict=False))}
    facts = {
        "location": record.location,
        "name": record.name,
        "room": record.room,
        "source": record.source.removeprefix(root),
    }
    return {
        "__key__": key,
        **{part + Path(file.name).suffix.lower(): file.data for part, file in files.items() if file is not None},
        "json": json.dumps(facts, sort_keys=True).encode(),
    }


def _index(head: dict[str, Any], notes: dict[str, _Packed]) -> ShardIndex:
    index = ShardIndex(head["dataset"], head["depth_units"], tuple(head["parts"]))
    for name in sorted(notes):
        packed = notes[name]
        shards = index.splits.get(packed.split, ())
        index.splits[packed.split] = (*shards, packed.shard) if packed.shard else shards
        index.bad_rows.setdefault(packed.split, []).extend(packed.bad_rows)
        index.rooms.update(packed.rooms)
    index.rooms.update({room: index.rooms.pop(room) for room in sorted(index.rooms)})
    return index


def _read_notes(out: Path, head: dict[str, Any]) -> dict[str, _Packed]:
    """What was finished by earlier runs.

    Raises:
        ConfigError: it is of another dataset.
    """
    if not (out / _NOTES).is_file():
        return {}
    read = json.loads((out / _NOTES).read_text(encoding="utf-8"))
    if read["head"] != head:
        raise ConfigError(
            f"{out} holds shards of {read['head']['dataset']}, read otherwise than here: give another --out"
        )
    return {
        name: _Packed(**{**packed, "shard": Shard(**packed["shard"]) if packed["shard"] else None})
        for name, packed in read["shards"].items()
    }


def _write_notes(out: Path, head: dict[str, Any], notes: dict[str, _Packed]) -> None:
    with atomic_write(out / _NOTES) as unfinished:
        shards = {name: asdict(packed) for name, packed in notes.items()}
        unfinished.write_text(json.dumps({"head": head, "shards": shards}), encoding="utf-8")

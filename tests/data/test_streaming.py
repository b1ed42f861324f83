"""Shards: the files' own bytes come back, every sample once, in an order of seed and epoch; or a plain error."""

import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from echodepth import cli
from echodepth.apps.demo.config import DemoConfig
from echodepth.apps.demo.examples import find_examples
from echodepth.core.errors import ConfigError, DataError, EchodepthError
from echodepth.core.flags import flat
from echodepth.core.integrity import file_digest
from echodepth.data.config import DataConfig, data_config
from echodepth.data.datamodule import DepthDataModule
from echodepth.data.dataset import open_dataset
from echodepth.data.label_subset import LabelSubset
from echodepth.data.opening import open_split
from echodepth.data.recorded import trained_data
from echodepth.data.records import ALL_MODALITIES, SPLITS, Modality, Split
from echodepth.data.streaming import journal as journals
from echodepth.data.streaming import reader
from echodepth.data.streaming import writer as packing
from echodepth.data.streaming.dataset import ShardBatches, ShardedDataset
from echodepth.data.streaming.index import INDEX
from echodepth.data.streaming.journal import Journal
from echodepth.data.streaming.partition import EpochPartition
from echodepth.data.streaming.writer import shard
from echodepth.inference.predictor import Predictor
from tests.configs import shard_config
from tests.roots import write_rgbd_root, write_v1_root, write_v2_root
from tests.tiny import SECONDS, save_tiny

SHORT: dict[str, Any] = {"max_depth": 10.0, "workers": 1}
SMALL: dict[str, Any] = {"shard_mb": 1}
"""Five of the samples below to a shard."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of 24 samples in two locations for training, and as many to validate and test; read only."""
    return write_v2_root(tmp_path_factory.mktemp("files"), rows=12)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The same in five shards a split, the last of four samples; read only."""
    return shard(shard_config(data_dir=root, out=tmp_path_factory.mktemp("shards"), **SHORT, **SMALL))


@pytest.fixture
def spoilt(shards: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(shards, tmp_path / "spoilt"))


def settings(place: Path | str, **flags: Any) -> DataConfig:
    return data_config(**{"dataset": "batvisionv2", "image_size": 16, "max_depth": 10.0, **flags}, data_dir=place)


def as_file(
    place: Path | str, split: Split = "train", modalities: tuple[Modality, ...] = ("depth",), **flags: Any
) -> ShardedDataset:
    dataset = open_split(settings(place, **flags), split, modalities)
    assert isinstance(dataset, ShardedDataset)
    return dataset


def names(place: Path | str, split: Split = "train", **flags: Any) -> list[str]:
    return [sample["name"] for sample in open_split(settings(place, **flags), split, ("depth",))]


def module(place: Path | str, rank: int = 0, world_size: int = 1, **flags: Any) -> DepthDataModule:
    data = DepthDataModule(settings(place), ("depth",), **{"batch_size": 3, "num_workers": 0, **flags})
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        world_size=world_size, global_rank=rank, training=True, num_devices=world_size, accelerator=None
    )
    return data


def order(data: DepthDataModule, epoch: int | None = None) -> list[str]:
    loader = data.train_dataloader()
    if epoch is not None:
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    batches = [batch["name"] for batch in loader]
    assert len(batches) == len(loader)
    return [name for batch in batches for name in batch]


# --- packing ---


@pytest.mark.parametrize("kind", ["batvisionv1", "batvisionv2", "rgbd"])
def test_what_comes_out_is_what_the_files_give_bit_by_bit(kind: Any, tmp_path: Path) -> None:
    write: dict[str, Callable[[Path], Path]]
    write = {"batvisionv1": write_v1_root, "batvisionv2": write_v2_root, "rgbd": write_rgbd_root}
    write[kind](tmp_path / "files")
    data: dict[str, Any] = {"dataset": kind, "max_depth": 5.0} | ({"depth_scale": 4000.0} if kind == "rgbd" else {})
    shard(shard_config(data_dir=tmp_path / "files", out=tmp_path / "shards", workers=1, **data))
    modalities: tuple[Modality, ...] = ("image", "depth") if kind == "rgbd" else ALL_MODALITIES
    # Other settings than those that the shards were packed with; their units of depth are the shards' own.
    reading: dict[str, Any] = data | {"image_size": 24, "max_depth": 4.0, "audio_start": "zero", "audio_seconds": 0.05}
    for split in SPLITS:
        of_files = {
            sample["name"]: sample
            for sample in open_dataset(settings(tmp_path / "files", **reading), split, modalities)
        }
        own = {"depth_scale": 1.0} if kind == "rgbd" else {}
        streamed = as_file(tmp_path / "shards", split, modalities, **reading | own)
        assert len(streamed) == len(of_files)
        for sample in streamed:
            truth = of_files.pop(sample["name"])
            assert sample.keys() == truth.keys()
            for part in (*modalities, "valid"):
                assert torch.equal(sample[part], truth[part])  # type: ignore[literal-required]
        assert not of_files


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


# --- order and shares ---


def test_the_order_is_a_function_of_seed_and_epoch(shards: Path) -> None:
    first = order(module(shards, seed=1), 0)
    assert order(module(shards, seed=1), 0) == first
    assert sorted(first) == sorted(names(shards))
    later = order(module(shards, seed=1), 1)
    assert len({tuple(first), tuple(later), tuple(order(module(shards, seed=2), 0))}) == 3
    # A resumed run begins with that epoch's order, before Lightning has said which it is.
    assert order(module(shards, seed=1, first_epoch=1)) == later


def test_a_batch_is_a_function_of_epoch_and_number_alone(shards: Path) -> None:
    dataset = as_file(shards)
    share = EpochPartition(len(dataset), 4, True, workers=2)
    batches = ShardBatches(dataset, share, 7)
    in_order = {(epoch, n): batches[epoch, n]["name"] for epoch in (0, 1) for n in range(len(share.batch_sizes))}
    for key in [(1, 4), (0, 1), (1, 5), (0, 3), (0, 0)]:
        assert batches[key]["name"] == in_order[key]


def test_shares_are_disjoint_complete_and_even() -> None:
    for total in (1, 2, 3, 7, 12, 25):
        for world_size in (1, 2, 3):
            for batch_size, workers in ((1, 1), (2, 3), (4, 2), (5, 1), (30, 4)):
                for training in (True, False):
                    shares = [
                        EpochPartition(total, batch_size, training, workers, world_size, rank)
                        for rank in range(world_size)
                    ]
                    seen = [n for share in shares for worker in range(workers) for n in share.worker_range(worker)]
                    case = (total, world_size, batch_size, workers, training)
                    assert all(share.batch_sizes and min(share.batch_sizes) > 0 for share in shares), case
                    for share in shares:
                        assert sum(share.batch_sizes) == sum(
                            len(share.worker_range(worker)) for worker in range(workers)
                        )
                    if total >= world_size:
                        assert len(set(seen)) == len(seen), case
                    if training:
                        assert len({len(share.batch_sizes) for share in shares}) == 1, case
                        assert total - len(set(seen)) <= 2 * world_size, case  # of the last batch
                    else:
                        assert set(seen) == set(range(total)), case


@pytest.mark.parametrize("workers", [0, 2])
def test_each_sample_is_seen_once_over_two_processes_and_two_readers_each(shards: Path, workers: int) -> None:
    halves = [order(module(shards, rank, 2, num_workers=workers), 3) for rank in range(2)]
    assert len(halves[0]) == len(halves[1]) == 12
    assert sorted(halves[0] + halves[1]) == sorted(names(shards))
    validated = [
        name
        for rank in range(2)
        for batch in module(shards, rank, 2, num_workers=workers).val_dataloader()
        for name in batch["name"]
    ]
    assert sorted(validated) == sorted(names(shards, "val"))


def test_no_more_read_than_there_are_shards(root: Path, tmp_path: Path) -> None:
    one = shard(shard_config(data_dir=root, out=tmp_path, splits=("train",), **SHORT))
    loader = module(one, num_workers=3).train_dataloader()
    assert loader.num_workers == 1
    assert sorted(name for batch in loader for name in batch["name"]) == sorted(names(root))
    halves = [order(module(one, rank, 2), 0) for rank in range(2)]
    assert sorted(halves[0] + halves[1]) == sorted(names(root))


# --- what is asked for ---


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("flags", [{"locations": ("Attic",)}, {"leave_out": "Attic"}, {}])
def test_locations_are_those_of_the_files(root: Path, shards: Path, split: Split, flags: dict[str, Any]) -> None:
    assert sorted(names(shards, split, **flags)) == sorted(names(root, split, **flags))
    assert len(as_file(shards, split, **flags)) == len(names(root, split, **flags))


@pytest.mark.parametrize("keep_rest", [True, False])
def test_labels_are_those_of_the_files(root: Path, shards: Path, keep_rest: bool) -> None:
    of_both = []
    for place in (root, shards):
        frames = open_split(settings(place), "train", ("depth",), labels=LabelSubset(0.5, 3, keep_rest))
        of_both.append({sample["name"]: int(sample["valid"].sum()) for sample in frames})
        drawn = list(frames.draw_labelled(5, np.random.default_rng(0)))
        assert len(drawn) == 5
        assert all(sample["valid"].any() for sample in drawn)
    assert of_both[0] == of_both[1]
    assert len(of_both[0]) == (24 if keep_rest else 12)


@pytest.mark.slow
def test_a_run_from_shards_is_resumed_and_scored_as_from_files(
    v2_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    seconds = ["--audio_seconds", str(SECONDS)]
    cli.main(["shard", "--data_dir", str(v2_root), "--out", "packed", "--workers", "1", "--shard_mb", "1", *seconds])
    tiny = "--image_size 32 --base_channels 2 --attention_levels 5 --batch_size 2 --num_workers 0 --device cpu"
    train = ["train", "binaural", "--data_dir", "packed", *seconds, *tiny.split(), "--scheduler", "none"]
    cli.main([*train, "--experiment_name", "whole", "--nb_epochs", "2", "--save_frequency", "1"])
    cli.main([*train, "--experiment_name", "parts", "--nb_epochs", "1", "--save_frequency", "1"])
    cli.main([*train, "--experiment_name", "parts", "--nb_epochs", "2", "--checkpoints", "1"])
    whole, modalities = (
        [line.split(",")[2:] for line in Path(f"logs/{name}/metrics.csv").read_text().splitlines()]
        for name in ("whole", "parts")
    )
    assert whole == modalities
    assert len(whole) == 3
    ways = {"shards": [], "files": ["--data_dir", str(v2_root)], "reader": ["--num_workers", "1"]}
    for way, flags in ways.items():
        cli.main(["evaluate", "--checkpoint", "whole", "--device", "cpu", "--out", way, *flags])
    shards, files, reader = (json.loads(Path(way, "evaluate_test_valid.json").read_text()) for way in ways)
    assert shards["counts"] == files["counts"]
    assert shards["counts"]["images"] == 6
    assert shards["metrics"] == reader["metrics"] == pytest.approx(files["metrics"])
    cli.main(["evaluate", "--checkpoint", "whole", "--device", "cpu", "--control", "mean_depth"])


# --- damage ---


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


# --- the web ---


class Server:
    """The folder on localhost; what is asked for is noted, and answers can be cut short."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.cuts = 0
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, self, directory=str(folder)))
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


class Handler(SimpleHTTPRequestHandler):
    def __init__(self, owner: Server, *rest: Any, **settings: Any) -> None:
        self.owner = owner
        super().__init__(*rest, **settings)

    def do_GET(self) -> None:
        self.owner.asked.append(self.path)
        super().do_GET()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        if self.path.endswith(".tar") and self.owner.cuts > 0:
            self.owner.cuts -= 1
            outputfile.write(source.read(400_000))
            self.close_connection = True
            return
        super().copyfile(source, outputfile)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def web(shards: Path) -> Iterator[Server]:
    server = Server(shards)
    yield server
    server.server.shutdown()
    server.server.server_close()


def test_shards_are_read_over_http_by_this_process_and_by_others(shards: Path, web: Server) -> None:
    assert names(web.address) == names(shards)
    for workers in (0, 2):
        assert order(module(web.address, num_workers=workers), 1) == order(module(shards, num_workers=workers), 1)


def test_fetched_shards_are_kept_under_their_hash(shards: Path, web: Server, tmp_path: Path) -> None:
    first = names(web.address, shard_cache=tmp_path)
    web.asked.clear()
    assert names(web.address, shard_cache=tmp_path) == first == names(shards)
    assert web.asked == ["/index.json"]
    assert len(list(tmp_path.iterdir())) == 5
    one = sorted(tmp_path.iterdir())[0]
    one.write_bytes(b"cut short")
    assert names(web.address, shard_cache=tmp_path) == first
    kept = bytearray(one.read_bytes())
    kept[1000] ^= 1
    one.write_bytes(kept)
    with pytest.raises(DataError, match=rf"{one.name} is damaged and removed: start again, and the shard is fetched"):
        names(web.address, shard_cache=tmp_path)
    assert names(web.address, shard_cache=tmp_path) == first


def test_a_broken_connection_is_taken_up_again_and_not_for_ever(
    shards: Path, web: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(reader, "RETRIES", (0.0, 0.0))
    web.cuts = 2
    assert names(web.address) == names(shards)
    for flags in (dict[str, Any](), {"shard_cache": tmp_path}):
        web.cuts = 10
        with pytest.raises(DataError, match=r"http://127\.0\.0\.1:\d+/train-000000\.tar"):
            names(web.address, **flags)
    assert not list(tmp_path.iterdir())


# --- mistakes ---


@pytest.mark.parametrize(
    ("flags", "error", "message"),
    [
        ({"dataset": "rgbd"}, ConfigError, "holds shards of batvisionv2: give --dataset batvisionv2"),
        ({"skip_bad": True}, ConfigError, "pack them again with `echodepth shard --skip_bad`"),
        ({"locations": ("Moon",)}, DataError, "no location Moon in .*; known: Attic, Salle_Chevalier"),
        ({"leave_out": "Moon"}, DataError, "no location Moon in"),
        ({"image_size": 0}, ConfigError, "image_size is 0"),
        (
            {"data_dir": "s4://bucket/rooms"},
            DataError,
            "s4://bucket/rooms/index.json cannot be read: Protocol not known",
        ),
    ],
)
def test_what_cannot_be_read_is_said(
    shards: Path, flags: dict[str, Any], error: type[EchodepthError], message: str
) -> None:
    with pytest.raises(error, match=message):
        open_split(
            settings(**{"place": shards, **{("place" if k == "data_dir" else k): v for k, v in flags.items()}}), "train"
        )


def test_an_index_of_another_kind_or_version_is_refused(spoilt: Path) -> None:
    index = json.loads((spoilt / INDEX).read_text())
    del index["seal"]
    (spoilt / INDEX).write_text(json.dumps(index | {"version": 9}))
    with pytest.raises(DataError, match="has version 9, and this program reads version 1"):
        as_file(spoilt)
    (spoilt / INDEX).write_text(json.dumps(index)[:200])
    with pytest.raises(DataError, match=r"index\.json is no index of shards"):
        as_file(spoilt)
    del index["splits"]["test"]
    (spoilt / INDEX).write_text(json.dumps(index))
    with pytest.raises(
        DataError, match=r"has no shards of test, only of .*: pack them with `echodepth shard --splits test`"
    ):
        as_file(spoilt, "test")


def test_a_part_that_was_not_packed_is_missed_by_name(tmp_path: Path) -> None:
    root = write_rgbd_root(tmp_path / "files")
    out = shard(shard_config(dataset="rgbd", data_dir=root, out=tmp_path / "shards", workers=1))
    with pytest.raises(DataError, match=r"the shards of rgbd in .* have no audio"):
        as_file(out, modalities=("audio", "depth"), dataset="rgbd")
    with pytest.raises(ConfigError, match="--dataset rgbd has no locations"):
        as_file(out, dataset="rgbd", locations=("here",))


@pytest.mark.parametrize("words", ["prepare", "shard --out again", "evaluate --checkpoint a --control shuffled_audio"])
def test_what_takes_frames_out_of_order_says_what_to_do(
    shards: Path, tmp_path: Path, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "checkpoints/a", shards)
    for command in (words.split(), ["compare", "a"]):
        with pytest.raises(SystemExit) as stop:
            cli.main([*command, "--data_dir", str(shards)])
        assert stop.value.code == cli.USER_ERROR
        said = capsys.readouterr().err
        assert "read sequentially" in said
        assert "give --data_dir a folder" in said


def test_a_page_for_a_model_from_shards_has_no_examples(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "a", tmp_path, data_dir="s3://bucket/rooms")
    assert find_examples(DemoConfig("a"), [Predictor(model)]) == []


def test_a_cache_that_cannot_be_written_is_not_taken_for_a_damaged_shard(web: Server, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.touch()
    with pytest.raises(OSError, match="taken"):
        names(web.address, shard_cache=taken)


def test_without_webdataset_the_extra_is_named(
    root: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(ConfigError, match=r"webdataset, which is not installed: pip install 'echodepth\[stream\]'"):
        as_file(shards)
    with pytest.raises(ConfigError, match=r"pip install 'echodepth\[stream\]'"):
        shard(shard_config(data_dir=root, out=tmp_path / "out"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"shard_mb": 0}, "--shard_mb must be at least 1"),
        ({"workers": 0}, "--workers must be at least 1"),
        ({"leave_out": "Attic"}, "--leave_out: pack all locations"),
        (
            {"data_dir": "https://somewhere/rooms"},
            "https://somewhere/rooms holds shards, which are read",
        ),
    ],
)
def test_senseless_flags_are_refused(root: Path, tmp_path: Path, flags: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shard(shard_config(**{"data_dir": root, "out": tmp_path / "out", **flags}))


def test_an_address_keeps_its_slashes_from_the_command_line_to_the_model(
    tmp_path: Path,
) -> None:
    for given, read in (("s3://bucket/rooms", "s3://bucket/rooms"), ("some/folder", Path("some/folder"))):
        for command in (["train", "rgb"], ["evaluate", "--checkpoint", "a"]):
            assert flat(cli.parse([*command, "--data_dir", given])[1])["data_dir"] == read
    model = save_tiny(
        tmp_path / "a", Path("x"), data_dir="s3://bucket/rooms", shard_cache="kept", check_hashes=True
    )  # --verify was called so
    data = trained_data(model)
    assert (data.data_dir, data.address, data.shard_cache) == ("s3://bucket/rooms", "s3://bucket/rooms", Path("kept"))

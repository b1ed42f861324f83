"""Flip single bits in every kind of file that carries a digest, and measure what the digests cost.

``python -m benchmarks.integrity --flips 300`` writes docs/results/integrity.json. A flip counts as refused if reading
the file ends with one line for the user, as said if the log warns, and as accepted otherwise: none may be.
"""

import argparse
import json
import logging
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.rooms import write_rooms
from benchmarks.timing import processor_seconds
from echodepth.core import integrity
from echodepth.core.atomic_io import atomic_write
from echodepth.core.errors import EchodepthError
from echodepth.core.integrity import check_file, file_digest, seal_file
from echodepth.data.cache.prepared import AudioCacheFormat, open_prepared, write_prepared
from echodepth.data.config import DataConfig
from echodepth.data.dataset import list_split
from echodepth.data.opening import open_split
from echodepth.data.records import ALL_MODALITIES, SPLITS
from echodepth.data.streaming import reader
from echodepth.data.streaming.config import ShardConfig
from echodepth.data.streaming.writer import shard
from echodepth.inference.backends import load_backend
from echodepth.inference.config import ExportConfig
from echodepth.inference.export import export
from echodepth.inference.export_metadata import BACKEND_BY_SUFFIX
from echodepth.models.checkpoint import DepthModel, ModelSpec, load_depth_model, read_checkpoint, save_model
from echodepth.models.run_record import RunRecord
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.writer import simulate

KEPT = Path(__file__).resolve().parents[1] / "docs" / "results" / "integrity.json"
FRAMES, SIDE = 24, 128
RUNS = 5
Use = Callable[[], object]


class Said(logging.Handler):
    """Counts the warnings of the package."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count one."""
        self.count += 1


@contextmanager
def flipped(path: Path, bit: int) -> Iterator[None]:
    """A file with one other bit, and as before afterwards."""
    with path.open("rb+") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))
    yield
    with path.open("rb+") as file:
        file.seek(bit // 8)
        file.write(bytes([byte]))


def count_refusals(path: Path, use: Use, flips: int, seed: int = 0) -> dict[str, int]:
    """How often a file was refused, said to be damaged, and accepted, with one random bit flipped at a time."""
    use()
    outcomes = Counter(flips=flips, refused=0, said=0, accepted=0)
    bits, size = random.Random(seed), path.stat().st_size
    said = Said()
    logging.getLogger("echodepth").addHandler(said)
    for _ in range(flips):
        said.count = 0
        with flipped(path, bits.randrange(8 * size)):
            try:
                use()
                outcomes["said" if said.count else "accepted"] += 1
            except EchodepthError:
                outcomes["refused"] += 1
    logging.getLogger("echodepth").removeHandler(said)
    use()
    return dict(outcomes)


def make_models(folder: Path, base_channels: int) -> tuple[Path, Path]:
    """A model folder and a checkpoint with the state of its optimiser."""
    arguments = {"base_channels": base_channels, "output_size": SIDE, "max_depth": 30.0, "attention_levels": [5]}
    run = RunRecord(experiment_name="ears", data={"dataset": "batvisionv2", "audio_seconds": 0.05})
    model = DepthModel(ModelSpec("binaural_attention", arguments, {"image_size": SIDE}), run)
    save_model(model, folder / "best")
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    parts = {"model_spec": vars(model.spec), "run": run.to_plain(), "format": 2, "optimizer": optimizer.state_dict()}
    torch.save({**parts, "model_state_dict": model.network.state_dict()}, folder / "epoch_0002.pth")
    seal_file(folder / "epoch_0002.pth")
    return folder / "best", folder / "epoch_0002.pth"


def exported_files(folder: Path, checkpoint: Path) -> Iterator[tuple[Path, Path]]:
    """Each exported file with the one to be damaged."""
    for name in ("onnx", "openvino", "pt2"):
        config: Any = ExportConfig(checkpoint=str(checkpoint), format=name, out=folder / name)
        path = export(config)
        yield path, path
        if name == "openvino":
            yield path, path.with_suffix(".bin")


def try_all(scratch: Path, flips: int) -> dict[str, dict[str, int]]:
    """The outcomes for each kind of file."""
    results = {}

    def attempt(name: str, path: Path, use: Use) -> None:
        results[name] = count_refusals(path, use, flips)
        print(f"{name:24}", results[name], flush=True)

    folder, checkpoint = make_models(scratch, 4)
    attempt("model.safetensors", folder / "model.safetensors", lambda: load_depth_model(folder))
    attempt("config.json", folder / "config.json", lambda: load_depth_model(folder))
    attempt("epoch_0002.pth", checkpoint, lambda: read_checkpoint(checkpoint))
    data = DataConfig("batvisionv2", write_rooms(scratch / "rooms", FRAMES), SIDE)
    arrays = write_prepared(data, "train", AudioCacheFormat())
    for name in ("audio.npy", "depth.npy", "image.npy", "depth_exact.npy", "index.json"):
        use = partial(open_prepared, data, "train", ALL_MODALITIES, AudioCacheFormat())
        attempt(f"prepared {name}", arrays / name, use)
    small = DataConfig("batvisionv2", data.root, 16)
    shards = shard(ShardConfig(data=small, out=scratch / "shards", splits=("train",), shard_mb=20, workers=1))
    packed = DataConfig("batvisionv2", shards, 16)
    for name in ("train-000000.tar", "index.json"):
        attempt(f"shards {name}", shards / name, lambda: sum(1 for _ in open_split(packed, "train", ("depth",))))
    rooms = simulate(SimulateConfig(scratch / "simulated", rooms=3, poses=1, image_size=32, workers=1))

    def list_rooms() -> object:
        return [list_split(DataConfig("simulated", rooms), split, ALL_MODALITIES) for split in SPLITS]

    for name in ("audio/audio_0000_000.wav", "depth/depth_0000_000.npy", "camera/camera_0000_000.jpeg", "train.csv"):
        file = next(rooms.glob(f"*/{name}"))
        attempt(f"simulated {file.suffix[1:]}", file, list_rooms)
    for path, spoilt in exported_files(scratch, folder):
        load = partial(load_backend, path, BACKEND_BY_SUFFIX[path.suffix], "cpu", trust_code=True)
        attempt(f"exported {spoilt.suffix[1:]}", spoilt, load)
    return results


def best_of(work: Use) -> float:
    """Processor milliseconds, the least of several."""
    return round(1000 * min(processor_seconds(work) for _ in range(RUNS)), 2)


def measure(scratch: Path) -> dict[str, dict[str, float]]:
    """Processor milliseconds of reading with digests and of the digests alone, and the megabytes read."""
    folder, checkpoint = make_models(scratch, 64)
    weights = folder / "model.safetensors"
    times = {
        "load a model": (weights, lambda: load_depth_model(folder), lambda: file_digest(weights)),
        "read a checkpoint": (checkpoint, lambda: read_checkpoint(checkpoint), lambda: check_file(checkpoint)),
    }
    costs = {
        name: {"MB": path.stat().st_size / 1e6, "whole": best_of(whole), "digests": best_of(part)}
        for name, (path, whole, part) in times.items()
    }
    data = DataConfig("batvisionv2", write_rooms(scratch / "rooms", FRAMES), SIDE)
    arrays = write_prepared(data, "train", AudioCacheFormat())
    size = sum(path.stat().st_size for path in arrays.glob("*.npy")) / 1e6

    def open_arrays() -> object:
        return open_prepared(data, "train", ALL_MODALITIES, AudioCacheFormat())

    unknown = best_of(open_arrays)
    with patch.object(integrity, "_SETTLED", -1.0):
        open_arrays()
        known = best_of(open_arrays)
    costs["open prepared arrays, first"] = {"MB": size, "whole": unknown, "digests": round(unknown - known, 2)}
    costs["open prepared arrays, again"] = {"MB": size, "whole": known, "digests": 0.0}
    shards = shard(ShardConfig(data=data, out=scratch / "shards", splits=("train",), shard_mb=20, workers=1))
    packed = DataConfig("batvisionv2", shards, SIDE)
    size = sum(path.stat().st_size for path in shards.glob("*.tar")) / 1e6

    def read_shards() -> object:
        return sum(1 for _ in open_split(packed, "train"))

    with_hash = best_of(read_shards)
    digests = best_of(lambda: [file_digest(path) for path in shards.glob("*.tar")])
    costs["read shards and decode"] = {"MB": size, "whole": with_hash, "digests": digests}
    with patch.object(reader, "_HashingStream", _Unhashed):
        costs["the same without digests"] = {"MB": size, "whole": best_of(read_shards), "digests": 0.0}
    for name, cost in costs.items():
        print(f"{name:30}", cost, flush=True)
    return costs


class _Unhashed(reader._HashingStream):
    """The stream of a shard that is not compared."""

    def read(self, size: int = -1) -> bytes:
        return self.file.read(size)

    def finish(self) -> Any:
        return AnyDigest()


class AnyDigest:
    """Equal to every digest."""

    def __ne__(self, other: object) -> bool:
        return False


def main() -> None:
    """Run both parts and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=300, help="bits to flip in each kind of file")
    flips = parser.parse_args().flips
    torch.set_num_threads(1)
    logging.getLogger("echodepth").addHandler(logging.NullHandler())
    logging.getLogger("echodepth").propagate = False
    results: dict[str, Any] = {}
    for name, part in (("flips", lambda folder: try_all(folder, flips)), ("milliseconds", measure)):
        with tempfile.TemporaryDirectory() as scratch, patch.dict(os.environ, ECHODEPTH_CACHE=f"{scratch}/cache"):
            results[name] = part(Path(scratch))
    with atomic_write(KEPT) as unfinished:
        unfinished.write_text(json.dumps(results, indent=2) + "\n")
    if accepted := [name for name, outcome in results["flips"].items() if outcome["accepted"]]:
        raise SystemExit(f"accepted: {', '.join(accepted)}")


if __name__ == "__main__":
    main()

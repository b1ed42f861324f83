"""The files that are damaged, and what reads them: small sound ones, each read as its command reads it."""

import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image
from safetensors.torch import load as load_safetensors

from echodepth.apps.live.capture import CardCalibration, load_calibration
from echodepth.apps.live.config import CardConfig
from echodepth.apps.live.simulated_card import SimulatedCard
from echodepth.core.errors import CheckpointError
from echodepth.core.flags import build, plain
from echodepth.data.cache.prepared import AudioCacheFormat, prepared_folder, write_prepared
from echodepth.data.camera_file import read_camera
from echodepth.data.config import DataConfig, data_config
from echodepth.data.dataset import open_dataset
from echodepth.data.opening import WAVEFORMS, open_split
from echodepth.data.recorded import trained_camera, trained_data
from echodepth.data.records import Modality
from echodepth.data.streaming.writer import shard
from echodepth.distillation.teachers.cached import CachedTeacher, fill_cache
from echodepth.distillation.teachers.frozen import FrozenTeacher
from echodepth.inference.config import PredictConfig
from echodepth.inference.export_metadata import ExportMetadata, parse_metadata
from echodepth.inference.predict import predict
from echodepth.inference.predictor import Predictor, load_model
from echodepth.models.checkpoint import DepthModel, load_depth_model
from echodepth.models.model_card import write_card
from echodepth.simulate.config import SimulateConfig
from echodepth.simulate.dataset_card import create_or_verify_card
from echodepth.simulate.rig import DEFAULT_RIG, FORMAT, read_rig
from echodepth.training.command_flags import binaural_flags
from echodepth.training.compose import train_config
from tests.chaos.damage import (
    Damage,
    another_file,
    damage_bytes,
    damage_json,
    damage_npy,
    damage_pth,
    damage_safetensors,
    damage_tar,
    damage_text,
)
from tests.configs import shard_config
from tests.roots import write_rgbd_root
from tests.tiny import save_tiny, save_tiny_rgb, write_v2

IMAGES = ("png", "jpg", "webp", "bmp", "tif", "gif", "ppm")
SOUNDS = ("wav", "flac")


@dataclass(frozen=True)
class Target:
    """A file, and what reads it.

    Attributes:
        name: of the target, for the table.
        path: of the file, below the folder of all.
        read: raises for a bad file; returns arrays that have to be finite.
        damages: what may be done to the file.
    """

    name: str
    path: Path
    read: Callable[[], Sequence[Any]]
    damages: tuple[Damage, ...]


def make_targets(folder: Path) -> list[Target]:
    """Write all files below a folder, which becomes the place of caches too, and list what reads them."""
    root = write_v2(folder / "rooms", {"train": 2, "val": 1, "test": 1})
    ears, eyes = save_tiny(folder / "ears", root), save_tiny_rgb(folder / "eyes", root)
    targets = [*_models(folder, ears), *_settings(folder), *_splits(folder, root, eyes), *_media(folder, root)]
    others = [target.path.read_bytes() for target in targets if target.path.stat().st_size < 2**17]
    swapped = another_file(others)
    return [Target(each.name, each.path, each.read, (*each.damages * 12, swapped)) for each in targets]


def _predictions(checkpoint: Path, given: Path) -> Sequence[Any]:
    predictor = load_model(checkpoint, "cpu")
    return [predictor.infer(given).depth]


def _models(folder: Path, ears: DepthModel) -> list[Target]:
    best, recording = folder / "ears/best", next((folder / "rooms").rglob("*.wav"))
    checkpoint = {"format": 2, "epoch": 1, "model_spec": asdict(ears.spec), "run": ears.run.to_plain()}
    torch.save({**checkpoint, "model_state_dict": ears.network.state_dict()}, folder / "epoch_0001.pth")
    weights = load_safetensors((best / "model.safetensors").read_bytes())
    torch.save({"model_state_dict": weights}, folder / "bare.pth")
    metadata = ExportMetadata("1", "a", "fp32", "audio", 32, 30.0, ears.run, 44100, 882)
    (folder / "metadata.json").write_text(metadata.to_json())

    def model() -> Sequence[Any]:
        loaded = load_depth_model(best)
        trained_data(loaded)
        trained_camera(loaded)
        write_card(loaded.network, loaded.image_size, loaded.run)
        return _predictions(best, recording)

    def exported() -> Sequence[Any]:
        read = parse_metadata((folder / "metadata.json").read_bytes().decode("utf-8", "replace"), folder / "a.onnx")
        return [np.array(read.max_depth)]

    return [
        Target("config.json", best / "config.json", model, (damage_json,)),
        Target("model.safetensors", best / "model.safetensors", model, (damage_safetensors,)),
        *(
            Target(name, folder / name, lambda name=name: _predictions(folder / name, recording), (damage_pth,))  # type: ignore[misc]
            for name in ("epoch_0001.pth", "bare.pth")
        ),
        Target("export's metadata", folder / "metadata.json", exported, (damage_json,)),
    ]


def _settings(folder: Path) -> list[Target]:
    """Files of settings, and cards."""
    rig, camera, pinhole, run = (folder / name for name in ("rig.json", "camera.json", "pinhole.json", "run.json"))
    rig.write_text(json.dumps({"format": FORMAT, "rig": asdict(DEFAULT_RIG)}))
    camera.write_text(json.dumps({"field_of_view_degrees": [86, 57]}))
    pinhole.write_text(json.dumps({"fx": 517.3, "fy": 516.5, "width": 640, "height": 480}))
    run.write_text(json.dumps({"kind": "binaural", "flags": plain(train_config("binaural"))}))
    calibration = folder / "calibration.json"
    calibration.write_text(json.dumps(asdict(CardCalibration(SimulatedCard.name, 0.5, 30.0, 0.1, -6.0, 40.0))))
    simulated = SimulateConfig(folder / "simulated", rooms=10, poses=1)
    create_or_verify_card(simulated)
    card = SimulatedCard()
    settings = CardConfig(volume=0.5, calibration=calibration)

    def read_run() -> Sequence[Any]:
        flags = binaural_flags(["--config", str(run)])
        flags.finish(flags.default)
        return []

    def read_settings() -> Sequence[Any]:
        found = load_calibration(card, settings)
        return [] if found is None else [np.array([found.latency_ms, found.volume])]

    return [
        Target("rig.json", rig, lambda: [np.array([read_rig(rig).height])], (damage_json,)),
        Target("camera.json", camera, lambda: _angles(camera), (damage_json,)),
        Target("camera.json, focal", pinhole, lambda: _angles(pinhole), (damage_json,)),
        Target("run's config.json", run, read_run, (damage_json,)),
        Target("calibration.json", calibration, read_settings, (damage_json,)),
        Target(
            "simulation.json",
            simulated.out / "simulation.json",
            lambda: [np.array(len(create_or_verify_card(simulated)))],
            (damage_json,),
        ),
    ]


def _angles(path: Path) -> Sequence[Any]:
    found = read_camera(path)
    return [] if found is None else [np.array(found.degrees)]


def _splits(folder: Path, root: Path, eyes: DepthModel) -> list[Target]:
    """Tables, lists, shards, prepared arrays and a teacher's cache."""
    config = data_config("batvisionv2", data_dir=root, image_size=16, max_depth=10.0)
    shards = shard(shard_config(data_dir=root, out=folder / "shards", max_depth=10.0, workers=1, splits=("train",)))
    streamed = data_config("batvisionv2", data_dir=shards, image_size=16, max_depth=10.0)
    prepared = write_prepared(config, "train", AudioCacheFormat())
    assert prepared == prepared_folder(config, "train")
    images = data_config("batvisionv2", data_dir=root, image_size=32)
    frames = open_dataset(images, "train", ("image",))
    teacher = FrozenTeacher(eyes)
    cached = fill_cache(teacher, images, frames, (), {"batch_size": 4, "num_workers": 0}, torch.device("cpu"))
    rgbd = write_rgbd_root(folder / "rgbd", frames=20)
    associated = data_config("rgbd", data_dir=rgbd, image_size=16)
    packing = shard_config(data_dir=root, out=shards, max_depth=10.0, workers=1, splits=("train",))

    def pack() -> Sequence[Any]:
        shard(packing)
        return _samples(streamed)

    def teach() -> Sequence[Any]:
        try:
            return [CachedTeacher(cached, frames.records, ()).predict(frames.batch([0, 1])).depth.numpy()]
        except CheckpointError as error:  # training names the folder in its warning
            raise CheckpointError(f"{cached} does not fit: {error}") from error

    read = lambda: _samples(streamed)  # noqa: E731
    return [
        Target("table.csv", root / "Attic/train.csv", lambda: _samples(config), (damage_text,)),
        Target("assoc.txt", rgbd / "assoc.txt", lambda: _samples(associated, ("image", "depth")), (damage_text,)),
        Target("shards' index.json", shards / "index.json", read, (damage_json,)),
        Target("shard.tar", shards / "train-000000.tar", read, (damage_tar,)),
        Target(".packing.jsonl", shards / ".packing.jsonl", pack, (damage_json,)),
        Target("prepared index.json", prepared / "index.json", lambda: _samples(config), (damage_json,)),
        Target("prepared array", prepared / "audio.npy", lambda: _samples(config), (damage_npy,)),
        Target("teacher's index.json", cached / "index.json", teach, (damage_json,)),
        Target("teacher's array", cached / "depth.npy", teach, (damage_npy,)),
    ]


def _samples(config: DataConfig, modalities: tuple[Modality, ...] = ("image", "audio", "depth")) -> Sequence[Any]:
    dataset = open_split(config, "train", modalities, prepared=WAVEFORMS)
    return [value.numpy() for sample in dataset for value in sample.values() if isinstance(value, torch.Tensor)]


def _media(folder: Path, root: Path) -> list[Target]:
    """Recordings, images and depth maps, as inputs of predict and as files of a dataset."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 255, (24, 40, 3), dtype=np.uint8))
    sound = soundfile.read(next(root.rglob("*.wav")))[0]
    targets, predictors = [], {name: load_model(folder / name / "best", "cpu") for name in ("ears", "eyes")}
    for ending in (*SOUNDS, *IMAGES):
        path, encoded = folder / f"given.{ending}", io.BytesIO()
        if ending in SOUNDS:
            soundfile.write(path, sound, 44100, subtype="PCM_24")
        else:
            image.save(encoded, Image.registered_extensions()[f".{ending}"])
            path.write_bytes(encoded.getvalue())
        predictor: Predictor = predictors["ears" if ending in SOUNDS else "eyes"]
        read = lambda path=path, predictor=predictor: [predictor.infer(path).depth]  # noqa: E731
        targets.append(Target(ending, path, read, (damage_bytes,)))
    row = [
        root / f"Attic/{kind}/{kind}_1.{end}" for kind, end in (("audio", "wav"), ("camera", "png"), ("depth", "npy"))
    ]
    config = data_config("batvisionv2", data_dir=root, image_size=16, max_depth=10.0)
    files = lambda: [value.numpy() for value in open_dataset(config, "train")[0].values() if torch.is_tensor(value)]  # noqa: E731
    targets += [
        Target("depth.npy of a row", row[2], files, (damage_npy,)),
        Target("audio.wav of a row", row[0], files, (damage_bytes,)),
        Target("predict, a recording", folder / "written.wav", lambda: _written(folder), (damage_bytes,)),
    ]
    shutil.copy(folder / "given.wav", folder / "written.wav")
    return targets


def _written(folder: Path) -> Sequence[Any]:
    """What the command leaves, which has to be whole."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    try:
        predict(
            build(
                PredictConfig,
                {"files": (folder / "written.wav",), "checkpoint": f"{folder}/ears/best", "out": out, "device": "cpu"},
            )
        )
    finally:
        left = (
            [path for path in out.rglob("*") if path.suffix not in (".npy", ".png", ".jsonl")] if out.exists() else []
        )
        assert not left, left
    return [np.load(path) for path in out.glob("*.npy")]

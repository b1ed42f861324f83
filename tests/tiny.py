"""A tiny BatVision V2 set and tiny models, for the tests of what comes after training."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image

from echodepth.core.packaged import DEFAULT_MODEL
from echodepth.models.checkpoint import DepthModel, ModelSpec, save_model
from echodepth.models.layers import Prediction
from echodepth.models.run_record import RunRecord

SIDE = 32
SECONDS = 0.02
RATE = 44100
FRAMES = 9000
LOCATIONS = ("Attic", "Cellar")
COLUMNS = {"audio": ".wav", "camera": ".png", "depth": ".npy"}


def write_v2(root: Path, per_split: dict[str, int] | None = None) -> Path:
    """Rooms whose walls stand farther with every frame, each with a click and its echo; 10 % of depth unknown."""
    per_split = per_split or {"train": 3, "val": 2, "test": 3}
    rng = np.random.default_rng(0)
    number = 0
    for location in LOCATIONS:
        for kind in COLUMNS:
            (root / location / kind).mkdir(parents=True)
        for split, count in per_split.items():
            with (root / location / f"{split}.csv").open("w", newline="") as file:
                names = [f"{kind} {what}" for kind in COLUMNS for what in ("path", "file name")]
                table = csv.writer(file)
                table.writerow(names)
                for _ in range(count):
                    number += 1
                    row = [(f"{location}/{kind}/", f"{kind}_{number}{end}") for kind, end in COLUMNS.items()]
                    table.writerow([cell for pair in row for cell in pair])
                    _write_frame(root, row, 1.0 + 0.2 * number, rng)
    return root


def _write_frame(root: Path, row: list[tuple[str, str]], wall: float, rng: np.random.Generator) -> None:
    audio, camera, depth = (root / folder / name for folder, name in row)
    sound = 1e-4 * rng.standard_normal((FRAMES, 2))
    for start, gain in ((100, 0.5), (100 + round(2 * wall / 340 * RATE), 0.2)):
        sound[start : start + 60] += gain * rng.standard_normal((60, 2))
    soundfile.write(audio, sound, RATE, subtype="PCM_32")
    Image.fromarray(rng.integers(0, 255, (24, 40, 3), dtype=np.uint8)).save(camera)
    millimetres = np.full((24, 40), 1000 * wall)
    millimetres[12:] *= np.linspace(0.8, 0.3, 12)[:, None]
    millimetres[rng.uniform(size=millimetres.shape) < 0.1] = 0
    np.save(depth, millimetres.astype(np.uint16))


def save_tiny(
    folder: Path,
    root: Path,
    kind: str = "binaural",
    network: str = "binaural_attention",
    uncertainty: bool = False,
    **data: Any,
) -> DepthModel:
    """An untrained model, saved as ``<folder>/best`` as training would; the folder's name is the experiment's.

    Its weights are the same in whatever order tests run: some draws answer almost the same to everything.
    """
    arguments: dict[str, Any] = {"base_channels": 2, "output_size": SIDE, "max_depth": 30.0}
    if uncertainty:
        arguments["uncertainty"] = True
    if network == "binaural_attention":
        arguments["attention_levels"] = [5]
    settings = {"dataset": "batvisionv2", "data_dir": str(root), "image_size": SIDE, "audio_seconds": SECONDS} | data
    licence = "BatVision V2, CC BY-SA 4.0" if settings["dataset"] == "batvisionv2" else None
    run = RunRecord(kind=kind, experiment_name=folder.name, seed=0, epoch=1, data=settings, data_licence=licence)
    with torch.random.fork_rng():
        torch.manual_seed(6)
        model = DepthModel(ModelSpec(network, arguments, {"image_size": SIDE}), run).eval()
    save_model(model, folder / "best")
    if folder.parent.name == "checkpoints":  # as if it had been trained from the folder above: its data are known
        log = folder.parent.parent / "logs" / folder.name / "config.json"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(json.dumps({"flags": settings}))
    return model


def save_tiny_rgb(folder: Path, root: Path, uncertainty: bool = False, **data: Any) -> DepthModel:
    return save_tiny(folder, root, "rgb", "rgb", uncertainty, **data)


def save_packaged(folder: Path, root: Path) -> None:
    """A tiny model of the packaged one's name and network in a folder of packaged models."""
    model = save_tiny(folder.parent / "made", root, network="light", uncertainty=True, audio_seconds=0.15)
    limits = "The training data are simulated rooms only; the accuracy in real rooms is not known."
    model.run = replace(model.run, experiment_name=DEFAULT_MODEL, data_limits=limits)
    save_model(model, folder / DEFAULT_MODEL)


def constant(model: DepthModel, metres: float) -> DepthModel:
    """The same model with an answer known beforehand."""
    model.network.predict = lambda x: Prediction(  # type: ignore[method-assign]
        torch.full((len(x), 1, SIDE, SIDE), metres), None, {}
    )
    return model


PREPROCESSOR: dict[str, Any] = {
    **{"do_resize": True, "size": {"height": 28, "width": 28}, "ensure_multiple_of": 14, "keep_aspect_ratio": True},
    **{"resample": 3, "do_normalize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]},
}


def save_tiny_hf(folder: Path, kind: str = "metric") -> Path:
    """An untrained Depth Anything of two layers, in the format of Hugging Face."""
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    backbone = Dinov2Config(
        **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14},
        out_indices=[1, 2],
        reshape_hidden_states=False,
    )
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        reassemble_factors=[1, 0.5],
        neck_hidden_sizes=[8, 8],
        fusion_hidden_size=8,
        head_hidden_size=4,
        depth_estimation_type=kind,
        max_depth=20 if kind == "metric" else 1,
        initializer_range=0.2,  # with the usual 0.02, pictures hardly differ after so few layers
    )
    model = DepthAnythingForDepthEstimation(config)
    torch.nn.init.constant_(model.head.conv3.bias, 1.0)  # a relative model's answer would end at 0 half of the times
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return folder

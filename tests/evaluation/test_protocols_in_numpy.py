"""Every protocol, from the files to the figures, against an independent implementation in NumPy."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter
from torch import Tensor

from echodepth.data.images import DepthMap, read_depth_array, resize_depth
from echodepth.evaluation.config import ScoringConfig
from echodepth.evaluation.scoring import score_model
from echodepth.metrics.depth import per_image_metrics
from echodepth.metrics.protocols import PROTOCOLS, get_protocol
from echodepth.models.frontends.echo import EchoFrontEnd
from echodepth.models.layers import Prediction
from tests import numpy_reference as reference
from tests.tiny import SIDE, save_tiny_rgb

MAX_DEPTH = 10.0
HEADER = "camera path,camera file name,depth path,depth file name"
ROWS, COLUMNS = 90, 160
"""A fraction of the genuine 720x1280. Resized to 32, single precision has every source position exactly."""


def random_maps() -> list[np.ndarray]:
    """Rooms with holes, depth on both sides of 0.5 m and of the limit, and a close-up that only ``official`` scores."""
    rng = np.random.default_rng(0)
    walls = [rng.integers(200, 3000, (ROWS, COLUMNS)), rng.integers(480, 520, (ROWS, COLUMNS))]
    walls += [rng.integers(4000, 16000, (ROWS, COLUMNS)), rng.integers(100, 450, (ROWS, COLUMNS))]
    for wall in walls:
        wall[rng.uniform(size=wall.shape) < 0.2] = 0
        wall[10:30, 20:60] = 0
    return [wall.astype(np.uint16) for wall in walls]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One map per location and split, so that the left-out location has three."""
    root = tmp_path_factory.mktemp("numpy")
    maps = random_maps()
    for number, location in enumerate(("Attic", "Cellar")):
        for part in ("camera", "depth"):
            (root / location / part).mkdir(parents=True)
        for order, split in enumerate(("train", "val", "test")):
            names = range(10 * number + 2 * order, 10 * number + 2 * order + 2)
            for name in names:
                np.save(root / f"{location}/depth/depth_{name}.npy", maps[name % 4])
                Image.new("RGB", (COLUMNS, ROWS)).save(root / f"{location}/camera/camera_{name}.png")
            rows = [f"{location}/camera/,camera_{name}.png,{location}/depth/,depth_{name}.npy" for name in names]
            (root / location / f"{split}.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    return root


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_figures_are_those_of_numpy(protocol: str, root: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    predictions = [rng.uniform(0.1, 9, (SIDE, SIDE)).astype(np.float32) for _ in range(6)]
    predictions[0][3, 3:8] = np.nan, np.inf, 0.0, -1.0, 0.001
    model = save_tiny_rgb(tmp_path / "eyes", root, leave_out="Cellar", max_depth=MAX_DEPTH)
    ready = iter(predictions)
    model.network.predict = lambda x: Prediction(  # type: ignore[method-assign]
        torch.stack([torch.from_numpy(next(ready))[None] for _ in x]), None, {}
    )
    result = score_model(model, ScoringConfig(protocol=protocol, batch_size=3))  # type: ignore[arg-type]

    places = [Path(row["name"]) for row in result.rows]
    assert len(places) == (6 if protocol == "loo" else 4)
    assert {place.parent.name for place in places} == ({"Cellar"} if protocol == "loo" else {"Attic", "Cellar"})
    maps = [np.load(root / place.parent / f"depth/depth_{place.name}.npy") for place in places]
    inputs = maps, predictions[: len(maps)], MAX_DEPTH, reference.RULES[protocol]
    expected = reference.evaluation(*inputs) | reference.direction_correlations(*inputs)
    got = result.metrics | {name: result.counts[name] for name in expected if name in result.counts}
    assert got.keys() == expected.keys()
    assert got == pytest.approx(expected, abs=1e-6, rel=0, nan_ok=True)
    assert (result.counts["images_without_valid"] > 0) == (protocol != "official")
    assert result.counts["bad_predictions"] > 0


def score(name: str, depth: DepthMap, size: int, max_depth: float) -> tuple[Tensor, Tensor]:
    """Ground truth [1, 1, size, size] and its mask under a protocol."""
    protocol = get_protocol(name)
    square = resize_depth(depth, size, max_depth, protocol.depth_resize)
    truth, valid = (torch.from_numpy(each)[None, None] for each in (square.metres, square.valid))
    return truth, protocol.scored(truth, valid)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("size", [32, 128, 256], ids=lambda size: f"to {size}")
def test_ground_truth_is_that_of_numpy(protocol: str, size: int) -> None:
    """Smaller, larger along one axis, and larger along both."""
    for millimetres in random_maps():
        metres = millimetres.astype(np.float32) / 1000
        truth, scored = score(protocol, DepthMap(metres, metres > 0), size, MAX_DEPTH)
        expected, mask = reference.ground_truth(millimetres, size, MAX_DEPTH, reference.RULES[protocol])
        assert np.abs(truth[0, 0].numpy() - expected).max() < 3e-6  # three units in the last place of 10 m
        assert np.array_equal(scored[0, 0].numpy(), mask)


def test_antialiased_resizing_is_that_of_pillow() -> None:
    """The filter that torchvision took over, in a library that had it first."""
    metres = random_maps()[0].astype(np.float32) / 1000
    ours = resize_depth(DepthMap(metres, metres > 0), 32, MAX_DEPTH, "bilinear_antialias").metres
    pillow = Image.fromarray(metres).resize((32, 32), Image.Resampling.BILINEAR)
    assert np.abs(ours - np.asarray(pillow)).max() < 3e-6


@pytest.fixture(scope="module")
def frame(real_data: Path) -> Path:
    return real_data / "batvision_v2_sample" / "depth_47.npy"


def blurred_rooms(truth: np.ndarray, scored: np.ndarray) -> dict[str, np.ndarray]:
    """Predictions of one room, from its median depth to all but its edges."""
    measured, everywhere = np.where(scored, truth, 0), scored.astype(float)
    rows = [np.median(row[mask]) if mask.any() else np.nan for row, mask in zip(truth, scored, strict=True)]
    predictions = {
        "median": np.full(truth.shape, np.median(truth[scored])),
        "median of each row": np.repeat(np.nan_to_num(rows, nan=float(np.nanmedian(rows)))[:, None], truth.shape[1], 1),
    } | {
        f"blurred by {sigma} px": gaussian_filter(measured, sigma) / gaussian_filter(everywhere, sigma).clip(1e-9)
        for sigma in (32, 16, 4)
    }
    # Off whole millimetres, whose ratio may be exactly 1.25: rounding would decide such a pixel of delta1.
    return {name: 1.00001 * prediction for name, prediction in predictions.items()}


RMSE_OF_THE_FRAME = {
    "median": (0.367, 0.333, 0.350, -4.9),
    "median of each row": (0.361, 0.319, 0.334, -4.4),
    "blurred by 32 px": (0.305, 0.274, 0.293, -6.4),
    "blurred by 16 px": (0.268, 0.244, 0.263, -7.2),
    "blurred by 4 px": (0.114, 0.164, 0.064, 154.3),
}
"""Metres under ``official``, ``htf`` and ``valid``, and ``htf`` against ``valid`` in per cent, as in the docs."""


def test_the_genuine_frame_under_every_protocol(frame: Path) -> None:
    """At 256x256, as published. ``valid`` was once taken for the protocol that is ``htf``."""
    depth, millimetres = read_depth_array(frame), np.load(frame)
    measured, scored = score("valid", depth, 256, 30.0)
    found = {}
    for kind, prediction in blurred_rooms(measured[0, 0].double().numpy(), scored[0, 0].numpy()).items():
        rmse = {}
        for name, rule in reference.RULES.items():
            figures = per_image_metrics(torch.from_numpy(prediction)[None, None], *score(name, depth, 256, 30.0))
            expected = reference.evaluation([millimetres], [prediction], 30.0, rule)
            assert {key: float(value) for key, value in figures.items()} == pytest.approx(
                {key: expected[key] for key in figures}, abs=1e-6, rel=0
            )
            rmse[name] = expected["rmse"]
        change = round(100 * (rmse["htf"] / rmse["valid"] - 1), 1)
        found[kind] = (*(round(rmse[name], 3) for name in ("official", "htf", "valid")), change)
    assert found == RMSE_OF_THE_FRAME


def test_batvisions_code_did_not_antialias(frame: Path) -> None:
    """Measured depth itself, holes filled by their neighbours, as the prediction: it must not look useless."""
    depth = read_depth_array(frame)
    measured = resize_depth(depth, 256, 30.0)
    neighbour = distance_transform_edt(~measured.valid, return_distances=False, return_indices=True)
    perfect = torch.from_numpy(measured.metres[tuple(neighbour)])[None, None]
    truth, scored = score("official", depth, 256, 30.0)
    assert float(per_image_metrics(perfect, truth, scored)["abs_rel"]) == pytest.approx(0.062, abs=5e-4)
    blurred = torch.from_numpy(resize_depth(depth, 256, 30.0, "bilinear_antialias").metres)[None, None]
    assert float(per_image_metrics(perfect, blurred, blurred > 0)["abs_rel"]) == pytest.approx(3.06, abs=5e-3)


def test_batvisions_input_is_that_of_numpy(frame: Path) -> None:
    """The spectrogram is resized as the depth is. With antialiasing it would differ by 11.6 %."""
    sound, _ = soundfile.read(frame.with_name("audio_47.wav"), dtype="float32")
    audio = sound.T[:, : int(2 * 30 / 340 * 44100)]
    expected = reference.batvision_input(audio, 256)
    waveform = torch.from_numpy(audio.copy())[None]
    ours, antialiased = (
        EchoFrontEnd(256, "magnitude", spectrogram_antialias=flag)(waveform)[0].numpy() for flag in (False, True)
    )
    assert np.abs(ours - expected).max() < 1e-6 * expected.max()
    assert np.linalg.norm(antialiased - expected) / np.linalg.norm(expected) == pytest.approx(0.116, abs=5e-4)

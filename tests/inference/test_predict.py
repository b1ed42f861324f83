"""Prediction: depth equal to the model's in evaluation, its output files, and refused inputs."""

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from echodepth.core.errors import ConfigError, DataError
from echodepth.data.dataset import open_dataset
from echodepth.data.recorded import trained_data
from echodepth.inference.config import PredictConfig
from echodepth.inference.outputs import to_millimetres
from echodepth.inference.predict import predict
from echodepth.inference.predictor import Predictor
from echodepth.inference.sources import find_sources
from echodepth.models.checkpoint import DepthModel
from tests.tiny import RATE, SIDE, constant, save_tiny, save_tiny_rgb, write_v2


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_v2(tmp_path_factory.mktemp("v2"), {"train": 1, "val": 1, "test": 1})


@pytest.fixture
def ears(tmp_path: Path, root: Path) -> DepthModel:
    return save_tiny(tmp_path / "ears", root)


@pytest.fixture
def eyes(tmp_path: Path, root: Path) -> DepthModel:
    return save_tiny_rgb(tmp_path / "eyes", root)


@pytest.mark.parametrize("start", ["onset", "zero", 50])
def test_a_recording_is_cut_as_in_training(tmp_path: Path, root: Path, start: str | int) -> None:
    model = save_tiny(tmp_path / "ears", root, audio_start=start)
    dataset = open_dataset(trained_data(model), "train", ("audio",))
    with torch.inference_mode():
        expected = model.predict(dataset[0]["audio"][None]).depth[0, 0].numpy()
    (recording,) = dataset.records[0].audio
    depth = Predictor(model).infer(recording).depth
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(depth, expected)


def test_an_image_comes_back_at_its_own_size(eyes: DepthModel, root: Path) -> None:
    dataset = open_dataset(trained_data(eyes), "train", ("image",))
    picture = dataset.records[0].image
    assert picture is not None
    depth = Predictor(eyes).infer(picture).depth
    assert depth.shape == (24, 40)
    with torch.inference_mode():
        small = eyes(dataset[0]["image"][None])
    assert small.min() - 1e-5 <= depth.min() <= depth.max() <= small.max() + 1e-5


def test_three_files_hold_the_same_depth(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "checkpoints" / "ears", root)
    recordings = tuple(sorted((root / "Attic" / "audio").iterdir())[:2])
    written = predict(PredictConfig(recordings, "ears"))
    stems = [path.stem for path in recordings]
    assert [path.name for path in written] == [
        f"{stem}_depth{end}" for stem in stems for end in (".npy", ".png", "_color.png")
    ]
    assert {path.parent for path in written} == {Path("results/ears/predictions")}
    assert {path.name for path in written} | {"made_from.jsonl"} == {path.name for path in written[0].parent.iterdir()}
    metres = np.load(written[0])
    assert (metres.shape, metres.dtype) == ((SIDE, SIDE), np.float32)
    with Image.open(written[1]) as png:
        assert png.mode == "I;16"
        np.testing.assert_allclose(np.asarray(png) / 1000, metres, atol=0.00051)
    with Image.open(written[2]) as picture:
        assert picture.width > 200


def test_millimetres_are_rounded_and_end_at_sixteen_bits() -> None:
    depth = np.array([[1.2344, 1.2346, 65.535, 80.0, np.inf, np.nan, -1.0]], dtype=np.float32)
    assert to_millimetres(depth).tolist() == [[1234, 1235, 65535, 65535, 65535, 0, 0]]


def test_another_sample_rate_is_resampled_and_logged(
    ears: DepthModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A click and its echo 10 ms apart, recorded at 48 kHz: at the model's rate they are 441 samples apart."""
    sound = 1e-5 * np.random.default_rng(0).standard_normal((4800, 2))
    sound[480] = sound[960] = 0.9
    soundfile.write(tmp_path / "room.wav", sound, 48000, subtype="FLOAT")
    waveforms: list[torch.Tensor] = []
    ears.front_end.register_forward_pre_hook(lambda module, args: waveforms.append(args[0]))
    with caplog.at_level(logging.INFO, logger="echodepth"):
        Predictor(ears).infer(tmp_path / "room.wav")
    assert "room.wav was recorded at 48000 Hz and is resampled to the 44100 Hz" in caplog.text
    loud = waveforms[0][0, 0].abs()
    first, second = loud[:200].argmax(), 200 + loud[200:].argmax()
    assert second - first == RATE // 100


def test_predicting_leaves_the_model_as_it_was(eyes: DepthModel, root: Path) -> None:
    picture = next((root / "Attic" / "camera").iterdir())
    eyes.train()
    first = Predictor(eyes).infer(picture).depth
    assert eyes.training
    np.testing.assert_array_equal(first, Predictor(eyes.eval()).infer(picture).depth)


def test_files_of_the_wrong_kind_are_refused(ears: DepthModel, eyes: DepthModel, root: Path) -> None:
    recording, picture = (next((root / "Attic" / kind).iterdir()) for kind in ("audio", "camera"))
    with pytest.raises(ConfigError, match=r"audio_\d\.wav is a recording, but eyes takes images") as refused:
        Predictor(eyes).infer(recording)
    assert "\n" not in str(refused.value)
    with pytest.raises(
        ConfigError, match=r"camera_\d\.png is neither a WAV nor a FLAC file, but ears takes two-channel recordings"
    ):
        Predictor(ears).infer(picture)


def test_mono_missing_and_broken_files_are_refused(ears: DepthModel, eyes: DepthModel, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "mono.wav", np.zeros(4000), RATE)
    with pytest.raises(DataError, match="direction is derived from the difference between the ears"):
        Predictor(ears).infer(tmp_path / "mono.wav")
    with pytest.raises(DataError, match=r"nowhere\.wav does not exist"):
        Predictor(ears).infer(tmp_path / "nowhere.wav")
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"broken\.png cannot be read as an image"):
        Predictor(eyes).infer(tmp_path / "broken.png")


def test_a_quoted_pattern_names_files(ears: DepthModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``predict '~/rec[1]/*.wav'`` looked for a file of that name."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "rec[1]").mkdir()
    for name in ("b", "a"):
        (tmp_path / f"rec[1]/{name}.wav").touch()
    config = PredictConfig(("~/rec[1]/*.wav",))  # type: ignore[arg-type]
    assert [source.stem for source in find_sources(config, Predictor(ears), Path("out"))] == [Path("a"), Path("b")]
    with pytest.raises(DataError, match=r"x\*\.wav does not exist, and finds nothing as a pattern"):
        find_sources(PredictConfig((tmp_path / "x*.wav",)), Predictor(ears), Path("out"))


def test_results_that_would_overwrite_each_other_are_refused(ears: DepthModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a/1\.wav and b/1\.wav: the result of one would replace the other"):
        predict(PredictConfig((Path("a/1.wav"), Path("b/1.wav")), str(tmp_path / "ears")))
    with pytest.raises(ConfigError, match="no file is given"):
        predict(PredictConfig((), str(tmp_path / "ears")))


def test_a_constant_model_predicts_its_constant(tmp_path: Path, eyes: DepthModel, root: Path) -> None:
    picture = next((root / "Attic" / "camera").iterdir())
    assert Predictor(constant(eyes, 3.0)).infer(picture).depth == pytest.approx(3.0)

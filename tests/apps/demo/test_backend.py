"""The demo page's predictions are the model's, and so are its examples."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from echodepth.apps.demo import app
from echodepth.apps.demo.backend import (
    DemoInput,
    audio_input,
    display_shape,
    run_model,
)
from echodepth.apps.demo.config import DemoConfig
from echodepth.apps.demo.examples import find_examples
from echodepth.apps.demo.view import spectrograms_html
from echodepth.core.errors import ConfigError, DataError
from echodepth.inference.predictor import Predictor
from tests.tiny import RATE, SIDE, constant, save_tiny


def test_a_prediction_is_the_models_own(ears_model: Predictor, scene: DemoInput) -> None:
    assert scene.recording is not None
    result = run_model(ears_model, scene)
    expected = ears_model.infer(scene.recording)
    np.testing.assert_array_equal(result.estimate.depth, expected.depth)
    np.testing.assert_array_equal(result.estimate.uncertainty, expected.uncertainty)
    assert result.name == "ears"
    assert result.seconds > 0


def test_the_error_is_measured_at_pixel_centres(folder: Path, v2_root: Path, tmp_path: Path) -> None:
    """A wall at 3 m, predicted at 2.5 m; half of the ground truth is missing, one pixel is beyond 30 m."""
    model = constant(save_tiny(tmp_path / "sure", v2_root), 2.5)
    millimetres = np.full((2 * SIDE, SIDE), 3000, np.uint16)
    millimetres[:, : SIDE // 2] = 0
    millimetres[:2, -1] = 40000
    np.save(tmp_path / "wall.npy", millimetres)
    result = run_model(Predictor(model), DemoInput(folder / "kitchen.wav", None, tmp_path / "wall.npy"))
    assert result.ground_truth is not None
    assert result.error is not None
    assert result.metrics is not None
    assert np.isnan(result.ground_truth[:, : SIDE // 2]).all()
    assert result.ground_truth[0, -1] == 30
    pixels = SIDE * SIDE // 2
    assert result.metrics["mae"] == pytest.approx((0.5 * (pixels - 1) + 27.5) / pixels)
    assert result.error[5, -1] == pytest.approx(0.5)
    assert display_shape(DemoInput(ground_truth=tmp_path / "wall.npy"), [result]) == (512, 256)


def test_a_png_is_ground_truth_in_millimetres(ears_model: Predictor, folder: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 20), 2000, np.uint16)).save(tmp_path / "flat.png")
    result = run_model(ears_model, DemoInput(folder / "kitchen.wav", None, tmp_path / "flat.png"))
    assert result.ground_truth is not None
    np.testing.assert_allclose(result.ground_truth, 2)


def test_missing_and_unfit_files_are_named(ears_model: Predictor, folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "mono.wav", np.full(9000, 0.1), RATE)
    np.save(tmp_path / "nothing.npy", np.zeros((8, 8), np.uint16))
    with pytest.raises(ConfigError, match="ears is an audio model: give it a two-channel WAV file"):
        run_model(ears_model, DemoInput(image=folder / "kitchen.png"))
    with pytest.raises(DataError, match=r"mono\.wav"):
        run_model(ears_model, DemoInput(tmp_path / "mono.wav"))
    with pytest.raises(DataError, match=r"nothing\.npy holds no valid depth"):
        run_model(ears_model, DemoInput(folder / "kitchen.wav", ground_truth=tmp_path / "nothing.npy"))


def test_spectrograms_and_slowed_audio_are_the_models_input(ears_model: Predictor, scene: DemoInput) -> None:
    assert scene.recording is not None
    spectrograms, (rate, slowed), seconds = audio_input(ears_model, scene.recording)
    waveform = ears_model.prepare(scene.recording).raw.numpy()
    assert [each.shape for each in spectrograms] == [(256, 256)] * 2
    assert rate == RATE // 10
    assert seconds == pytest.approx(waveform.shape[1] / RATE)
    assert np.abs(slowed).max() == pytest.approx(0.9 * (2**15 - 1), abs=1)
    assert np.corrcoef(slowed[:, 1], waveform[1])[0, 1] > 0.9999
    page = spectrograms_html(spectrograms, 0.1)
    assert page.count("data:image/png") == 2
    assert "17 m" in page  # a round trip of a tenth of a second


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (DataError("FOLDER/a<b.wav has 1 channel"), "a&lt;b.wav has 1 channel"),
        (MemoryError(), "MemoryError: "),
    ],
)
def test_the_page_keeps_the_reason_of_an_error(
    error: Exception, shown: str, ears_model: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood in a box that vanished after seconds, and each output then said no more than "Error"."""
    page = app._Page([ears_model], 70.0, [])
    page.outputs = {"maps": "maps", "summary": "summary", "cloud": "cloud"}

    def fail(*_: Any) -> None:
        raise type(error)(*(text.replace("FOLDER", str(tmp_path)) for text in error.args))

    monkeypatch.setattr(page, "_results", fail)
    values = page.predict(str(tmp_path / "a<b.wav"), None, None, 70)
    assert shown in values["maps"]
    assert str(tmp_path) not in values["maps"]
    assert (values["summary"], values["cloud"]) == ("", None)


def test_models_run_in_one_thread(ears_model: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradio calls a page from ever other threads: the memory that each had freed was kept for it, 190 MB for 16."""
    page, threads = app._Page([ears_model], 70.0, []), set[int]()

    def results(*_: Any) -> dict[Any, Any]:
        threads.add(threading.get_ident())
        return {}

    monkeypatch.setattr(page, "_results", results)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: page.predict(None, None, None, number), range(60, 70)))
        assert threads.isdisjoint({thread.ident for thread in pool._threads})
    assert len(threads) == 1


def test_examples_come_from_the_models_dataset_or_from_flags(
    folder: Path, ears_model: Predictor, v2_root: Path, tmp_path: Path
) -> None:
    assert find_examples(DemoConfig("ears"), [ears_model]) == []  # it was trained elsewhere
    from_dataset = find_examples(DemoConfig("ears", data_dir=v2_root), [ears_model])
    assert len(from_dataset) == 6
    assert all(each.recording and each.image and each.ground_truth for each in from_dataset)
    assert all(each.ground_truth.is_file() for each in from_dataset if each.ground_truth)
    (named,) = find_examples(DemoConfig("ears", examples=(folder,)), [ears_model])
    assert named == DemoInput(folder / "kitchen.wav", folder / "kitchen.png", folder / "kitchen.npy")
    with pytest.raises(DataError, match=r"--examples .+ holds no WAV or FLAC file"):
        find_examples(DemoConfig("ears", examples=(tmp_path,)), [ears_model])
    with pytest.raises(DataError, match="nowhere"):
        find_examples(DemoConfig("ears", data_dir=tmp_path / "nowhere"), [ears_model])


def test_flags_out_of_range_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="--fov 200"):
        app.open_page(DemoConfig(str(folder), fov=200.0))
    with pytest.raises(ConfigError, match="--port 70000: give a number from 1 to 65535"):
        app.open_page(DemoConfig(str(folder), port=70000))
    monkeypatch.setattr(app, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'echodepth\[demo\]'"):
        app.open_page(DemoConfig(str(folder)))

"""The demo page: its predictions are the model's, and a browser displays them."""

import base64
import re
import shutil
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import trimesh
from PIL import Image

from echodepth.apps.demo import app
from echodepth.apps.demo.backend import (
    DemoInput,
    DemoResult,
    audio_input,
    display_shape,
    initial_fov,
    point_cloud,
    run_model,
)
from echodepth.apps.demo.config import DemoConfig
from echodepth.apps.demo.examples import find_examples
from echodepth.apps.demo.serving import serve
from echodepth.apps.demo.view import depth_limit, maps_html, spectrograms_html, summary
from echodepth.core.errors import ConfigError, DataError
from echodepth.inference.estimate import Estimate
from echodepth.inference.predictor import Predictor
from tests.tiny import RATE, SIDE, constant, save_tiny, save_tiny_rgb


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, v2_root: Path) -> Path:
    """An audio model and an RGB model, and one scene: a recording, an image and a depth map."""
    folder = tmp_path_factory.mktemp("page")
    save_tiny(folder / "ears", v2_root, uncertainty=True)
    save_tiny_rgb(folder / "eyes", v2_root)
    for kind, ending in (("audio", ".wav"), ("camera", ".png"), ("depth", ".npy")):
        shutil.copy(v2_root / "Attic" / kind / f"{kind}_1{ending}", folder / f"kitchen{ending}")
    return folder


@pytest.fixture
def ears_model(folder: Path) -> Predictor:
    return Predictor.from_pretrained(folder / "ears" / "best", "cpu")


@pytest.fixture
def scene(folder: Path) -> DemoInput:
    return DemoInput(folder / "kitchen.wav", folder / "kitchen.png", folder / "kitchen.npy")


# ---- predictions ----


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
        (DataError("FOLDER/a<b.wav has 1 channel(s)"), "a&lt;b.wav has 1 channel(s)"),
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


# ---- HTML ----


def _result(depth: np.ndarray, name: str = "a", **rest: Any) -> DemoResult:
    return DemoResult(name, Estimate(depth.astype(np.float32)), 0.0123, **rest)


def _metres(page: str) -> list[tuple[int, ...]]:
    """The values of every map that the pointer reads, in millimetres."""
    raw = [base64.b64decode(each) for each in re.findall(r'data-metres="([^"]+)"', page)]
    return [struct.unpack(f"<{len(each) // 2}H", each) for each in raw]


def test_every_map_carries_its_metres() -> None:
    ground_truth = np.array([[1, np.nan]], np.float32)
    page = maps_html([_result(np.array([[1.5, 2.0]]), ground_truth=ground_truth)], None, (10, 20))
    assert _metres(page) == [(1500, 2000), (500, 0), (1000, 0)]
    assert re.findall(r"<b>(.+?)</b>", page) == ["depth", "error", "ground truth"]
    assert "aspect-ratio: 20 / 10" in page
    assert "<h3>" not in page


def test_two_models_have_one_row_each_on_one_scale() -> None:
    near, far = _result(np.full((2, 2), 1.0), "near"), _result(np.full((2, 2), 4.0), "<far>")
    page = maps_html([near, far], Image.new("RGB", (8, 8)), (8, 8))
    assert re.findall(r"<h3>(.+?)</h3>", page) == ["near", "&lt;far&gt;"]
    assert re.findall(r"<b>(.+?)</b>", page) == ["depth", "image", "depth"]
    assert depth_limit([near, far]) == 4
    assert "4 m</span>" in page


def test_the_summary_states_depth_error_and_time() -> None:
    metrics = {"mae": 0.25, "rmse": 0.5, "delta1": 0.875}
    text = summary([_result(np.array([[1.0, 2.0, 4.0]]), "ears", metrics=metrics)])
    assert text == "**ears**: 1.00 to 4.00 m, median 2.00 m · MAE 0.25 m, RMSE 0.50 m, δ₁ 88 % · 12 ms"


def test_the_point_cloud_of_a_wall_is_a_plane(folder: Path, tmp_path: Path) -> None:
    """A wall at 2 m, seen through an image twice as wide as high.

    At 90 degrees it extends to either side by its distance, less half a pixel. Its height follows from the shape of the
    image for a model of images, whose camera is not that of the training data, and from the model's own camera,
    1.717 times as wide as high, for a model of recordings.
    """
    for name, half_height in (("eyes", 1.0), ("ears", 2 / 1.71747)):
        model = Predictor.from_pretrained(folder / name / "best", "cpu")
        cloud = point_cloud(model, np.full((4, 4), 2, np.float32), Image.new("RGB", (40, 20), "red"), 90.0)
        (tmp_path / "wall.glb").write_bytes(cloud)
        points = trimesh.load(tmp_path / "wall.glb").geometry["geometry_0"].vertices
        np.testing.assert_allclose(points[:, 2], -2, rtol=1e-6)
        assert np.abs(points[:, 0]).max() == pytest.approx(2, rel=0.01)
        assert np.abs(points[:, 1]).max() == pytest.approx(half_height, rel=0.01)


def test_square_maps_are_shown_in_the_shape_of_the_camera(ears_model: Predictor) -> None:
    """The point cloud and the maps of a recording without an image were square: 1.72 times too high."""
    assert initial_fov(ears_model) == 86.0
    shape = display_shape(DemoInput(), [_result(np.zeros((4, 4)))], ears_model.field_of_view)
    assert shape == (round(512 / 1.71747), 512)
    assert display_shape(DemoInput(), [_result(np.zeros((4, 4)))]) == (512, 512)


# ---- examples ----


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


# ---- the page in a browser ----


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """Address of the page with an audio model, an RGB model and one example."""
    pytest.importorskip("gradio", reason="pip install 'echodepth[demo]'")
    audio, rgb = (str(folder / name / "best") for name in ("ears", "eyes"))
    for port in range(7870, 7890):
        config = DemoConfig(audio, rgb, examples=(folder,), port=port, device="cpu")
        page = app.open_page(config)
        try:
            address = serve(page, config)
        except ConfigError:  # the port is in use
            continue
        yield address
        page.close()
        return
    pytest.skip("no port is free from 7870 to 7889")


def test_a_taken_port_is_named(address: str, folder: Path) -> None:
    port = int(address.rstrip("/").rpartition(":")[2])
    config = DemoConfig(str(folder / "eyes" / "best"), examples=(folder,), port=port, device="cpu")
    with pytest.raises(ConfigError, match=f"--port {port} cannot be listened on"):
        serve(app.open_page(config), config)


@pytest.mark.browser
def test_a_browser_shows_predictions_of_uploaded_files(address: str, folder: Path, tmp_path: Path) -> None:
    browsers = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium or google-chrome on the PATH")
    soundfile.write(tmp_path / "mono.wav", np.full(9000, 0.1), RATE)
    requested = []
    with browsers.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.on("request", lambda request: requested.append(request.url))
        page.goto(address)
        page.wait_for_selector("#maps .empty")

        page.set_input_files("#recording input[type=file]", folder / "kitchen.wav")
        page.wait_for_selector("#recording button[aria-label=Clear]")
        assert page.locator("#maps figure").count() == 0  # the image is still missing
        page.set_input_files("#image input[type=file]", folder / "kitchen.png")
        page.wait_for_selector("#maps figure")
        assert page.locator("#maps figcaption b").all_inner_texts() == [
            "depth",
            "predicted uncertainty",
            "image",
            "depth",
        ]
        widths = page.locator("#maps img").evaluate_all("images => images.map(image => image.naturalWidth)")
        assert min(widths) > 0
        assert "ears" in page.locator("#summary").inner_text()

        page.locator("#maps .map").first.hover(position={"x": 3, "y": 3})
        shown = page.locator("#maps output").first.inner_text()
        depth = Predictor.from_pretrained(folder / "ears" / "best", "cpu").infer(folder / "kitchen.wav").depth
        assert float(shown.removesuffix(" m")) == pytest.approx(depth[0, 0], abs=0.2)

        page.locator("#recording button[aria-label=Clear]").click()
        page.set_input_files("#recording input[type=file]", tmp_path / "mono.wav")
        message = page.wait_for_selector("#maps [role=alert]")
        assert message.inner_text().startswith("This cannot be used. mono.wav has 1 channel(s): two are needed")
        assert page.get_by_text("Error", exact=True).count() == 0  # Gradio's mark on each output
        assert page.locator(".toast-body").count() == 0
        page.locator("#recording button[aria-label=Clear]").click()
        page.set_input_files("#recording input[type=file]", folder / "kitchen.wav")
        page.wait_for_selector("#maps figure")
        assert page.locator("#maps [role=alert]").count() == 0
        browser.close()
    assert [url for url in requested if not url.startswith((address, "data:", "blob:"))] == []

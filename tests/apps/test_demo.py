"""The page to try a model: what it says is what the model says, and a browser shows it."""

import base64
import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import trimesh
from PIL import Image

from echodepth.apps.demo import app
from echodepth.apps.demo.backend import Answer, Question, answer, cloud, ears, view_shape
from echodepth.apps.demo.examples import find_examples
from echodepth.apps.demo.view import depth_limit, ears_html, maps_html, summary
from echodepth.core.errors import ConfigError, DataError
from echodepth.inference.config import DemoConfig
from echodepth.inference.predictor import Estimate, Predictor
from tests.tiny import RATE, SIDE, constant, save_tiny, save_tiny_rgb


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, v2_root: Path) -> Path:
    """Two models, ears and eyes, and one place: a recording, a picture and its depth."""
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
def place(folder: Path) -> Question:
    return Question(folder / "kitchen.wav", folder / "kitchen.png", folder / "kitchen.npy")


# ---- what is answered ----


def test_the_answer_is_the_models_own(ears_model: Predictor, place: Question) -> None:
    assert place.recording is not None
    given = answer(ears_model, place)
    expected = ears_model.infer(place.recording)
    np.testing.assert_array_equal(given.estimate.depth, expected.depth)
    np.testing.assert_array_equal(given.estimate.uncertainty, expected.uncertainty)
    assert given.name == "ears"
    assert given.seconds > 0


def test_the_error_is_against_the_measured_pixels(folder: Path, v2_root: Path, tmp_path: Path) -> None:
    """A wall at 3 m, seen at 2.5 m; one half was not measured and one pixel lies beyond the model's 30 m."""
    model = constant(save_tiny(tmp_path / "sure", v2_root), 2.5)
    millimetres = np.full((2 * SIDE, SIDE), 3000, np.uint16)
    millimetres[:, : SIDE // 2] = 0
    millimetres[:2, -1] = 40000
    np.save(tmp_path / "wall.npy", millimetres)
    given = answer(Predictor(model), Question(folder / "kitchen.wav", None, tmp_path / "wall.npy"))
    assert given.truth is not None
    assert given.error is not None
    assert given.metrics is not None
    assert np.isnan(given.truth[:, : SIDE // 2]).all()
    assert given.truth[0, -1] == 30
    pixels = SIDE * SIDE // 2
    assert given.metrics["mae"] == pytest.approx((0.5 * (pixels - 1) + 27.5) / pixels)
    assert given.error[5, -1] == pytest.approx(0.5)
    assert view_shape(Question(truth=tmp_path / "wall.npy"), [given]) == (512, 256)


def test_a_depth_picture_is_truth_in_millimetres(ears_model: Predictor, folder: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((20, 20), 2000, np.uint16)).save(tmp_path / "flat.png")
    given = answer(ears_model, Question(folder / "kitchen.wav", None, tmp_path / "flat.png"))
    assert given.truth is not None
    np.testing.assert_allclose(given.truth, 2)


def test_what_is_missing_or_unfit_is_named(ears_model: Predictor, folder: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "mono.wav", np.full(9000, 0.1), RATE)
    np.save(tmp_path / "nothing.npy", np.zeros((8, 8), np.uint16))
    with pytest.raises(ConfigError, match="ears hears: give it a two-channel WAV file"):
        answer(ears_model, Question(picture=folder / "kitchen.png"))
    with pytest.raises(DataError, match=r"mono\.wav"):
        answer(ears_model, Question(tmp_path / "mono.wav"))
    with pytest.raises(DataError, match=r"nothing\.npy holds no depth that is known"):
        answer(ears_model, Question(folder / "kitchen.wav", truth=tmp_path / "nothing.npy"))


def test_the_ears_are_those_of_the_models_cut(ears_model: Predictor, place: Question) -> None:
    assert place.recording is not None
    levels, (rate, slow), seconds = ears(ears_model, place.recording)
    sound = ears_model.prepare(place.recording).raw.numpy()
    assert [level.shape for level in levels] == [(256, 256)] * 2
    assert rate == RATE // 10
    assert seconds == pytest.approx(sound.shape[1] / RATE)
    assert np.abs(slow).max() == pytest.approx(0.9 * (2**15 - 1), abs=1)
    assert np.corrcoef(slow[:, 1], sound[1])[0, 1] > 0.9999
    page = ears_html(levels, 0.1)
    assert page.count("data:image/png") == 2
    assert "17 m" in page  # a tenth of a second there and back


# ---- what is drawn ----


def _answer(depth: np.ndarray, name: str = "a", **rest: Any) -> Answer:
    return Answer(name, Estimate(depth.astype(np.float32)), 0.0123, **rest)


def _metres(page: str) -> list[tuple[int, ...]]:
    """What the pointer would read of every map, in millimetres."""
    raw = [base64.b64decode(each) for each in re.findall(r'data-metres="([^"]+)"', page)]
    return [struct.unpack(f"<{len(each) // 2}H", each) for each in raw]


def test_every_map_carries_its_metres() -> None:
    truth = np.array([[1, np.nan]], np.float32)
    page = maps_html([_answer(np.array([[1.5, 2.0]]), truth=truth)], None, (10, 20))
    assert _metres(page) == [(1500, 2000), (500, 0), (1000, 0)]
    assert re.findall(r"<b>(.+?)</b>", page) == ["depth", "error", "truth"]
    assert "aspect-ratio: 20 / 10" in page
    assert "<h3>" not in page


def test_two_models_have_their_rows_on_one_scale() -> None:
    near, far = _answer(np.full((2, 2), 1.0), "near"), _answer(np.full((2, 2), 4.0), "<far>")
    page = maps_html([near, far], Image.new("RGB", (8, 8)), (8, 8))
    assert re.findall(r"<h3>(.+?)</h3>", page) == ["near", "&lt;far&gt;"]
    assert re.findall(r"<b>(.+?)</b>", page) == ["depth", "picture", "depth"]
    assert depth_limit([near, far]) == 4
    assert "4 m</span>" in page


def test_the_summary_says_depth_error_and_time() -> None:
    metrics = {"mae": 0.25, "rmse": 0.5, "delta1": 0.875}
    told = summary([_answer(np.array([[1.0, 2.0, 4.0]]), "ears", metrics=metrics)])
    assert told == "**ears**: 1.00 to 4.00 m, median 2.00 m · MAE 0.25 m, RMSE 0.50 m, δ₁ 88 % · 12 ms"


def test_the_cloud_is_a_wall_where_the_wall_is(tmp_path: Path) -> None:
    (tmp_path / "wall.glb").write_bytes(cloud(np.full((4, 4), 2, np.float32), Image.new("RGB", (40, 20), "red"), 90.0))
    points = trimesh.load(tmp_path / "wall.glb").geometry["geometry_0"].vertices
    np.testing.assert_allclose(points[:, 2], -2, rtol=1e-6)
    # 90 degrees across: as far to either side as the wall is away, but for half a pixel.
    assert np.abs(points[:, 0]).max() == pytest.approx(2, rel=0.01)
    assert np.abs(points[:, 1]).max() == pytest.approx(1, rel=0.01)


# ---- what is offered ----


def test_examples_come_from_the_models_dataset_or_lie_beside(
    folder: Path, ears_model: Predictor, tmp_path: Path
) -> None:
    of_dataset = find_examples(DemoConfig("ears"), [ears_model])
    assert len(of_dataset) == 6
    assert all(q.recording and q.picture and q.truth and q.truth.is_file() for q in of_dataset)
    (named,) = find_examples(DemoConfig("ears", examples=(folder,)), [ears_model])
    assert named == Question(folder / "kitchen.wav", folder / "kitchen.png", folder / "kitchen.npy")
    with pytest.raises(DataError, match=r"--examples .+ holds no WAV or FLAC file"):
        find_examples(DemoConfig("ears", examples=(tmp_path,)), [ears_model])
    with pytest.raises(DataError, match="nowhere"):
        find_examples(DemoConfig("ears", data_dir=tmp_path / "nowhere"), [ears_model])


def test_flags_that_make_no_sense(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="--fov 200"):
        app.open_page(DemoConfig(str(folder), fov=200.0))
    with pytest.raises(ConfigError, match="--port 70000: give a number from 1 to 65535"):
        app.open_page(DemoConfig(str(folder), port=70000))
    monkeypatch.setattr(app, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'echodepth\[demo\]'"):
        app.open_page(DemoConfig(str(folder)))


# ---- the page itself ----


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The page with a model that hears against one that sees, and one example."""
    pytest.importorskip("gradio", reason="pip install 'echodepth[demo]'")
    hearing, seeing = (str(folder / name / "best") for name in ("ears", "eyes"))
    for port in range(7870, 7890):
        config = DemoConfig(hearing, seeing, examples=(folder,), port=port, device="cpu")
        page = app.open_page(config)
        try:
            address = app.serve(page, config)
        except ConfigError:  # another one listens there
            continue
        yield address
        page.close()
        return
    pytest.skip("no port is free from 7870 to 7889")


def test_a_taken_port_is_named(address: str, folder: Path) -> None:
    port = int(address.rstrip("/").rpartition(":")[2])
    config = DemoConfig(str(folder / "eyes" / "best"), examples=(folder,), port=port, device="cpu")
    with pytest.raises(ConfigError, match=f"--port {port} cannot be listened on"):
        app.serve(app.open_page(config), config)


def test_a_browser_shows_what_is_uploaded(address: str, folder: Path, tmp_path: Path) -> None:
    browsers = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium or google-chrome on the PATH")
    soundfile.write(tmp_path / "mono.wav", np.full(9000, 0.1), RATE)
    elsewhere = []
    with browsers.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.on("request", lambda asked: elsewhere.append(asked.url))
        page.goto(address)
        page.wait_for_selector("#maps .empty")

        page.set_input_files("#recording input[type=file]", folder / "kitchen.wav")
        page.wait_for_selector("#recording button[aria-label=Clear]")
        assert page.locator("#maps figure").count() == 0  # the picture is still missing
        page.set_input_files("#picture input[type=file]", folder / "kitchen.png")
        page.wait_for_selector("#maps figure")
        assert page.locator("#maps figcaption b").all_inner_texts() == ["depth", "expected error", "picture", "depth"]
        widths = page.locator("#maps img").evaluate_all("pictures => pictures.map(p => p.naturalWidth)")
        assert min(widths) > 0
        assert "ears" in page.locator("#summary").inner_text()

        page.locator("#maps .map").first.hover(position={"x": 3, "y": 3})
        shown = page.locator("#maps output").first.inner_text()
        depth = Predictor.from_pretrained(folder / "ears" / "best", "cpu").infer(folder / "kitchen.wav").depth
        assert float(shown.removesuffix(" m")) == pytest.approx(depth[0, 0], abs=0.2)

        page.locator("#recording button[aria-label=Clear]").click()
        page.set_input_files("#recording input[type=file]", tmp_path / "mono.wav")
        message = page.wait_for_selector(".toast-body")
        assert "mono.wav" in message.inner_text()
        assert "Traceback" not in message.inner_text()
        page.wait_for_selector("#maps .empty")
        browser.close()
    assert [url for url in elsewhere if not url.startswith((address, "data:", "blob:"))] == []

"""A browser displays the demo page and its predictions."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echodepth.apps.demo import app
from echodepth.apps.demo.config import DemoConfig
from echodepth.apps.demo.serving import serve
from echodepth.core.errors import ConfigError
from echodepth.inference.predictor import Predictor
from tests.tiny import RATE


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
        assert message.inner_text().startswith("This cannot be used. mono.wav has 1 channel: two are needed")
        assert page.get_by_text("Error", exact=True).count() == 0  # Gradio's mark on each output
        assert page.locator(".toast-body").count() == 0
        page.locator("#recording button[aria-label=Clear]").click()
        page.set_input_files("#recording input[type=file]", folder / "kitchen.wav")
        page.wait_for_selector("#maps figure")
        assert page.locator("#maps [role=alert]").count() == 0
        browser.close()
    assert [url for url in requested if not url.startswith((address, "data:", "blob:"))] == []

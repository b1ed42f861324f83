"""The page of a comparison: which frames it shows, what it draws of them, and that a browser sorts its tables."""

import math
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echodepth.data.decoder import Decoder
from echodepth.evaluation.compare import build_comparison, compare
from echodepth.evaluation.comparison import Comparison, ComparisonRow
from echodepth.evaluation.frame_predictions import predict_frames
from echodepth.evaluation.frame_selection import leading_row, select_frames
from echodepth.evaluation.html_report import html
from echodepth.evaluation.report_charts import calibration_charts, palette
from echodepth.metrics.direction import SCORES
from tests.configs import compare_config
from tests.tiny import save_tiny, save_tiny_rgb


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory, v2_root: Path) -> Comparison:
    """An RGB model, and an audio model with uncertainty."""
    folder = tmp_path_factory.mktemp("night")
    save_tiny_rgb(folder / "eyes", v2_root)
    save_tiny(folder / "ears", v2_root, uncertainty=True)
    runs = tuple(str(folder / name / "best") for name in ("eyes", "ears"))
    return build_comparison(compare_config(*runs, data_dir=v2_root, pictures=2, extremes=1, device="cpu"))


@pytest.fixture
def page(night: Comparison, tmp_path: Path) -> Path:
    (tmp_path / "comparison.html").write_text(html(night), encoding="utf-8")
    return tmp_path / "comparison.html"


def scored(row: ComparisonRow, rmse: dict[str, float]) -> ComparisonRow:
    rows = [{"name": name, "rmse": value} for name, value in rmse.items()]
    return replace(row, evaluation=replace(row.evaluation, rows=rows))


# ---- which frames ----


def test_best_median_and_worst_are_those_of_the_order(night: Comparison) -> None:
    values = {name: float("cgaebhdfi".index(name)) for name in "abcdefghi"}
    row = scored(night.rows[0], values)  # from the best: c g a e b h d f i
    assert select_frames(row, list("abcdefghi"), extremes=1, spread=0) == {
        "c": ["best"],
        "b": ["median"],
        "i": ["worst"],
    }
    two = select_frames(row, list("abcdefghi"), extremes=2, spread=3)
    assert two == {
        **{"c": ["best"], "g": ["best"], "e": ["median", "evenly spread"], "b": ["median"]},
        **{"i": ["worst", "evenly spread"], "f": ["worst"], "a": ["evenly spread"]},
    }
    assert list(two) == list("cgebifa")


def test_few_frames_are_shown_once_and_one_without_a_figure_is_no_extreme(night: Comparison) -> None:
    row = scored(night.rows[0], {"a": 3.0, "b": math.nan, "c": 1.0, "d": 2.0})
    assert select_frames(row, list("abcd"), extremes=4, spread=0) == {"c": ["best"], "d": ["median"], "a": ["worst"]}
    assert select_frames(row, list("ab"), extremes=4, spread=9) == {"a": ["evenly spread"], "b": ["evenly spread"]}


def test_the_best_audio_model_decides(night: Comparison) -> None:
    assert night.leader.label == "audio"
    rmse = {row["name"]: row["rmse"] for row in night.leader.evaluation.rows}
    (best,) = [frame for frame, why in night.selected.items() if "best" in why]
    (worst,) = [frame for frame, why in night.selected.items() if "worst" in why]
    assert rmse[best] == min(rmse.values())
    assert rmse[worst] == max(rmse.values())
    eyes = [replace(row, is_best=False) for row in night.rows if row.label.startswith("RGB")]
    assert leading_row(eyes) is eyes[0]


def test_files_are_read_once_for_all_models(
    night: Comparison, v2_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        save_tiny(tmp_path / name, v2_root)
    read: Counter[str] = Counter()
    decode = Decoder.__call__

    def view(*rest: Any) -> Any:
        read.clear()  # what was read to score
        return predict_frames(*rest)

    monkeypatch.setattr("echodepth.evaluation.compare.predict_frames", view)
    monkeypatch.setattr(Decoder, "__call__", lambda self, record: read.update([record.name]) or decode(self, record))
    runs = tuple(str(tmp_path / name / "best") for name in ("one", "two"))
    comparison = build_comparison(compare_config(*runs, data_dir=v2_root, pictures=2, extremes=1, device="cpu"))
    assert read == dict.fromkeys(comparison.selected, 1)


# ---- what is drawn ----


def test_uncertainty_is_shown_beside_the_error(night: Comparison) -> None:
    text = html(night)
    for title in ("Error by depth range", "Error by image region", "Calibration of the predicted uncertainty"):
        assert title in text
    assert text.count("prediction, error, predicted uncertainty · RMSE") == len(night.selected)
    assert re.findall(r'<span class="(best|median|worst)">', text) == ["best", "median", "worst"]
    assert "attention weight relative to uniform" in text
    predictions = next(iter(night.predictions.values()))
    eyes, ears = predictions["RGB (upper bound) · eyes"], predictions["audio · ears"]
    assert eyes.uncertainty is None
    assert ears.uncertainty is not None
    assert eyes.lags == {}
    assert list(ears.lags) == ["x5"]


def test_only_models_with_uncertainty_have_calibration_charts(night: Comparison) -> None:
    reliability, sparsification = calibration_charts(night.rows, palette(night.rows))
    assert [line.name for line in reliability.lines] == ["audio · ears", "perfect calibration"]
    assert len(sparsification.lines) == 2
    sure = [row for row in night.rows if row.label.startswith("RGB")]
    assert calibration_charts(sure, palette(sure)) == []


# ---- in a browser ----


LONG = "experiment_distillation_small_pseudo_labels_320_0.1_same_0"


def launch(started: Any) -> Any:
    """The browser of this machine, or a skip."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium or google-chrome on the PATH")
    return started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])


@pytest.mark.browser
def test_long_names_wrap_and_leave_the_differences_on_the_screen(night: Comparison, tmp_path: Path) -> None:
    # The names of a study pushed every verdict out of its table, and made a phone scroll sideways for the legends.
    browsers = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    text = html(night).replace("eyes", LONG.replace("pseudo_labels", "teacher")).replace("ears", LONG)
    (tmp_path / "long.html").write_text(text, encoding="utf-8")
    with browsers.sync_playwright() as started:
        tab = launch(started).new_page(viewport={"width": 1200, "height": 800})
        tab.goto((tmp_path / "long.html").as_uri())
        table = tab.locator("#differences + div")
        assert LONG in table.inner_text()
        rmse = table.locator("tbody tr").first.locator("td[data-value]").first
        right = [part.bounding_box()["x"] + part.bounding_box()["width"] for part in (rmse, table)]
        assert right[0] < right[1]
        tab.set_viewport_size({"width": 400, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") == 400


@pytest.mark.browser
def test_a_browser_sorts_the_tables_and_asks_for_nothing_else(page: Path, night: Comparison) -> None:
    browsers = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    asked, faults = [], []
    rmse = {f"{row.label} {row.run}": row.means["rmse"] for row in night.rows}
    with browsers.sync_playwright() as started:
        browser = launch(started)
        tab = browser.new_page(viewport={"width": 400, "height": 800})
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("pageerror", lambda fault: faults.append(fault))
        tab.goto(page.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") == 400
        widths = tab.locator("img").evaluate_all("pictures => pictures.map(p => p.naturalWidth)")
        assert min(widths) > 0

        table = tab.locator("table").first
        heads = table.locator("th")

        def order() -> list[str]:
            return [" ".join(name.split()) for name in table.locator("td:first-child").all_inner_texts()]

        def ways() -> list[str | None]:
            return heads.evaluate_all("heads => heads.map(head => head.getAttribute('aria-sort'))")  # type: ignore[no-any-return]

        assert order() == list(rmse)
        heads.nth(1).locator("button").click()
        assert order() == sorted(rmse, key=lambda name: rmse[name])
        assert ways() == [None, "ascending", *[None] * (len(SCORES) - 1)]
        heads.nth(1).locator("button").press("Enter")
        assert order() == sorted(rmse, key=lambda name: -rmse[name])
        assert ways()[1] == "descending"
        heads.nth(4).locator("button").click()  # delta1: the higher is the better
        assert ways() == [None] * 4 + ["descending"] + [None] * (len(SCORES) - 4)
        heads.nth(0).locator("button").click()
        assert order() == sorted(rmse, key=str.casefold)

        without = browser.new_context(java_script_enabled=False).new_page()
        without.goto(page.as_uri())
        assert without.locator("th button").count() == 0
        assert without.locator("table").first.locator("td:first-child").count() == len(rmse)
        browser.close()
    assert faults == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert sum(url.startswith("file:") for url in asked) == 1


def test_without_pictures_or_ears_the_page_is_still_whole(
    tmp_path: Path, v2_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny_rgb(tmp_path / "checkpoints" / "eyes", v2_root)
    compare(compare_config("eyes", pictures=0, extremes=0, device="cpu"))
    text = Path("results/comparison/comparison.html").read_text(encoding="utf-8")
    for title in ("Frames", "Binaural cross-attention by lag", "Calibration of the predicted uncertainty"):
        assert f"<h2>{title}" not in text
    assert np.isfinite(build_comparison(compare_config("eyes", pictures=0, extremes=0)).leader.means["rmse"])

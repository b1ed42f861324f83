"""The documentation site: a strict build, navigation, search without a server, all flags, the API and the figures."""

import html
import importlib
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from echodepth.core.flags import flag_types
from echodepth.evaluation.config import CompareConfig
from echodepth.training.compose import Choices, config_class
from scripts import docs_site
from tests.conftest import ROOT

DOCS = ROOT / "docs"
STRICT = ["--fail-on-warning", "--keep-going", "--quiet"]
pytestmark = pytest.mark.slow  # builds the site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    assert build(DOCS, folder).returncode == 0
    return folder / "html"


def build(pages: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Build a site in another process: Sphinx replaces the defaults of the functions that it documents."""
    places = map(str, (folder / "doctrees", pages, folder / "html"))
    command = [sys.executable, "-m", "sphinx", *STRICT, *options, "-d", *places]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium or google-chrome on the PATH")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser.new_page(color_scheme="dark", viewport={"width": 390, "height": 800})
        browser.close()


def text_of(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text()))


def test_every_page_is_built_and_in_the_navigation(site: Path) -> None:
    start = (site / "index.html").read_text()
    for page in DOCS.rglob("*.md"):
        path = page.relative_to(DOCS).with_suffix(".html")
        assert (site / path).is_file()
        assert page.stem == "index" or f'href="{path.as_posix()}"' in start, f"the navigation lacks {page.name}"
    captions = re.findall(r'<span class="caption-text">(\w+)', start)
    assert captions == ["Tasks", "Background", "Results", "Reference"]


def test_all_flags_are_explained(site: Path) -> None:
    flags = re.sub(r"</?(?:span|code)[^>]*>", "", (site / "flags.html").read_text())
    for config in (config_class("distill", Choices()), CompareConfig):
        for flag in flag_types(config):
            assert f"--{flag}<" in flags or f"{flag.upper()}<" in flags, flag
    shown = re.sub(r"\s+", " ", text_of(site / "flags.html"))
    assert "--lambda_kd number 1.0 Weight of the KD loss" in shown
    assert "--feature_levels any of x1, x2, x3, x4, x5, d1, d2, d3, d4 d1 d2 d3 d4 Levels of feature matching" in shown
    assert "--bilinear True, False True" in shown
    assert "RUNS text … required" in shown
    assert "<experiment>" in shown  # placeholders are escaped and not read as HTML
    assert "--version" in shown
    assert "train distill: distillation" in shown  # a group has a heading of its own
    assert "--depth_scale number 5000.0" in shown  # a flag of one dataset


def test_flags_of_several_commands_are_listed_once(site: Path) -> None:
    assert text_of(site / "flags.html").count("--gradient_clip") == 1


def test_the_api_comes_from_docstrings(site: Path) -> None:
    shown = text_of(site / "api" / "prediction.html")
    assert "A model behind one method, infer." in shown
    assert "Hz; required for arrays of audio" in shown  # of an argument
    assert "_resize" not in shown  # private functions are left out
    assert 'id="echodepth.load_model"' in (site / "api" / "prediction.html").read_text()
    networks = (site / "api" / "networks.html").read_text()
    assert 'id="echodepth.RGBDepthNet"' in networks
    assert " at 0x" not in networks
    config = text_of(site / "api" / "data.html")
    assert "Side in pixels" in config  # a field's docstring


def test_pages_load_nothing_from_other_servers(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not re.findall(
            r'<(?:script|link rel="stylesheet"|img)[^>]+(?:src|href)="(?:https?:)?//', page.read_text()
        )
    for style in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import\s+)[\"']?(?:https?:)?//", style.read_text()), style


@pytest.mark.browser
def test_a_reader_searches_from_a_file_in_dark_mode_on_a_telephone(site: Path, browser_page: Page) -> None:
    page = browser_page
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    for name in ("index", "training", "evaluation", "flags", "data", "api/networks", "results/README"):
        page.goto(f"file://{site}/{name}.html")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, f"{name} is wider than the screen"
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 20, 22)", name
    page.goto(f"file://{site}/index.html")
    assert page.locator("button.copybtn").count() >= 3
    page.goto(f"file://{site}/search.html?q=onset")
    page.wait_for_selector("#search-results li a")
    found = page.locator("#search-results li a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert "glossary.html" in {link.partition("?")[0].partition("#")[0] for link in found}
    page.locator(".theme-toggle-header").click()  # from the system's setting to light
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert all(url.startswith(("file:", "data:")) for url in requests)


def test_broken_links_fail_the_build(tmp_path: Path) -> None:
    links = ["gone.md", "index.md#gone", "images/gone.png", "/index.md", "../gone.py", "api/gone.md"]
    (tmp_path / "index.md").write_text("# Start\n\n" + "\n\n".join(f"[There]({link})." for link in links) + "\n")
    shutil.copy(DOCS / "conf.py", tmp_path)
    (tmp_path / "static").mkdir()
    built = build(tmp_path, tmp_path / "site", "-D", "html_theme=basic")
    assert built.returncode != 0
    reasons = [line.partition("WARNING")[2] for line in built.stderr.splitlines() if "WARNING" in line]
    assert len(reasons) == len(links)
    for link in links:
        assert any(link.partition("#")[0].strip("/") in reason for reason in reasons), link


def test_a_new_page_needs_no_entry(tmp_path: Path) -> None:
    for name in ("index", "sonar", "training", "api/sonar"):
        (tmp_path / name).with_suffix(".md").parent.mkdir(exist_ok=True)
        (tmp_path / name).with_suffix(".md").write_text("# Page\n")
    tasks, reference = docs_site.navigation(tmp_path).strip().split("\n\n\n")
    assert ":caption: Tasks\n\ntraining\nsonar\n" in tasks
    assert ":caption: Reference\n\napi/sonar\n" in reference


def test_links_into_the_repository_become_names() -> None:
    text = "[CONTRIBUTING.md](../CONTRIBUTING.md), [how](../Makefile), [gone](../gone.py), [data](data.md#x)"
    shown = docs_site.LINK.sub(lambda link: docs_site.link_of_page(link, DOCS, "faq"), text)
    assert shown == "`CONTRIBUTING.md`, how (`Makefile` in the repository), [gone](../gone.py), [data](data.md#x)"


@pytest.mark.parametrize("page", sorted((DOCS / "api").glob("*.md")), ids=lambda page: page.stem)
def test_every_name_on_an_api_page_exists(page: Path) -> None:
    names = docs_site.API_ENTRY.findall(page.read_text())
    assert len(names) >= 3
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert getattr(importlib.import_module(module), attribute).__doc__, name


def test_the_figures_of_the_concepts_page_are_computed(tmp_path: Path) -> None:
    drawn = runpy.run_path(str(ROOT / "examples" / "draw_concepts.py"))
    drawn["main"](tmp_path)
    for name in ("echo_to_depth.svg", "distillation.svg"):
        assert (tmp_path / name).stat().st_size > 10_000
        assert f"images/{name}" in (ROOT / "docs" / "concepts.md").read_text()
    assert drawn["depth_map"](49, 73)[24, 36] == pytest.approx(3.8)  # the wall in front
    left, right = drawn["binaural_recording"]()
    front = slice(round((0.001 + 7.6 / 340) * 44100), round((0.004 + 7.6 / 340) * 44100))
    aside = slice(round((0.001 + 2.5 / 340) * 44100), round((0.004 + 2.7 / 340) * 44100))
    assert (left[front] ** 2).sum() == pytest.approx((right[front] ** 2).sum(), rel=0.1)
    assert (right[aside] ** 2).sum() > 4 * (left[aside] ** 2).sum()  # the near wall is at the right

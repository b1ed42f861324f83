"""The documentation site: a strict build, its navigation, the page of all flags, the API pages and the figures."""

import html
import re
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from properdocs.__main__ import cli
from properdocs.config import load_config

from echodepth.core.flags import flag_types
from echodepth.evaluation.config import CompareConfig
from echodepth.training.compose import Choices, config_class
from tests.conftest import ROOT

CONFIG = str(ROOT / "mkdocs.yml")
pytestmark = pytest.mark.slow  # builds the site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    result = CliRunner().invoke(cli, ["build", "--config-file", CONFIG, "--strict", "--site-dir", str(folder)])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="module")
def hook() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "docs_site.py"))


def text_of(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text()))


def test_every_page_is_built_and_in_the_navigation(site: Path) -> None:
    start = (site / "index.html").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        path = page.relative_to(ROOT / "docs").with_suffix(".html")
        built = path.with_name("index.html") if path.stem == "README" else path
        assert (site / built).is_file()
        assert page.stem == "index" or f'href="{built}"' in start, f"the navigation lacks {page.name}"


def test_all_flags_are_explained(site: Path) -> None:
    flags = (site / "flags.html").read_text()
    for config in (config_class("distill", Choices()), CompareConfig):
        for flag in flag_types(config):
            assert f"<code>--{flag}</code>" in flags or f"<code>{flag.upper()}</code>" in flags, flag
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
    shown = text_of(site / "api" / "inference.html")
    assert "Predictor" in shown
    assert "Load a model into a runtime." in shown
    assert "_pad_to_even" not in shown  # private functions are left out
    networks = (site / "api" / "models.html").read_text()
    assert 'id="echodepth.models.networks.rgb_depth.RGBDepthNet"' in networks


def test_pages_load_nothing_from_other_servers(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert not re.findall(
            r'<(?:script|link rel="stylesheet"|img)[^>]+(?:src|href)="(?:https?:)?//', page.read_text()
        )


@pytest.mark.parametrize("link", ["gone.md", "index.md#gone", "images/gone.png", "/index.md", "../gone.py"])
def test_a_broken_link_fails_the_build(link: str, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text(f"# Start\n\n[There]({link}).\n")
    # The build takes over the rules on links alone.
    rules = re.search(r"^validation:\n(?:  .*\n)+", Path(CONFIG).read_text(), re.MULTILINE)
    assert rules is not None
    (tmp_path / "mkdocs.yml").write_text(f"site_name: links\ntheme: readthedocs\nplugins: []\n{rules[0]}")
    result = CliRunner().invoke(cli, ["build", "--config-file", str(tmp_path / "mkdocs.yml"), "--strict"])
    assert result.exit_code == 1, result.output


def test_a_new_page_needs_no_entry_and_may_link_into_the_repository(tmp_path: Path, hook: dict[str, Any]) -> None:
    (tmp_path / "index.md").write_text("# Start\n")
    (tmp_path / "sonar.md").write_text("# Sonar\n")
    config = load_config(CONFIG, docs_dir=str(tmp_path), plugins=[], hooks=[])
    assert {"Guide": ["sonar.md"]} in hook["on_config"](config).nav
    page = SimpleNamespace(file=SimpleNamespace(src_uri="sonar.md"))
    config.docs_dir = str(ROOT / "docs")  # where ../ is the repository
    text = "[CONTRIBUTING.md](../CONTRIBUTING.md), [how](../Makefile), [gone](../gone.py), [data](data.md)"
    shown = hook["on_page_markdown"](text, page, config, None)
    assert shown == "`CONTRIBUTING.md`, how (`Makefile` in the repository), [gone](../gone.py), [data](data.md)"


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

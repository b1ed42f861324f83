"""What is published: one version everywhere, links that work on PyPI, and a wheel with the package and nothing else."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from echodepth import __version__
from scripts.check_dist import placeholders, wheel_faults
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGE_FILES = {
    str(path.relative_to(ROOT))
    for path in (ROOT / "echodepth").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since a build writes beside its sources."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(ROOT / "echodepth", copy / "echodepth", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "tests").mkdir()
    (copy / "tests" / "test_nothing.py").write_text("")
    (copy / "data").mkdir()
    (copy / "data" / "room.wav").write_text("")
    code = "import setuptools.build_meta as build; build.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", code], cwd=copy, check=True, capture_output=True, timeout=300)
    (built,) = (copy / "dist").glob("*.whl")
    return built


def test_the_version_is_the_same_everywhere() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (\S+)$", citation, re.MULTILINE)[1] == __version__  # type: ignore[index]
    versions = re.findall(r"^## (\d\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == __version__
    assert "version" in PROJECT["dynamic"]
    assert "version" not in PROJECT


def test_authors_are_the_same_everywhere() -> None:
    (author,) = PROJECT["authors"]
    assert author == {"name": "echodepth contributors"}
    for name in ("CITATION.cff", "LICENSE"):
        assert author["name"] in (ROOT / name).read_text(), name


def test_the_classifiers_are_those_that_the_workflow_runs() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    versions = re.search(r"python: \[(.+)\]", workflow)
    assert versions is not None
    listed = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)]
    assert re.findall(r'"(3\.\d+)"', versions[1]) == listed == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == ">=3.11"
    for system, name in {"ubuntu": "Linux", "macos": "MacOS", "windows": "Microsoft :: Windows"}.items():
        assert f"{system}-latest" in workflow
        assert any(each.startswith("Operating System ::") and each.endswith(name) for each in PROJECT["classifiers"])


@pytest.mark.slow
def test_the_wheel_has_the_package_alone(wheel: Path) -> None:
    assert wheel.name == f"echodepth-{__version__}-py3-none-any.whl"
    assert wheel_faults(wheel, PACKAGE_FILES) == []
    assert {"echodepth/py.typed", "echodepth/examples/hall_depth.png"} <= PACKAGE_FILES


@pytest.mark.slow
def test_faults_of_a_wheel_are_named(wheel: Path, tmp_path: Path) -> None:
    bad = tmp_path / wheel.name.replace(__version__, "0.0.9")
    with zipfile.ZipFile(wheel) as good, zipfile.ZipFile(bad, "w") as copy:
        for name in good.namelist():
            content = good.read(name)
            if name.endswith("/METADATA"):
                content += b"\n[guide](docs/data.md)\n"
            if name != "echodepth/py.typed":
                copy.writestr(name, content)
        copy.writestr("tests/test_cli.py", "")
    assert wheel_faults(bad, PACKAGE_FILES) == [
        "missing: echodepth/py.typed",
        "does not belong into the wheel: tests/test_cli.py",
        "relative link on PyPI: docs/data.md",
        f"{bad.name} holds version {__version__}",
    ]


@pytest.mark.slow
def test_links_of_the_description_lead_into_the_release(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"echodepth-{__version__}.dist-info/METADATA").decode()
    start = "https://github.com/OWNER/echodepth"
    assert f"({start}/blob/v{__version__}/docs/predict.md)" in text
    assert f"({start}/raw/v{__version__}/docs/images/demo.png)" in text
    assert f"({start}/blob/v{__version__}/docs/simulator.md#your-own-robot)" in text
    assert f"Project-URL: Issues, {start}/issues" in text
    assert placeholders(wheel) == [start]


def test_the_placeholder_of_the_repository_has_known_places() -> None:
    """A search for OWNER finds all that has to be replaced before a release."""
    listed = subprocess.run(["git", "grep", "-l", "OWNER/echodepth"], cwd=ROOT, capture_output=True, text=True)
    known = {"setup.py", "tests/test_release.py", "tests/docs/test_notebooks.py", "CONTRIBUTING.md"}
    assert {name for name in listed.stdout.split() if not name.endswith(".ipynb")} <= known

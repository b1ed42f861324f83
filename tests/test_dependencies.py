"""What is installed: floors that the lock file keeps, a digest for every file, and nothing from a second index."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.txt").read_text()
PINS = dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s\\]+)", LOCK, re.MULTILINE))
LOCKS = sorted(ROOT.glob("requirements*.txt"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_file_has_a_release_within_every_range() -> None:
    pins = {normal(name): Version(version) for name, version in PINS.items()}
    asked = [*PROJECT["dependencies"], *(each for extra in PROJECT["optional-dependencies"].values() for each in extra)]
    for requirement in map(Requirement, asked):
        if normal(requirement.name) not in ("echodepth", "torch"):  # torch is installed from an index of its own
            assert pins[normal(requirement.name)] in requirement.specifier, requirement


def test_every_required_release_has_a_floor() -> None:
    """Without one, an old release that is installed already would stay, and fail later."""
    for requirement in map(Requirement, PROJECT["dependencies"]):
        assert ">=" in str(requirement.specifier), requirement


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_locked_release_has_digests(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    blocks = re.split(r"\n(?=[A-Za-z])", "\n".join(lines))
    assert len(blocks) > 20
    for entry in blocks:
        assert re.match(r"[A-Za-z0-9_.-]+==", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


def test_nothing_comes_from_a_second_index() -> None:
    """Pip takes the newest of what all its indexes have, whoever put it there."""
    for path in (*WORKFLOWS, ROOT / "Makefile", ROOT / ".ci" / "run", *LOCKS):
        assert not re.search(r"extra.index", path.read_text(), re.IGNORECASE), path


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path: object) -> None:
    uses = re.findall(r"uses: (\S+)(.*)", path.read_text())  # type: ignore[attr-defined]
    assert uses
    for action, comment in uses:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action), action
        assert re.search(r"# v\d", comment), f"{action} names no release"


def test_the_page_of_licences_covers_every_dependency() -> None:
    page = (ROOT / "docs" / "licences.md").read_text()
    listed = dict(re.findall(r"^\| ([a-z0-9-]+) \| ([^ ]+) \|", page, re.MULTILINE))
    assert listed["torch"] == "2.13.0"
    missing = {normal(name) for name in PINS} - listed.keys()
    assert not missing
    assert {name: listed[normal(name)] for name in PINS} == PINS


@pytest.mark.parametrize("path", sorted((ROOT / "docker").glob("*.Dockerfile")), ids=lambda path: path.name)
def test_images_hold_the_locked_releases(path: Path) -> None:
    text = path.read_text()
    version = re.search(r"^TORCH := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert version is not None
    assert f"torch=={version[1]}" in text
    assert "--constraint constraints.txt '.[" in text
    assert re.search(r"^USER [1-9]\d*$", text, re.MULTILINE)  # not root
    copied = {
        name.removeprefix("./") for line in re.findall(r"^COPY (.+) \./", text, re.MULTILINE) for name in line.split()
    }
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert copied == {*allowed}
    assert all((ROOT / name).exists() for name in copied)

"""The shape of the package: which part may import which, and what nothing may pull in."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "echodepth"
EVERYWHERE = {"errors", "files"}
FLOORS = [
    {"models", "data", "simulate", "viz", "pages"} | EVERYWHERE,
    {"distillation"},
    {"training", "evaluation", "inference", "doctor", "convert"},
    {"benchmark", "live"},
    {"cli", "__main__"},
]
MODULES = sorted(PACKAGE.rglob("*.py"))
BREAK_INSTALLS = {"torchvision", "torchaudio", "torchcodec", "timm", "segmentation_models_pytorch", "torchdistill"}


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def part(module: str) -> str:
    return module.split(".")[1]


def floor(name: str) -> int:
    return next(index for index, parts in enumerate(FLOORS) if name in parts)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down_and_never_across_the_ground_floor(path: Path) -> None:
    if path == PACKAGE / "__init__.py":
        return  # it offers what lies above it, unread until it is asked for
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for module in imports(path):
        if not module.startswith("echodepth.") or part(module) in {own} | EVERYWHERE:
            continue
        assert floor(part(module)) <= floor(own), f"{path} imports {module} from a floor above"
        if floor(own) == 0:
            pytest.fail(f"{path} imports {module}: the parts of the ground floor know nothing of each other")


def test_importing_the_package_reads_nothing_of_it() -> None:
    listed = (
        "import sys, echodepth; print(*[m for m in sys.modules if m.split('.')[0] in ('echodepth', 'torch', 'numpy')])"
    )
    shown = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stdout.split() == ["echodepth"]


def test_evaluation_knows_nothing_of_training() -> None:
    for path in [*(PACKAGE / "evaluation").glob("*.py"), *(PACKAGE / "inference").glob("*.py")]:
        assert not any(module.startswith("echodepth.training") for module in imports(path)), path


@pytest.mark.parametrize("folder", ["models", "distillation", "simulate"])
def test_lightning_stays_out(folder: str) -> None:
    for path in (PACKAGE / folder).glob("*.py"):
        assert not any(module.split(".")[0] == "lightning" for module in imports(path)), path


def test_nothing_needs_a_package_that_breaks_the_install() -> None:
    for path in MODULES:
        assert not {module.split(".")[0] for module in imports(path)} & BREAK_INSTALLS, path
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [name for extra in project["optional-dependencies"].values() for name in extra]
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    for line in [*wanted, *pinned]:
        assert line.split("=")[0].split(">")[0].lower() not in BREAK_INSTALLS, line


def test_the_wheel_ships_the_package_alone() -> None:
    find = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    assert find["include"] == ["echodepth", "echodepth.*"]


def test_files_stay_short() -> None:
    long = {str(path): n for path in MODULES if (n := len(path.read_text().splitlines())) > 300}
    assert not long

"""The structure of the package: floors, cycles, sizes, words, and what may not be installed."""

import ast
import graphlib
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from echodepth import cli
from echodepth.apps.commands import COMMANDS
from tests.conftest import ROOT

PACKAGE = ROOT / "echodepth"
FLOORS = [
    {"core"},
    {"data", "models", "metrics", "losses", "report"},
    {"distillation", "simulate"},
    {"training", "evaluation", "inference"},
    {"apps", "experiments"},
    {"cli"},
    {"__main__"},
]
"""Imports point to a lower floor; the parts of one floor know nothing of each other."""
MODULES = {
    ".".join(("echodepth", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
BREAK_INSTALLS = {"torchvision", "torchaudio", "torchcodec", "timm", "segmentation_models_pytorch", "torchdistill"}
PRIVATE_DIALECT = re.compile(
    r"look(s|ing)? across|hears nothing|what a place|measured anywhere|\btold\b|pseudo.?truth|\bfilms?\b|here and there"
    r"|clouds? of points|asking the teacher|learnt elsewhere|what runs it|\bdoubts?\b|near and far",
    re.IGNORECASE,
)
"""Phrases of naming.md's left column, whose standard terms are to be used instead."""


def imports(path: Path) -> set[str]:
    """Modules that a file imports anywhere, also inside functions; a package's submodule is named in full."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (submodules & MODULES.keys()) or {node.module}
    return names


@cache
def imported_modules(module: str) -> frozenset[str]:
    return frozenset(name for name in imports(MODULES[module]) if name in MODULES and name != "echodepth")


def floor(module: str) -> int:
    part = module.split(".")[1]
    return next(index for index, parts in enumerate(FLOORS) if part in parts)


BELOW_THE_ROOT = [module for module in MODULES if module != "echodepth"]


def test_every_part_is_on_a_floor() -> None:
    parts = {module.split(".")[1] for module in BELOW_THE_ROOT}
    assert parts == set().union(*FLOORS)


@pytest.mark.parametrize("module", BELOW_THE_ROOT)
def test_imports_point_to_lower_floors(module: str) -> None:
    for imported in imported_modules(module):
        if imported.split(".")[1] != module.split(".")[1]:
            assert floor(imported) < floor(module), f"{module} imports {imported}, which is not on a floor below"


def cycle(graph: Mapping[str, set[str]]) -> list[str]:
    """Nodes that lead back to the first of them; empty if no node does."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        nodes: list[str] = error.args[1]
        return nodes
    return []


def test_no_file_imports_itself_through_others() -> None:
    graph = {module: set(imported_modules(module)) - {module} for module in BELOW_THE_ROOT}
    found = cycle(graph)
    assert not found, f"files import each other: {' -> '.join(found)}"


def test_no_packages_import_each_other() -> None:
    """Sibling packages; a package's own subpackages are part of it."""

    def package(module: str) -> str:
        return module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]

    graph: dict[str, set[str]] = defaultdict(set)
    for module in BELOW_THE_ROOT:
        for imported in imported_modules(module):
            own, other = package(module), package(imported)
            if not (own + ".").startswith(other + ".") and not (other + ".").startswith(own + "."):
                graph[own].add(other)
    found = cycle(graph)
    assert not found, f"packages import each other: {' -> '.join(found)}"


def test_importing_the_package_imports_nothing_else() -> None:
    listed = (
        "import sys, echodepth; print(*[m for m in sys.modules if m.split('.')[0] in ('echodepth', 'torch', 'numpy')])"
    )
    shown = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stdout.split() == ["echodepth"]


def test_the_list_of_commands_needs_no_torch() -> None:
    listed = (
        "import sys; from echodepth import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: print('torch' in sys.modules, 'numpy' in sys.modules, file=sys.stderr)"
    )
    shown = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stderr.split() == ["False", "False"]


@pytest.mark.parametrize("part", ["core", "models", "losses", "metrics", "distillation", "simulate"])
def test_lightning_stays_out(part: str) -> None:
    for path in (PACKAGE / part).rglob("*.py"):
        assert not any(name.split(".")[0] == "lightning" for name in imports(path)), path


def test_nothing_needs_a_package_that_breaks_the_install() -> None:
    for path in MODULES.values():
        assert not {name.split(".")[0] for name in imports(path)} & BREAK_INSTALLS, path
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [name for extra in project["optional-dependencies"].values() for name in extra]
    pinned = (ROOT / "requirements.txt").read_text().splitlines()
    for line in [*wanted, *pinned]:
        assert line.split("=")[0].split(">")[0].lower() not in BREAK_INSTALLS, line


def test_the_wheel_ships_the_package_alone() -> None:
    find = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    assert find["include"] == ["echodepth", "echodepth.*"]


def test_files_have_at_most_300_lines() -> None:
    folders = (ROOT / name for name in ("echodepth", "models", "tests", "benchmarks", "scripts", "examples"))
    paths = [*ROOT.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]
    long = {str(path.relative_to(ROOT)): n for path in paths if (n := len(path.read_text().splitlines())) > 300}
    assert not long


def test_functions_have_at_most_60_lines() -> None:
    long = {
        f"{module}:{node.name}": count
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (count := (node.end_lineno or node.lineno) - node.lineno + 1) > 60
    }
    assert not long


def test_only_the_registries_know_networks_and_datasets_by_name() -> None:
    """Commands ask the registry: outside the entry's own module, its name stands in no comparison and no table."""
    names = {"batvisionv1", "batvisionv2", "rgbd", "simulated", "binaural_attention", "light", "unet_baseline"}
    homes = ("echodepth.data.datasets.", "echodepth.models.networks.", "echodepth.simulate", "echodepth.experiments")
    sound_cards = "echodepth.apps.live."  # one of them is called simulated
    for module, path in MODULES.items():
        if module.startswith((*homes, sound_cards)) or module == "echodepth.models.format_1":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            compared = [*node.comparators, node.left] if isinstance(node, ast.Compare) else []
            keys = node.keys if isinstance(node, ast.Dict) else []
            for value in [*compared, *keys]:
                known = isinstance(value, ast.Constant) and value.value in names
                assert not known, f"{path}:{value.lineno if value else 0}"


def help_text(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        cli.main([*command.split(), "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("command", ["", "train", *(command.name for command in COMMANDS)])
def test_help_is_written_in_the_fields_words(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert not PRIVATE_DIALECT.search(" ".join(help_text(command, capsys).split()))


def test_titles_of_pages_are_written_in_the_fields_words() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for line in path.read_text().splitlines():
            if line.startswith("#"):
                assert not PRIVATE_DIALECT.search(line), f"{path}: {line}"


def test_a_flags_help_is_one_line() -> None:
    """Line breaks of a docstring would show up in the middle of the help text."""
    for module, path in MODULES.items():
        for cls in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)):
            if not cls.name.endswith("Config"):
                continue
            for field, doc in zip(cls.body, cls.body[1:], strict=False):
                if isinstance(field, ast.AnnAssign) and isinstance(doc, ast.Expr):
                    assert doc.lineno == doc.end_lineno, f"{module}:{doc.lineno}"

"""Mutation testing: what is changed, how a change reaches a function, and that each listed mutant still exists."""

import sys
import tomllib
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from scripts import mutate
from scripts.mutate import Mutant, report
from scripts.mutation_runs import FAILED, PASSED, in_a_function, run_imported, swap_functions
from scripts.mutations import mutations
from tests.conftest import ROOT

SOURCE = """LIMIT = 3.0
def scaled(x, factor=2):
    if x < LIMIT and x:
        raise ValueError(f"{x} is below {1 + 1}")
    return min(x * factor, [0.5])
pairs = zip([LIMIT], [LIMIT], strict=True)
"""


def test_every_kind_of_change_is_made_once() -> None:
    changes = {(each.before, each.after) for each in mutations(SOURCE)}
    condition, result = "if x < LIMIT and x:", "return min(x * factor, [0.5])"
    assert changes == {
        ("LIMIT = 3.0", "LIMIT = 6.0"),
        ("def scaled(x, factor=2):", "def scaled(x, factor=3):"),
        (condition, "if (x <= LIMIT) and x:"),
        (condition, "if (x < LIMIT or x):"),
        (condition, "if (not (x < LIMIT and x)):"),
        ('raise ValueError(f"{x} is below {1 + 1}")', "pass"),
        (result, "return max(x * factor, [0.5])"),
        (result, "return min((x / factor), [0.5])"),
        (result, "return min(x * factor, [1.0])"),
    }


def test_a_change_within_a_function_is_swapped_into_it_and_another_needs_an_import(tmp_path: Path) -> None:
    inside = {each.after for each in mutations(SOURCE) if in_a_function(SOURCE, each.source)}
    assert {each.after for each in mutations(SOURCE)} - inside == {"LIMIT = 6.0", "def scaled(x, factor=3):"}
    path = tmp_path / "scaling.py"
    path.write_text(SOURCE.replace("[0.5]", "50"))
    module = ModuleType("scaling")
    exec(compile(path.read_text(), str(path), "exec"), vars(module))
    imported_by_a_test = module.scaled
    assert imported_by_a_test(4) == 8
    swap_functions(path, path.read_text().replace("x * factor", "x / factor"))
    assert imported_by_a_test(4) == 2
    path.with_name("other.py").write_text(SOURCE)
    with pytest.raises(RuntimeError, match="is not imported by its tests"):
        swap_functions(path.with_name("other.py"), SOURCE.replace("x * factor", "x / factor"))


def test_a_constant_before_a_function_in_its_line_needs_an_import() -> None:
    """The function alone was exchanged, for its place in the line changed: the constant's change was never tested."""
    source = "ROWS = [(False, lambda x: x + 1)]\n"
    assert not in_a_function(source, source.replace("False", "True"))
    assert in_a_function(source, source.replace("x + 1", "x - 1"))


def test_a_change_that_removes_an_inner_function_is_swapped_into_the_outer_one(tmp_path: Path) -> None:
    """Its functions could not be paired: the whole run ended with a ValueError."""
    path, source = tmp_path / "removal.py", "def least(x):\n    if x:\n        return min(each for each in x)\n"
    path.write_text(source)
    module = ModuleType("removal")
    exec(compile(source, str(path), "exec"), vars(module))
    changed = source.replace("return min(each for each in x)", "pass")
    assert in_a_function(source, changed)
    swap_functions(path, changed)
    assert module.least([1]) is None


def test_every_listed_mutant_exists_and_has_a_reason() -> None:
    listed = tomllib.loads((ROOT / "scripts" / "equivalent_mutants.toml").read_text())["mutant"]
    for each in listed:
        made = mutations((ROOT / "echodepth" / each["module"]).read_text())
        assert (each["before"], each["after"]) in {(one.before, one.after) for one in made}, each
        assert each["reason"]


def test_mutants_are_counted_by_part_and_by_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equivalent ones that survive are out of the share: of heads.py's other two, one died."""
    monkeypatch.setattr(mutate, "equivalent_reasons", lambda: {("a/b.py", "LIMIT = 3.0", "LIMIT = 6.0"): "unused"})
    limit, *others = mutations(SOURCE)
    mutants = [Mutant("heads", "a/b.py", each) for each in (limit, *others[:2])] + [Mutant("losses", "a/a.py", limit)]
    found = report(mutants, [True, True, False, True])
    rows = {
        "heads": {"mutants": 3, "killed": 1, "equivalent": 1, "survived": 1, "share": 0.5},
        "losses": {"mutants": 1, "killed": 0, "equivalent": 0, "survived": 1, "share": 0.0},
    }
    together = {"mutants": 4, "killed": 1, "equivalent": 1, "survived": 2, "share": 0.333}
    assert found["parts"] == {**rows, "all": together}
    assert list(found["modules"].items()) == [("a/a.py", rows["losses"]), ("a/b.py", rows["heads"])]
    assert [(each["module"], each["before"]) for each in found["survivors"]] == [
        ("a/b.py", others[0].before),
        ("a/a.py", limit.before),
    ]


def test_every_module_of_a_part_exists_and_every_test() -> None:
    for part, (patterns, tests) in mutate.PARTS.items():
        assert all([*(ROOT / "echodepth").glob(pattern)] for pattern in patterns), part
        assert all((ROOT / "tests" / name).exists() for name in tests), part


@pytest.mark.parametrize(
    ("code", "result"), [(pytest.ExitCode.OK, PASSED), (pytest.ExitCode.TESTS_FAILED, FAILED), (4, FAILED)]
)
def test_a_conftest_that_cannot_be_imported_notices_a_change(
    code: int, result: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pytest calls it wrong usage, status 4, which ended the run of all mutants."""
    monkeypatch.setattr(pytest, "main", lambda _: code)
    monkeypatch.setattr(SourceFileLoader, "get_data", SourceFileLoader.get_data)  # both are changed for the process
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    assert run_imported((Path("a.py"), ""), []) == result

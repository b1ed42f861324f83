"""Registries: entries from the package and from outside it, and what a wrong name leads to."""

import sys
from pathlib import Path
from typing import ClassVar

import pytest

from echodepth.core import registry
from echodepth.core.errors import ConfigError
from echodepth.core.registry import Registry, load_plugin


class Animal:
    name: ClassVar[str]


class Cat(Animal):
    name = "cat"


@pytest.fixture
def animals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry[type[Animal]]:
    """A registry of a package that lies in a temporary folder and registers a bear."""
    package = tmp_path / "zoo"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from echodepth.core.registry import Registry\nANIMALS = Registry('animal', 'zoo', 'pet')\n"
    )
    (package / "bear.py").write_text("from zoo import ANIMALS\n@ANIMALS.register\nclass Bear:\n    name = 'bear'\n")
    monkeypatch.syspath_prepend(tmp_path)
    for module in ("zoo", "zoo.bear"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    import zoo  # type: ignore[import-not-found]

    return zoo.ANIMALS  # type: ignore[no-any-return]


def test_the_packages_modules_are_imported_at_the_first_lookup(animals: Registry[type[Animal]]) -> None:
    assert "zoo.bear" not in sys.modules
    assert animals["bear"].__name__ == "Bear"
    assert animals.names() == ["bear"]


def test_entries_from_outside_are_found_beside_those_of_the_package(animals: Registry[type[Animal]]) -> None:
    animals.register(Cat)
    assert animals["cat"] is Cat
    assert animals.names() == ["bear", "cat"]
    assert "cat" in animals
    assert "cow" not in animals


def test_a_wrong_name_is_answered_with_the_nearest_and_the_way_to_add_one(animals: Registry[type[Animal]]) -> None:
    animals.register(Cat)
    with pytest.raises(ConfigError, match=r"--pet caat: there is no such animal; did you mean cat\? there are .*bear"):
        animals["caat"]
    with pytest.raises(ConfigError, match="--plugin MODULE"):
        animals["elephant"]


def test_two_classes_cannot_share_a_name_but_one_may_be_registered_again(animals: Registry[type[Animal]]) -> None:
    animals.register(Cat)
    animals.register(Cat)
    impostor = type("Impostor", (), {"name": "cat"})
    with pytest.raises(ValueError, match="two animals are called 'cat'"):
        animals.register(impostor)


def test_a_plugin_is_found_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("registers_nothing.py").write_text("LOADED = True\n")
    load_plugin("registers_nothing")
    assert sys.modules.pop("registers_nothing").LOADED


def test_a_plugin_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"--plugin no_such_module cannot be imported .*give a module name"):
        load_plugin("no_such_module")


def test_an_installed_plugin_that_is_broken_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        value = "broken.module"

        def load(self) -> None:
            raise ImportError("no module named broken")

    monkeypatch.setattr(registry, "entry_points", lambda group: [Broken()])
    monkeypatch.setattr(registry, "_installed_plugins_loaded", False)
    with pytest.raises(ConfigError, match=r"installed plugin broken.module cannot be imported: no module named broken"):
        registry.load_installed_plugins()

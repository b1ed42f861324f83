"""Registries: networks, datasets, losses, distillation losses and front ends, each found by its name.

A registry is filled by the modules that define its entries. Those of the package are imported when a name is first
looked up; a module outside the package registers its own when ``--plugin MODULE`` or an entry point of the group
``echodepth.plugins`` imports it.
"""

import difflib
import importlib
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable

from echodepth.core.errors import ConfigError

ENTRY_POINT_GROUP = "echodepth.plugins"


@runtime_checkable
class Named(Protocol):
    """What every entry has, usually a class.

    Attributes:
        name: key in the registry, and value of the flag that selects it.
    """

    name: str


Entry = TypeVar("Entry", bound=Named)


class Registry(Generic[Entry]):
    """Entries of one kind by name; iteration is in the order of the names.

    Args:
        kind: what an entry is, for messages: "network".
        package: whose modules register the built-in entries, for instance ``echodepth.models.networks``.
        flag: the command-line flag that selects an entry, if there is one.
    """

    def __init__(self, kind: str, package: str, flag: str | None = None) -> None:
        self.kind = kind
        self.package = package
        self.flag = flag
        self._entries: dict[str, Entry] = {}
        self._is_loaded = False

    def register(self, entry: Entry) -> Entry:
        """Add an entry under its ``name``; used as a decorator of the class that is the entry.

        Raises:
            ValueError: another entry has that name.
        """
        known = self._entries.get(entry.name)
        if known is not None and _origin(known) != _origin(entry):
            raise ValueError(f"two {self.kind}s are called {entry.name!r}: {_origin(known)} and {_origin(entry)}")
        self._entries[entry.name] = entry
        return entry

    def __getitem__(self, name: str) -> Entry:
        """The entry of that name.

        Raises:
            ConfigError: there is none; the message lists those there are.
        """
        self._load()
        if name not in self._entries:
            name = name[:60]  # out of a file it has any length
            said = (
                f"--{self.flag} {name}: there is no such {self.kind}" if self.flag else f"unknown {self.kind} {name!r}"
            )
            raise ConfigError(f"{said}; {did_you_mean(name, self.names())}, or load your own with --plugin MODULE")
        return self._entries[name]

    def __contains__(self, name: str) -> bool:
        self._load()
        return name in self._entries

    def __iter__(self) -> Iterator[Entry]:
        """All entries."""
        self._load()
        return iter([self._entries[name] for name in sorted(self._entries)])

    def names(self) -> list[str]:
        """All names."""
        return [entry.name for entry in self]

    def _load(self) -> None:
        if self._is_loaded:
            return
        self._is_loaded = True
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        load_installed_plugins()


def _origin(entry: object) -> tuple[str, str]:
    cls = entry if isinstance(entry, type) else type(entry)
    return cls.__module__, cls.__qualname__


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Names to choose from, with the one that is spelled most alike first."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    listed = f"there are {', '.join(names)}" if names else "there is none"
    return f"did you mean {close[0]}? {listed}" if close else listed


_installed_plugins_loaded = False


def load_installed_plugins() -> None:
    """Import the modules that installed packages name in the entry point group ``echodepth.plugins``, once.

    Raises:
        ConfigError: one of them cannot be imported.
    """
    global _installed_plugins_loaded
    if _installed_plugins_loaded:
        return
    _installed_plugins_loaded = True
    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            point.load()
        except ImportError as error:
            raise ConfigError(f"the installed plugin {point.value} cannot be imported: {error}") from error


def load_plugin(module: str) -> None:
    """Import a module that registers entries of its own; it may lie in the working directory.

    Args:
        module: a dotted name, as for ``python -m``.

    Raises:
        ConfigError: it cannot be imported.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"--plugin {module} cannot be imported ({error}): give a module name such as my_network, "
            "in the working directory or installed"
        ) from error

"""What the documentation's site has beyond the pages in docs/: its navigation, all flags, and the Python API.

ProperDocs calls the functions named ``on_*`` while it builds (hooks in mkdocs.yml). Only the configs are imported,
which import nothing heavy; the API is read from the sources, without running them.
"""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import griffe
import tyro
from properdocs.config.defaults import ProperDocsConfig
from properdocs.structure.files import File, Files
from properdocs.structure.pages import Page
from pygments.formatters import HtmlFormatter

from echodepth import cli
from echodepth.data.config import DataConfig
from echodepth.training.config import BinauralConfig, TrainConfig, TrueOrFalse

ROOT = Path(__file__).resolve().parent.parent
GUIDES = (
    *("data", "own_data", "simulator", "training", "attention", "distillation", "bring_your_own", "evaluation"),
    *("predict", "demo", "live", "export", "speed", "recipes"),
)
"""In the order in which a reader meets them. Pages that are not there are left out, unknown ones come last."""
FRAME = {"concepts": "Concepts", "faq": "Questions"}
"""Pages that come right after the quick start."""
PARTS = {
    "inference": "Use a model",
    "models": "Networks, front ends and models on disk",
    "data": "Datasets and samples",
    "simulate": "Simulated rooms",
    "distillation": "Teachers and terms",
    "training": "Losses and runs",
    "evaluation": "Protocols, figures and comparisons",
    "benchmark": "Studies over methods and seeds",
    "viz": "Pictures",
    "errors": "Errors",
    "files": "Files written whole",
}
"""The package's parts in the order of use. A part that is not named comes last, under its own name."""
LEADS_UP = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\./[^)#\s]+)(?:#[^)\s]*)?\)")
POSITIONAL = typing.get_args(tyro.conf.Positional[int])[1]
SHARED = {
    DataConfig: ("Data", "Of all commands that read data"),
    TrainConfig: ("Training", "Of the three training commands"),
    BinauralConfig: ("train binaural", ""),
}
"""Configs that others build on; the flags they share are listed once, under this heading."""


def on_config(config: ProperDocsConfig) -> ProperDocsConfig:
    """Lay out the navigation from the pages that are there, so that a new one needs no entry."""
    docs = Path(config.docs_dir)
    paths = sorted(path.relative_to(docs) for path in docs.rglob("*.md"))
    pages = {path.with_suffix("").as_posix(): path.as_posix() for path in paths if path.parts[0] != "results"}
    guides = [name for name in GUIDES if name in pages]
    guides += sorted(pages.keys() - {*GUIDES, *FRAME, "index"})
    results = [path.as_posix() for path in paths if path.parts[0] == "results" and path.name != "README.md"]
    config.nav = [
        {"Quick start": "index.md"},
        *({title: pages[name]} for name, title in FRAME.items() if name in pages),
        {"How to": [pages[name] for name in guides]},
        {"Results": ["results/README.md", *results]},
        {"Reference": [{"All flags": "flags.md"}, *({title: f"api/{part}.md"} for part, title in _parts().items())]},
    ]
    return config


def on_files(files: Files, config: ProperDocsConfig) -> Files:
    """Add the pages that are written anew by each build."""
    colours = HtmlFormatter(style="friendly").get_style_defs(".highlight")
    files.append(File.generated(config, "code.css", content=colours))
    files.append(File.generated(config, "flags.md", content=flags_page()))
    for part, title in _parts().items():
        files.append(File.generated(config, f"api/{part}.md", content=api_page(part, title)))
    return files


def on_page_markdown(markdown: str, page: Page, config: ProperDocsConfig, files: Files) -> str:
    """Name a file of the repository that the site does not hold, where a page links to it."""
    docs = Path(config.docs_dir).resolve()

    def named(link: re.Match[str]) -> str:
        target = (docs / page.file.src_uri).parent.joinpath(link[2]).resolve()
        if not target.exists() or target.is_relative_to(docs):
            return link[0]
        path = target.relative_to(ROOT)
        return f"`{path}`" if link[1].strip("`") == str(path) else f"{link[1]} (`{path}` in the repository)"

    return LEADS_UP.sub(named, markdown)


# --- the Python API ---


def _parts() -> dict[str, str]:
    package = ROOT / "echodepth"
    there = {path.stem for path in package.iterdir() if path.stem[0] != "_" and path.suffix in ("", ".py")} - {"cli"}
    known = {part: title for part, title in PARTS.items() if part in there}
    return known | {part: part for part in sorted(there - known.keys())}


def api_page(part: str, title: str) -> str:
    """A page that asks mkdocstrings for every module of a part of the package."""
    path = ROOT / "echodepth" / part
    names = sorted({each.stem for each in path.glob("*.py")} - {"__init__", "config"})  # flags have a page of their own
    modules = [f"{part}.{name}" for name in names] or [part]
    return "\n\n".join([f"# {title}", *(f"::: echodepth.{module}" for module in modules)]) + "\n"


# --- all flags ---


def flags_page() -> str:
    """Every command with its flags, as ``--help`` explains them."""
    commands = dict(_commands(cli.Command))
    lines = [
        "# All flags",
        "",
        "Written from the same source as `--help`. Flags take underscores or hyphens.",
        "A flag with no value is on where it stands, and off as `--no_flag`.",
        "",
    ]
    for config, (heading, note) in SHARED.items():
        if note:
            lines += [f"## {heading}", "", f"{note}.", "", *_table(config), ""]
    for name, config in commands.items():
        lines += [f"## {name}", "", f"`echodepth {name}`: {inspect.getdoc(config)}", ""]
        lines += [*_inherited(config), *_table(config), ""]
    return "\n".join(lines)


def _commands(union: Any, prefix: str = "") -> Iterator[tuple[str, type]]:
    """The subcommands of a tyro union by their full name; a dataclass with one field ``run`` holds more of them."""
    for member in typing.get_args(union):
        config, subcommand = typing.get_args(member)
        name = f"{prefix}{subcommand.name}"
        fields = typing.get_type_hints(config, include_extras=True)
        if fields.keys() == {"run"}:
            yield from _commands(fields["run"], f"{name} ")
        else:
            yield name, config


def _inherited(config: type) -> list[str]:
    headings = [SHARED[base][0] for base in config.__mro__[1:] if base in SHARED]
    if not headings:
        return []
    links = ", ".join(f"[{heading}](#{heading.lower().replace(' ', '-')})" for heading in headings)
    return [f"Also takes the flags of {links}. Its own:", ""]


def _table(config: type) -> list[str]:
    help_texts = dict(_help_texts(config))
    hints = typing.get_type_hints(config, include_extras=True)
    rows = [
        f"| {_spelt(field.name, hints[field.name])} | {_values(hints[field.name])} "
        f"| {_default(field)} | {help_texts[field.name]} |"
        for field in dataclasses.fields(config)
        if field.name in help_texts
    ]
    return ["| flag | values | default | meaning |", "|---|---|---|---|", *rows]


def _help_texts(config: type) -> Iterator[tuple[str, str]]:
    """The docstrings of the fields that a config defines, and of those it inherits from one that is listed nowhere."""
    for base in reversed(config.__mro__):
        if base is config or (dataclasses.is_dataclass(base) and base not in SHARED):
            path = Path(inspect.getfile(base))
            module = griffe.visit(base.__module__, filepath=path, code=path.read_text())
            for name, attribute in module[base.__name__].attributes.items():
                if attribute.docstring is not None and name in {field.name for field in dataclasses.fields(base)}:
                    yield name, _cell(attribute.docstring.value)


def _cell(text: str) -> str:
    """One line of a table. What looks like a placeholder would be taken for HTML."""
    return re.sub(r"<(\w+)>", r"&lt;\1&gt;", " ".join(text.split())).replace("|", r"\|")


def _spelt(name: str, hint: Any) -> str:
    return f"`{name.upper()}`" if POSITIONAL in typing.get_args(hint)[1:] else f"`--{name}`"


def _values(hint: Any) -> str:
    origin, members = typing.get_origin(hint), typing.get_args(hint)
    if hint == TrueOrFalse:
        return "`True`, `False`"
    if origin is typing.Annotated:
        return _values(members[0])
    if origin is Literal:
        return ", ".join(f"`{member}`" for member in members)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_values(member) for member in members if member is not type(None))
    if origin in (tuple, list):
        return (
            f"any of {_values(members[0])}" if typing.get_origin(members[0]) is Literal else f"{_values(members[0])} …"
        )
    names = {bool: "no value", str: "text", Path: "path", int: "integer", float: "number"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _default(field: "dataclasses.Field[Any]") -> str:
    value = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    if value is dataclasses.MISSING:
        return "required"
    if value is None or value == ():
        return ""
    return f"`{' '.join(map(str, value)) if isinstance(value, tuple | list) else value}`"

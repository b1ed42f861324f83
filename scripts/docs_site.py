"""Sphinx extension of the documentation site: its navigation, the page of all flags, and the pages of the Python API.

The pages are plain Markdown that GitHub shows as well, so that everything that only Sphinx knows is added while a page
is read. On a page below ``docs/api``, a list item that is only the full name of an object becomes its documentation,
from its docstring.
"""

import importlib
import re
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx
from sphinx.ext.autodoc import Options
from sphinx.util import logging

from scripts.flags_page import flags_page

ROOT = Path(__file__).resolve().parent.parent
NAVIGATION = {
    "Tasks": (
        *("predict", "demo", "live", "own_data", "training", "distillation", "evaluation", "export", "simulator"),
        *("bring_your_own", "recipes", "devices"),
    ),
    "Background": ("concepts", "attention", "glossary", "faq", "speed", "related_software"),
    "Results": ("results/README", "results/distillation", "results/students"),
    "Reference": (
        "data",
        "flags",
        "api/prediction",
        "api/networks",
        "api/data",
        "api/losses",
        "api/evaluation",
        "licences",
    ),
}
"""Pages in reading order. A page that is not listed comes last in the group of its folder, or else of the tasks."""
FOLDERS = {"results": "Results", "api": "Reference"}
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
API_ENTRY = re.compile(r"^- `(echodepth\.[\w.]+)`$", re.MULTILINE)
OBJECT_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
logger = logging.getLogger(__name__)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the changes to pages; Sphinx calls this."""
    app.add_lexer("csv", TextLexer)
    app.connect("source-read", on_source_read)
    app.connect("autodoc-process-signature", on_signature)
    return {"parallel_read_safe": True}


def on_source_read(app: Sphinx, page: str, source: list[str]) -> None:
    """Complete the Markdown of a page. ``source`` has one entry, its text, and is changed in place."""
    text = flags_page() if page == "flags" else source[0]
    if page.startswith("api/"):
        text = API_ENTRY.sub(lambda entry: _directive(entry[1]), text)
    if page == app.config.root_doc:
        text += navigation(Path(app.srcdir))
    source[0] = LINK.sub(lambda link: link_of_page(link, Path(app.srcdir), page), text)


def navigation(docs: Path) -> str:
    """The existing pages in groups, as hidden tables of contents; a new page needs no entry.

    Args:
        docs: the folder of the pages.
    """
    pages = {path.relative_to(docs).with_suffix("").as_posix() for path in docs.rglob("*.md")} - {"index"}
    groups = {title: [page for page in listed if page in pages] for title, listed in NAVIGATION.items()}
    for page in sorted(pages.difference(*NAVIGATION.values())):
        groups[FOLDERS.get(page.partition("/")[0], "Tasks")].append(page)
    return "".join(
        "\n\n```{toctree}\n:hidden:\n:caption: " + title + "\n\n" + "\n".join(listed) + "\n```\n"
        for title, listed in groups.items()
        if listed
    )


def link_of_page(link: re.Match[str], docs: Path, page: str) -> str:
    """A link of a page. Files of the repository outside docs/ become names, since the site does not contain them."""
    title, target = link[1], link[2]
    if target.startswith("/"):
        logger.warning("a link from the root, which GitHub reads otherwise: %s", target, location=page, type="links")
    if not target.startswith("../"):
        return link[0]
    path = (docs / page).parent.joinpath(target.partition("#")[0]).resolve()
    if not path.exists() or path.is_relative_to(docs.resolve()):
        return link[0]
    name = path.relative_to(ROOT).as_posix()
    return f"`{name}`" if title.strip("`") == name else f"{title} (`{name}` in the repository)"


def _directive(name: str) -> str:
    """The documentation of an object from its docstring."""
    module, _, attribute = name.rpartition(".")
    value = getattr(importlib.import_module(module), attribute)
    kind = "class" if isinstance(value, type) else "function" if callable(value) else "data"
    options = ":members:" if isinstance(value, type) else ""
    return f"```{{eval-rst}}\n.. auto{kind}:: {name}\n   {options}\n```"


def on_signature(
    app: Sphinx, what: str, name: str, obj: object, options: Options, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """Remove the addresses of default values in memory, which differ from build to build."""
    return OBJECT_ADDRESS.sub("", signature or "") or None, returns

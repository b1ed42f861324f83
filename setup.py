"""What pyproject.toml cannot say: the project's addresses, and README.md with absolute links as the page on PyPI."""

import re
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
REPOSITORY = "https://github.com/OWNER/echodepth"
"""OWNER stands for an account until the repository has a public address; `make dist RELEASE=1` refuses it."""
RELATIVE_LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)\s]+)(?=\))")
IMAGE_SUFFIXES = (".png", ".jpg", ".svg")


def description(version: str) -> str:
    """README.md, whose links to files lead to the same files of the release in the repository."""

    def absolute(link: re.Match[str]) -> str:
        kind = "raw" if link[1].endswith(IMAGE_SUFFIXES) else "blob"
        return f"{REPOSITORY}/{kind}/v{version}/{link[1]}"

    return RELATIVE_LINK.sub(absolute, (ROOT / "README.md").read_text(encoding="utf-8"))


def package_version() -> str:
    """``__version__`` of the package, without importing it."""
    source = (ROOT / "echodepth" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', source, re.MULTILINE)
    if found is None:
        raise SystemExit("echodepth/__init__.py has no line __version__ = ...")
    return found[1]


setup(
    version=package_version(),
    long_description=description(package_version()),
    long_description_content_type="text/markdown",
    project_urls={
        "Repository": REPOSITORY,
        "Documentation": f"{REPOSITORY}/blob/main/docs/index.md",
        "Issues": f"{REPOSITORY}/issues",
        "Changelog": f"{REPOSITORY}/blob/main/CHANGELOG.md",
    },
)

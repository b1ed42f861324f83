"""Print docs/licences.md: the licences of all packages in requirements.txt, from the metadata of those installed."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAME = re.compile(r"[A-Za-z0-9_.-]+")
INTRODUCTION = """# Licences of dependencies

echodepth itself is under the MIT licence. `make licences` made this page from the metadata of the packages that
`requirements.txt` lists, and of torch. **Required** packages come with `pip install echodepth`, those of an extra with
`pip install 'echodepth[EXTRA]'`; the others are needed by these."""


def licence(package: str) -> tuple[str, str] | None:
    """Version and licence of an installed package; None for one that is not installed."""
    try:
        known = metadata(package)
    except PackageNotFoundError:
        return None
    classifiers = [
        line.split(" :: ")[-1] for line in known.get_all("Classifier") or [] if line.startswith("License ::")
    ]
    # An expression is exact; a text may be the whole licence, of which the first line is its name.
    stated = known["License-Expression"] or " / ".join(classifiers) or (known["License"] or "").strip().split("\n")[0]
    return known["Version"], stated[:80] or "not stated"


def groups() -> dict[str, str]:
    """``required`` or the extras of every package that pyproject.toml names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {"required": project["dependencies"]} | project["optional-dependencies"]
    found: dict[str, list[str]] = {}
    for group, requirements in asked.items():
        for requirement in requirements:
            found.setdefault(normal(requirement), []).append(group)
    return {package: ", ".join(names) for package, names in found.items()}


def normal(requirement: str) -> str:
    """Name of a package as registries compare it."""
    match = NAME.match(requirement)
    assert match is not None, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def main() -> None:
    """Print the page."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    packages = sorted({"torch", *(normal(line) for line in lines if "==" in line)})
    asked = groups()
    print(f"{INTRODUCTION}\n\n| package | version | needed for | licence |\n|---|---|---|---|")
    for package in packages:
        if (found := licence(package)) is not None:
            print(f"| {package} | {found[0].partition('+')[0]} | {asked.get(package, '')} | {found[1]} |")


if __name__ == "__main__":
    main()

"""The tables of docs/speed.md and docs/devices.md, from the files in docs/results.

python -m benchmarks.report
"""

import json

from benchmarks.data_scaling import TABLE, read_rows, summary
from benchmarks.devices.tables import tables
from benchmarks.timing import KEPT
from echodepth.core.atomic_io import atomic_write

PAGE, DEVICES = KEPT.parents[1] / "speed.md", KEPT.parents[1] / "devices.md"


def table() -> str:
    lines = ["| what | ratio | ours | other | unit | runs |", "|---|---|---|---|---|---|"]
    for name, kept in json.loads(KEPT.read_text()).items():
        figures = (f"{kept[figure]:.3g}" for figure in ("ratio", "ours", "other"))
        lines.append(f"| `{name}` | {' | '.join(figures)} | {kept['unit']} | {kept['runs']} |")
    return "\n".join(lines) + "\n"


def insert(page: str, section: str, text: str) -> str:
    """The page with a text between the marks of a section."""
    begin, end = f"<!-- {section} -->\n", f"<!-- end of {section} -->\n"
    before, rest = page.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n{text}\n{end}{after}"


def main() -> None:
    page = insert(PAGE.read_text(encoding="utf-8"), "figures", table())
    page = insert(page, "frames", summary(read_rows(TABLE)) + "\n")
    with atomic_write(PAGE) as unfinished:
        unfinished.write_text(page, encoding="utf-8")
    page = DEVICES.read_text(encoding="utf-8")
    page = insert(page, "cuda", tables(json.loads(KEPT.with_name("benchmarks-cuda.json").read_text())))
    with atomic_write(DEVICES) as unfinished:
        unfinished.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()

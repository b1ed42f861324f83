"""The table of docs/speed.md, from docs/results/benchmarks.json.

python -m benchmarks.report
"""

import json

from benchmarks.timing import KEPT
from echodepth.core.atomic_io import atomic_write

PAGE = KEPT.parents[1] / "speed.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"


def table() -> str:
    lines = ["| what | ratio | ours | other | unit | runs |", "|---|---|---|---|---|---|"]
    for name, kept in json.loads(KEPT.read_text()).items():
        figures = (f"{kept[figure]:.3g}" for figure in ("ratio", "ours", "other"))
        lines.append(f"| `{name}` | {' | '.join(figures)} | {kept['unit']} | {kept['runs']} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    with atomic_write(PAGE) as unfinished:
        unfinished.write_text(before + BEGIN + "\n" + table() + "\n" + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()

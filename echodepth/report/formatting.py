"""Numbers as text."""

import math


def number(value: float) -> str:
    """Three decimals, two from ten on, a dash for NaN or infinity."""
    return "–" if not math.isfinite(value) else f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def signed(value: float) -> str:
    """As ``number``, always with a sign."""
    return number(value) if not math.isfinite(value) else f"{'−' if value < 0 else '+'}{number(abs(value))}"


def raw(value: float) -> str:
    """All digits, for sorting by a script; empty for NaN or infinity."""
    return repr(float(value)) if math.isfinite(value) else ""


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown; vertical bars within cells are escaped."""
    lines = [header, ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

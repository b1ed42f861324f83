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

"""JSON without NaN, which the format does not know."""

import json
import math
from typing import Any


def to_json(value: dict[str, Any]) -> str:
    """Strict JSON: NaN, which it does not know, becomes null."""
    return json.dumps(without_nan(value, None), indent=2, allow_nan=False) + "\n"


def without_nan(value: Any, stand_in: Any) -> Any:
    """The value with ``stand_in`` for every NaN and infinity in it, at any depth."""
    if isinstance(value, dict):
        return {name: without_nan(entry, stand_in) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry, stand_in) for entry in value]
    return stand_in if isinstance(value, float) and not math.isfinite(value) else value

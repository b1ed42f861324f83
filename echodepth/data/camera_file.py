"""``camera.json`` in the root of a dataset: the field of view of the camera that recorded it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from echodepth.core.errors import ConfigError, DataError
from echodepth.core.field_of_view import FieldOfView

CAMERA_FILE = "camera.json"
DEGREES = "field_of_view_degrees"


def read_camera(path: Path, part: str | None = None) -> FieldOfView | None:
    """The camera that a JSON file describes, or None if there is no such file or no such part.

    The file, or its entry ``part``, holds ``{"field_of_view_degrees": [horizontal, vertical]}``, or focal lengths and
    size of the images in pixels, ``{"fx": 517.3, "fy": 516.5, "width": 640, "height": 480}``.

    Raises:
        DataError: the file holds neither.
    """
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
        if part is not None and part not in content:
            return None
        return parse_camera(content if part is None else content[part])
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError, ConfigError) as error:
        raise DataError(
            f"{path} is no camera ({error!r}): write "
            f'{{"{DEGREES}": [86, 57]}} or {{"fx": 517.3, "fy": 516.5, "width": 640, "height": 480}}'
        ) from error


def parse_camera(content: Mapping[str, Any]) -> FieldOfView:
    """The field of view in the content of a ``camera.json``; a KeyError if it holds none."""
    if DEGREES in content:
        horizontal, vertical = content[DEGREES]
        return FieldOfView(float(horizontal), float(vertical))
    return FieldOfView.from_focal_lengths(*(content[name] for name in ("fx", "fy", "width", "height")))

"""``camera.json`` in the root of a dataset: the field of view of the camera that recorded it."""

from pathlib import Path
from typing import Any

from echodepth.core.errors import ConfigError, DataError
from echodepth.core.field_of_view import FieldOfView
from echodepth.core.schema import SchemaError, check, read_json

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
        content = check(read_json(path), dict[str, Any], "")
        if part is not None and part not in content:
            return None
        return parse_camera(content if part is None else content[part])
    except (OSError, SchemaError, ConfigError) as error:
        raise DataError(
            f"{path} is no camera ({error}): write "
            f'{{"{DEGREES}": [86, 57]}} or {{"fx": 517.3, "fy": 516.5, "width": 640, "height": 480}}'
        ) from error


def parse_camera(content: object) -> FieldOfView:
    """The field of view in the content of a ``camera.json``; a SchemaError or ConfigError if it holds none."""
    values = check(content, dict[str, Any], "")
    if DEGREES in values:
        return FieldOfView(*check(values[DEGREES], tuple[float, float], DEGREES))
    fx, fy, width, height = (check(values.get(name), float, name) for name in ("fx", "fy", "width", "height"))
    if min(fx, fy) <= 0:
        raise SchemaError("fx and fy must be above 0")
    return FieldOfView.from_focal_lengths(fx, fy, width, height)

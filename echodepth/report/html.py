"""Pages for people, each one file that needs no other: templates are filled here, and pictures go inside."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jinja2
import numpy as np
from jaxtyping import UInt8
from PIL import Image


def template(path: Path, **filters: Callable[..., Any]) -> jinja2.Template:
    """A template that escapes what it is given, and that a name it does not know stops.

    Args:
        path: of the template; it may include others of its folder.
        filters: functions that it knows, by name.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([path.parent, Path(__file__).with_name("templates")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(path.name)


def data_address(picture: UInt8[np.ndarray, "h w 3"] | Image.Image, kind: Literal["PNG", "JPEG"] = "PNG") -> str:
    """A picture inside an address, so that the page needs no other file."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    encoded = io.BytesIO()
    image.save(encoded, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(encoded.getvalue()).decode('ascii')}"

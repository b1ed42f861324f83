"""Self-contained HTML pages: templates, and pictures as data URIs."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jinja2
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from echodepth.report.formatting import number, raw, signed


@dataclass(frozen=True)
class ReportImage:
    """A captioned picture of a page, as a data URI."""

    caption: str
    source: str


def template(path: Path, **filters: Callable[..., Any]) -> jinja2.Template:
    """A Jinja template that escapes its values and raises on an undefined name.

    Args:
        path: of the template; it may extend, include and import files of its own folder and of ``report/templates``.
        filters: further filters by name, beside ``number``, ``signed`` and ``raw``.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([path.parent, Path(__file__).with_name("templates")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "signed": signed, "raw": raw, **filters}
    return environment.get_template(path.name)


def data_uri(picture: UInt8[np.ndarray, "h w 3"] | Image.Image, kind: Literal["PNG", "JPEG"] = "PNG") -> str:
    """A picture encoded as a data URI."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    encoded = io.BytesIO()
    image.save(encoded, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(encoded.getvalue()).decode('ascii')}"

"""Page templates: shared macros, escaping, undefined names, and pictures that survive as data URIs."""

import base64
import io
import re
from pathlib import Path

import jinja2
import numpy as np
import pytest
from PIL import Image

from echodepth.report.html import data_uri, template
from echodepth.report.svg_chart import Series, histogram, line_chart

CHILD = """{% extends "page.html.jinja" %}
{% import "parts.html.jinja" as parts %}
{% block title %}{{ name }}{% endblock %}
{% block header %}<h1>{{ name }}</h1>{% endblock %}
{% block content %}{{ parts.charts(charts) }}{{ value | number }}{% endblock %}
"""


def render(folder: Path, **values: object) -> str:
    (folder / "child.html.jinja").write_text(CHILD)
    return template(folder / "child.html.jinja").render(version="1", **values)


def test_a_page_has_the_skeleton_and_its_own_parts(tmp_path: Path) -> None:
    charts = [line_chart("y", [Series("a", "s0", [(0.0, 1.0), (1.0, 2.0)], "all")], "x"), histogram("h", [1.0, 2.0])]
    page = render(tmp_path, name="<night>", charts=charts, value=1.5)
    assert page.startswith("<!doctype html>")
    assert "<title>&lt;night&gt; · echodepth</title>" in page
    assert "<h1>&lt;night&gt;</h1>" in page
    assert page.count("<svg") == 2
    assert page.count("<circle") == 2
    assert page.count("<rect") == len(charts[1].bars)
    assert "1 to 2, median 1.5" in page
    assert "1.500" in page
    for variable in set(re.findall(r"var\(--([\w-]+)\)", page)):
        assert f"--{variable}:" in page, variable


def test_an_undefined_name_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(jinja2.UndefinedError, match="name"):
        render(tmp_path, charts=[], value=1.5)


def test_a_data_uri_holds_the_picture() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    head, _, body = data_uri(rgb).partition(",")
    assert head == "data:image/png;base64"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(body)))), rgb)
    assert data_uri(Image.fromarray(rgb), "JPEG").startswith("data:image/jpeg;base64,")

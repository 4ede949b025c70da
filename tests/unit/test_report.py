"""How results are shown: table, drawing, page and slider."""

from __future__ import annotations

import base64
import math
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
import pyvips

from vdsr.report import page as frame
from vdsr.report import svg
from vdsr.report.slider import slider
from vdsr.report.table import Table

TABLE = Table(["model", "PSNR dB"], [["a<b", "30.5"], ["longer", "7"]])


class Tags(HTMLParser):
    """Every tag with its attributes, in order; what is not closed is left in `open`."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_one_table_three_ways():
    assert TABLE.text() == "model   PSNR dB\na<b        30.5\nlonger        7"
    assert TABLE.markdown().splitlines()[2] == "| a<b | 30.5 |"
    assert "<td>a&lt;b</td><td class=n>30.5</td>" in TABLE.html()
    assert Tags(TABLE.html()).open == []


def places(drawing: str, tag: str, *names: str) -> list[tuple[float, ...]]:
    root = ElementTree.fromstring(drawing)
    found = root.iter(f"{{http://www.w3.org/2000/svg}}{tag}")
    return [tuple(float(one.attrib[name]) for name in names) for one in found]


def test_lines_stand_where_their_values_are():
    series = {"a": [(2, 37.0), (3, 33.0), (4, 31.0)], "b & c": [(2, 36.0), (3, math.nan)]}
    drawing = svg.lines(series, label="PSNR <dB>")
    dots = places(drawing, "circle", "cx", "cy")
    assert len(dots) == 4
    assert dots[0][0] < dots[1][0] < dots[2][0]
    assert dots[0][1] < dots[1][1] < dots[2][1]
    assert dots[3][0] == dots[0][0]
    # As far down as the values say: 37 - 36 to 37 - 33 is 1 to 4.
    assert (dots[3][1] - dots[0][1]) * 4 == pytest.approx(dots[1][1] - dots[0][1], abs=0.5)
    assert svg.lines({"a": [(2, math.nan)]}, label="") == ""


def test_points_over_a_logarithmic_axis():
    points = [svg.Point(x, 30 + x, f"p{x}", "#000") for x in (1.0, 10.0, 100.0)]
    drawing = svg.points(points, level=("bicubic", 28.0), across="Mpixel/s", label="PSNR")
    dots = places(drawing, "circle", "cx", "cy")
    assert dots[0][0] - dots[1][0] == pytest.approx(dots[1][0] - dots[2][0], abs=0.2)
    assert "1 p100.0" in drawing
    assert "bicubic" in drawing


def test_curves_begin_at_0():
    series = {"a & b": [(0.0, 0.0), (1.5, 4.0), (3.0, 8.0)], "c": [(0.0, 0.0), (6.0, 8.0)]}
    drawing = svg.curves(series, across="hours", label="done <1>")
    root = ElementTree.fromstring(drawing)
    one, other = (
        [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        for line in root.iter("{http://www.w3.org/2000/svg}polyline")
    )
    assert one[0] == other[0]
    assert one[2][1] == other[1][1]
    assert one[2][0] - one[0][0] == pytest.approx((other[1][0] - other[0][0]) / 2, abs=0.1)
    assert one[1][1] == pytest.approx((one[0][1] + one[2][1]) / 2, abs=0.1)
    assert "a &amp; b" in drawing


def test_bars_are_as_long_as_their_values():
    lengths = places(svg.bars([("a", 1.0), ("b", 2.0), ("c", 0.0)], unit="dB"), "rect", "width")
    assert lengths[1][0] == pytest.approx(2 * lengths[0][0], abs=0.2)
    assert lengths[2][0] == 0.0
    assert places(svg.bars([], unit="dB"), "rect", "width") == []


def test_a_page_needs_no_other_file():
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    body = [frame.figures([frame.figure(picture, "a < b")])]
    text = frame.page("Models <x>", body, warnings=["no & never"])
    found = Tags(text.partition(">")[2])
    assert found.open == []
    assert "<title>Models &lt;x&gt;</title>" in text
    assert "no &amp; never" in text
    (source,) = [tag[1]["src"] for tag in found.tags if tag[0] == "img"]
    data = base64.b64decode(str(source).removeprefix("data:image/png;base64,"))
    assert np.array_equal(pyvips.Image.new_from_buffer(data, "").numpy(), picture)
    addresses = [v for _, a in found.tags for k, v in a.items() if k in ("src", "href")]
    assert all(str(address).startswith("data:") for address in addresses)


def test_a_slider_is_an_input_that_keys_can_move():
    text = slider("data:a", "data:b", names=("bicubic", 'by "vdsr"'), width=40, height=30)
    found = Tags(text)
    assert found.open == []
    assert "$" not in text
    (control,) = [attributes for tag, attributes in found.tags if tag == "input"]
    assert (control["type"], control["min"], control["max"]) == ("range", "0", "100")
    assert "bicubic" in str(control["aria-label"])
    pictures = [attributes for tag, attributes in found.tags if tag == "img"]
    assert [(p["src"], p["alt"], p["width"]) for p in pictures] == [
        ("data:a", "bicubic", "40"),
        ("data:b", 'by "vdsr"', "40"),
    ]

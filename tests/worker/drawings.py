"""Drawings of the documents, read back into the reports they were drawn from."""

import re
from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

SVG = "{http://www.w3.org/2000/svg}"
DOCS = Path(__file__).parents[2] / "docs"


def elements(drawing: str, tag: str, **attributes: str) -> list[Element]:
    """Elements of a drawing with these attributes; `kind` is the class."""
    wanted = {("class" if name == "kind" else name): value for name, value in attributes.items()}
    found = fromstring(drawing).iter(f"{SVG}{tag}")
    return [one for one in found if all(one.get(name) == value for name, value in wanted.items())]


def shares_along(drawing: str, numbers: list[float], upright: bool) -> list[float]:
    """Shares of one out of places in pixels, by the texts 0% and 100% of the drawing."""
    texts = {one.text: one for one in elements(drawing, "text", **{"text-anchor": "end" if upright else "middle"})}
    least, most = (float(texts[end].get("y" if upright else "x", "")) - (4 if upright else 0) for end in ("0%", "100%"))
    return [(number - least) / (most - least) for number in numbers]


def places(points: str) -> list[tuple[float, float]]:
    """The points of a polyline."""
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", points)]

"""The drawing of the report on labels: the one in the documents again, and names that can be read."""

from itertools import combinations
from random import Random

import pytest

from neuronym.contract import Lens, Site, View
from tests.worker.drawings import DOCS, elements, places, shares_along
from worker.trust.chart import chart
from worker.trust.report import LabelGroup, ModelReport

OWN_SITE = {View.down: Site.act, View.gate: Site.act, View.up: Site.up}
TEXT_SIZE = 13  # pixels, as the drawing's own CSS says


def report(model: str, shares: dict[View, tuple[list[float], list[float]]]) -> ModelReport:
    """A report with these shares and those of their controls in each layer."""
    groups = [
        LabelGroup(
            view=view,
            lens=Lens.cosine,
            site=OWN_SITE[view],
            layer=layer,
            labels=1,
            rises=rises,
            control_rises=control,
            beyond_control=0,
            mean=0,
            control_mean=0,
            rank=0,
        )
        for view, measured in shares.items()
        for layer, (rises, control) in enumerate(zip(*measured, strict=True))
    ]
    layers = max(len(rises) for rises, _ in shares.values())
    first = (View.down, Lens.cosine)
    return ModelReport(model=model, note=None, layers=layers, neurons=1, positions=1, first=first, groups=groups)


def test_the_drawing_of_the_documents_is_what_the_command_draws() -> None:
    drawing = (DOCS / "trust.svg").read_text()

    def read(kind: str) -> list[float]:
        (line,) = elements(drawing, "polyline", kind=kind)
        return shares_along(drawing, [y for _, y in places(line.get("points", ""))], upright=True)

    shares = {view: (read(view), read(f"{view} control")) for view in OWN_SITE}
    assert chart(report("smollm2-135m-instruct", shares)) == drawing


@pytest.mark.parametrize("seed", range(60))
def test_names_do_not_cover_each_other_nor_leave_the_chart(seed: int) -> None:
    random = Random(seed)
    low, width = random.choice([(0.0, 0.0), (0.0, 0.03), (0.97, 0.03), (0.4, 0.1), (0.0, 1.0)])
    ends = {view: random.uniform(low, low + width) for view in OWN_SITE}
    drawing = chart(report("m", {view: ([0.5, end], [0.5, 0.5]) for view, end in ends.items()}))
    names = {view: float(elements(drawing, "text", kind=view)[0].get("y", "")) for view in OWN_SITE}
    for view, other_view in combinations(OWN_SITE, 2):
        assert abs(names[view] - names[other_view]) >= 1.3 * TEXT_SIZE
        assert ends[view] == ends[other_view] or (names[view] < names[other_view]) == (ends[view] > ends[other_view])
    assert all(44 <= y - 4 <= 348 for y in names.values())  # between the lines of 100% and 0%


def test_names_at_one_height_are_a_line_of_text_apart() -> None:
    drawing = chart(report("m", {view: ([0.5], [0.5]) for view in OWN_SITE}))
    assert [elements(drawing, "text", kind=view)[0].get("y") for view in OWN_SITE] == ["200.0", "218.0", "236.0"]


def test_a_name_of_a_model_is_text() -> None:
    drawing = chart(report("a<b & c", {View.down: ([0.5], [0.5])}))
    assert any("layer of a<b & c, cosine lens" in (text.text or "") for text in elements(drawing, "text"))

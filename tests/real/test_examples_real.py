"""The solved examples do on the demo model what they say."""

import json
import re

import pytest

from app.pages.playground.context import FILE
from neuronym.contract import Clamp, Mode, Site
from worker.steer_test.answers import ClampSetting, generate_answers, question_ids
from worker.steering.models import LiveModel

pytestmark = pytest.mark.real

EXAMPLES = {one["title"]: one for one in json.loads(FILE.read_text())}


def clamp(text: str) -> Clamp:
    neuron, site, mode, value = text.split(":")
    found = re.fullmatch(r"L(\d+)N(\d+)", neuron)
    assert found
    return Clamp(layer=int(found[1]), index=int(found[2]), site=Site(site), mode=Mode(mode), value=float(value))


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_says_or_leaves_out_its_word(demo: LiveModel, title: str) -> None:
    """`says` and `silent` are words of the clamped answer; the unclamped one has it the other way round."""
    one = EXAMPLES[title]
    state = one["state"]
    setting = ClampSetting(title, tuple(map(clamp, state["clamp"])))
    plain, clamped = generate_answers(
        demo, question_ids(demo, state["chat"]), [setting], state["positions"], int(state["max_new_tokens"])
    )
    with_word, without = (clamped, plain) if "says" in one else (plain, clamped)
    word = rf"\b{one.get('says') or one['silent']}"
    assert re.search(word, with_word.text, re.IGNORECASE), with_word.text
    assert not re.search(word, without.text, re.IGNORECASE), without.text
    assert clamped.logprob > plain.logprob - 1 and clamped.repeated < 0.2, clamped.text

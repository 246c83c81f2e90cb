"""Effects on the demo model: a few neurons against whole passes, and what the method page says of views and layers."""

import json

import pyarrow as pa
import pytest
import torch
from torch import Tensor

from neuronym.contract import Clamp, Direction, Lens, Site, View
from neuronym.label_tables import LABELS, QUANTILES, code, label_place
from worker.checkpoints.checkpoint import Checkpoint
from worker.measuring.activity import ActivityReader
from worker.measuring.effect import ABSENT, PROMPTS, SITES, Effects, EffectSubject, Ranges, mismatched_labels
from worker.measuring.samples import TextWindows
from worker.measuring.summary import label_figures
from worker.steering.clamp import prepare
from worker.steering.models import LiveModel

pytestmark = pytest.mark.real

TEXT = (
    "The dog ran across the yard and barked at the cat, which climbed a tree and would not come down. In California "
    "the winters are mild: people in Los Angeles and San Francisco rarely see snow. The king spoke to his ministers of "
    "the price of bread. def read(path): return open(path).read(). She opened the letter, and her hands began to shake."
)
LAYERS = (12, 28)
SAMPLE = torch.randperm(1536, generator=torch.Generator().manual_seed(0))[:48]


def effects(demo: LiveModel, checkpoint: Checkpoint, prompts: tuple[str, ...] = PROMPTS) -> Effects:
    subject = EffectSubject(demo.model, demo.sites, range(demo.vocab), lambda layer: checkpoint.rows(View.down, layer))
    return Effects(subject, [demo.codec.prompt(prompt) for prompt in prompts])


@pytest.fixture(scope="module")
def activity(demo: LiveModel) -> dict[int, pa.Table]:
    """Activity of some layers on a short text."""
    ids = torch.tensor([demo.codec.prompt(TEXT)])
    counted = torch.ones_like(ids, dtype=torch.bool)
    counted[:, 0] = False
    found: dict[int, pa.Table] = {}
    reader = ActivityReader(
        demo.model, demo.sites, TextWindows(ids, counted), lambda ids: "".join(map(demo.codec.text, ids))
    )
    reader.read(LAYERS.__contains__, found.__setitem__)
    return found


@pytest.fixture(scope="module")
def tables(
    demo: LiveModel, demo_checkpoint: Checkpoint, activity: dict[int, pa.Table], labels: dict[int, Tensor]
) -> dict[int, pa.Table]:
    """Effects of SAMPLE, with the cosine labels of the up and down views."""
    meter = effects(demo, demo_checkpoint)
    return {layer: meter.measure_layer(layer, ranges(activity[layer]), labels[layer], only=SAMPLE) for layer in LAYERS}


def ranges(rows: pa.Table) -> Ranges:
    sites, values = torch.tensor(rows["site"].to_pylist()), torch.tensor(rows["quantiles"].to_pylist())
    ends = {Direction.high: QUANTILES.index(0.999), Direction.low: QUANTILES.index(0.001)}
    return {site: {end: values[sites == code(site)][:, at] for end, at in ends.items()} for site in SITES}


@pytest.fixture(scope="module")
def labels(demo_checkpoint: Checkpoint) -> dict[int, Tensor]:
    """By layer the top tokens by cosine, `(LABELS, neurons)`."""
    head = torch.nn.functional.normalize(demo_checkpoint.head(), dim=1)
    return {layer: top_tokens(demo_checkpoint, layer, head) for layer in LAYERS}


def top_tokens(checkpoint: Checkpoint, layer: int, head: Tensor) -> Tensor:
    """Those of the sampled neurons; the rest of the layer names the same ones."""
    named = torch.full((LABELS, checkpoint.neurons), ABSENT)
    for view in (View.up, View.down):
        tokens = (checkpoint.rows(view, layer)[SAMPLE] @ head.T).argmax(1)
        place = label_place(view, Lens.cosine)
        named[place] = tokens.repeat(checkpoint.neurons // len(SAMPLE))
        named[place, SAMPLE] = tokens
    return named


@torch.inference_mode()
def changes(demo: LiveModel, clamp: Clamp, prompt: str) -> Tensor:
    """Change of the log-probabilities by a whole pass with hooks, `(vocab,)`."""
    ids = demo.codec.prompt(prompt)
    with prepare([clamp], demo.sites).hooked(rows=2, since=len(ids) - 1):
        plain, clamped = demo.model(torch.tensor([ids]), logits_to_keep=1).logits[:, -1].double().log_softmax(-1)
    change: Tensor = clamped - plain
    return change


@pytest.mark.parametrize("layer", LAYERS)
def test_effects_are_those_of_whole_passes(
    demo: LiveModel, tables: dict[int, pa.Table], labels: dict[int, Tensor], layer: int
) -> None:
    others = mismatched_labels(labels[layer], seed=layer)
    for row in tables[layer].to_pylist()[:: len(SAMPLE) + 1][:4]:
        clamp = Clamp(layer=layer, index=row["neuron"], site=list(Site)[row["site"]], value=row["value"])
        shift = torch.stack([changes(demo, clamp, prompt) for prompt in PROMPTS]).mean(0)
        for view in (View.up, View.down):
            place = label_place(view, Lens.cosine)
            token, other = row["tokens"][place], others[place, row["neuron"]]
            assert row["deltas"][place] == pytest.approx(float(shift[token]), abs=1e-4)
            assert row["controls"][place] == pytest.approx(float(shift[other]), abs=1e-4)
            assert row["ranks"][place] == pytest.approx(int((shift > shift[token]).sum()), abs=20)
        assert row["moved_delta"] == pytest.approx(float(shift[row["moved"]]), abs=1e-4)
        assert abs(row["moved_delta"]) == pytest.approx(float(shift.abs().max()), abs=1e-4)


def test_labels_of_the_down_view_hold_in_late_layers_and_those_of_the_up_view_do_not(
    tables: dict[int, pa.Table],
) -> None:
    down = label_figures(tables[28], Site.act, View.down, Lens.cosine, Direction.high)
    up = label_figures(tables[28], Site.up, View.up, Lens.cosine, Direction.high)
    assert down is not None and up is not None
    assert down["rises"] >= 0.95 and down["beyond_control"] >= 0.95
    assert down["control_rises"] <= 0.7
    assert up["rises"] <= 0.65
    assert abs(up["mean"]) < down["mean"] / 5


def test_the_dog_neuron_does_what_the_method_page_says(demo: LiveModel, demo_checkpoint: Checkpoint) -> None:
    """`up` of L29 N808 set to 20 after "My favourite animal is the": −3.90 to −1.54."""
    ends = {site: {end: torch.full((1536,), 20.0) for end in Direction} for site in SITES}
    named = torch.full((LABELS, 1536), demo.codec.find(" dog"))
    meter = effects(demo, demo_checkpoint, ("My favourite animal is the",))
    row = meter.measure_layer(29, ends, named, only=torch.tensor([808])).to_pylist()[2]
    assert (row["site"], row["value"]) == (code(Site.up), 20)
    assert row["deltas"][0] == pytest.approx(3.90 - 1.54, abs=0.02)


def test_strongest_contexts_end_where_the_neuron_is_strongest(activity: dict[int, pa.Table]) -> None:
    rows = [row for row in activity[28].to_pylist() if row["site"] == code(Site.act)]
    for row in rows[:20]:
        contexts = json.loads(row["contexts"])
        text = contexts[0].split(": ", 1)[1]
        assert text in TEXT
        highest = row["quantiles"][-1]
        assert contexts[0].startswith(f"{highest:+.3g}: ")

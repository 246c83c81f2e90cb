"""The card of a repository of label files: README.md, its header for the hub and its text for people.

Says what the files themselves say, and what they lack. Knows no network.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from huggingface_hub import DatasetCardData

from neuronym.contract import name_layers
from worker.hub.base_models import BaseModel
from worker.hub.facts import Contents, ModelFacts, PairFacts, Terms
from worker.hub.repository import RECORD, CardRecord, FileRecord

TAGS = ["neuronym", "interpretability"]


def write_card(repository: str, contents: Contents, record: CardRecord, terms: Terms) -> str:
    """The card of these contents; `record` has the names and hashes of their files."""
    sections = [*_introduction(contents), *_parts(contents, record.files), *_use(repository), *_trust(contents, terms)]
    return f"---\n{_header(contents, record, terms)}\n---\n\n" + "\n\n".join(sections) + "\n"


def _header(contents: Contents, record: CardRecord, terms: Terms) -> str:
    """What the hub reads: licence, tags, base models, and our own record."""
    more: dict[str, Any] = {RECORD: record.model_dump()}
    if terms.origins.models:
        more["base_model"] = [model.id for model in terms.origins.models]
    name = f"Neuronym labels of {contents.name}"
    return str(DatasetCardData(license=terms.licence, pretty_name=name, tags=TAGS, **more).to_yaml())


def _introduction(contents: Contents) -> Iterator[str]:
    yield f"# Neuronym labels of {contents.name}"
    what = f"the pair `{contents.name}`" if contents.pair else f"the model `{contents.name}`"
    yield (
        f"A name for every mapped MLP neuron of {what}: its weight vectors decoded through the model's own LM head. "
        "The files are label files of Neuronym, which searches, shows and compares them. They hold labels, "
        "measurements and tokenizer, and no weights."
    )


def _parts(contents: Contents, records: Sequence[FileRecord]) -> Iterator[str]:
    """A section for each file."""
    for facts, record in zip(contents.files, records, strict=True):
        lines = _model_lines(facts) if isinstance(facts, ModelFacts) else _pair_lines(facts)
        size = f"{record.bytes / 1e6:.1f} MB"
        file = f"File: {size}, run `{facts.run}`, schema {facts.schema}, sha256 `{record.sha256}`"
        yield f"## {record.file}"
        yield "\n".join(f"- {line}" for line in (*lines, file))


def _model_lines(facts: ModelFacts) -> Iterator[str]:
    row, settings = facts.row, facts.settings
    adapter = f" with adapter `{row['adapter']}`" if row["adapter"] else ""
    revision = f" at revision `{row['revision']}`" if row["revision"] else ""
    yield f"Model: `{row['name']}`, mapped from `{row['source']}`{revision}{adapter}, {row['architecture']}"
    yield f"Weights: hash `{row['source_hash']}`"
    mapped = len(facts.layers) * row["neurons"]
    part = "all" if len(facts.layers) == row["layers"] else f"{name_layers(facts.layers)} alone"
    yield f"Layers: {row['layers']}, of {row['neurons']:,} neurons each; mapped: {part}, {mapped:,} neurons"
    yield f"Views: {', '.join(settings['views'])}; lenses: {', '.join(settings['lenses'])}"
    yield f"Tokens of a label: {settings['top_k']} highest, {settings['bottom_k']} lowest"
    yield f"Measured: {', '.join(sorted(facts.measured)) or 'nothing'}"
    yield f"Not measured: {', '.join(facts.not_measured) or 'nothing is missing'}"
    yield f"Mapped at {row['mapped_at']}"
    if added := settings.get("added"):
        place = f"{added['repository']} at {added['commit']}" if "repository" in added else added["file"]
        yield f"Not mapped by who pushed it: it was taken from `{place}`"


def _pair_lines(facts: PairFacts) -> Iterator[str]:
    yield f"Pair: `{facts.row['name']}`, base `{facts.row['base']}` and instruct `{facts.row['instruct']}`"
    if facts.outdated:
        yield f"Outdated: {' and '.join(facts.outdated)} was mapped again since"


def _use(repository: str) -> Iterator[str]:
    yield "## Use"
    yield f"```sh\nneuronym-worker pull {repository}\nneuronym serve\n```"
    yield "The weights do not come with it. To clamp its neurons, the model itself must be within reach."


def _trust(contents: Contents, terms: Terms) -> Iterator[str]:
    yield "## Trust and licence"
    if any("effect" in facts.not_measured for facts in contents.models):
        yield "What clamping does was not measured for every model here: whether its labels hold is not known."
    yield "A label says what a weight vector points at. It is no proof of what a neuron does."
    for model in terms.origins.models:
        yield _licence_line(model)
    for source in terms.origins.elsewhere:
        yield f"`{source}` is no repository of the hub: its licence is not known here."
    yield f"These files: {f'licence `{terms.licence}`' if terms.licence else 'no licence is stated'}."


def _licence_line(model: BaseModel) -> str:
    licence = f"licence `{model.licence}`" if model.licence else "a licence that could not be read"
    return f"`{model.id}` at `{model.commit}` is {model.access}, with {licence}. Its terms hold for what is made of it."

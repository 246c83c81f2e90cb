"""The tokens that a run watches: those that are typed, or else those that the clamped neurons are named after."""

import re

from app.errors import Problem
from app.labelfile.library import Library
from app.pages.neuron_names import naming_tokens
from app.pages.playground.state import Composition
from app.queries.neuron import neuron
from app.queries.tokens import TokensQuery, tokens
from neuronym.contract import MAX_WATCH, Lens, Site, View
from neuronym.sites import VIEW_OF_SITE

ENTRY = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^,]*))\s*(?:,|$)')
NAMES = 2  # label tokens of each clamped neuron


def watched_tokens(labels: Library, composition: Composition) -> list[int | str]:
    """Token ids and texts to watch; empty if the model is not mapped."""
    if composition.model not in labels.models:
        return []
    texts = ENTRY.findall(composition.watch)
    typed = [_parse_entry(labels, composition.model, exact, bare.strip()) for exact, bare in texts]
    entries = [entry for entry in typed if entry is not None] or _name_tokens(labels, composition)
    return list(dict.fromkeys(entries))[:MAX_WATCH]


def _parse_entry(labels: Library, model: str, exact: str, bare: str) -> int | str | None:
    """Read a typed entry: `"exact"` as it is, `#12` as an id, a bare word as the token that starts a word."""
    if exact:
        return exact.replace('""', '"')
    if bare.startswith("#") and bare[1:].isdecimal():
        return int(bare[1:])
    if not bare:
        return None
    matches = tokens(labels, TokensQuery(q=bare, tokenizer=labels.models[model].tokenizer)).tokens
    by_text = {token.text: token.token_id for token in matches}
    return by_text.get(f" {bare}", by_text.get(bare, bare))


def _name_tokens(labels: Library, composition: Composition) -> list[int | str]:
    """The first label tokens of each clamped neuron: of the down view, then of the view its site belongs to."""
    token_ids: list[int | str] = []
    for row in composition.rows:
        name = row.neuron_name()
        if name is None:
            continue
        try:
            views = neuron(labels, composition.model, name.layer, name.index).views
        except Problem:
            continue  # the clamp itself will be refused with the reason
        for view in dict.fromkeys((View.down, _view_of(row.site))):
            label = views.get(view, {}).get(Lens.cosine)
            token_ids += [token.token_id for token in naming_tokens(label)[:NAMES]] if label else []
    return token_ids


def _view_of(site: str) -> View:
    """The view of a typed site; up for an unknown site, which is refused with the clamp."""
    return VIEW_OF_SITE[Site(site)] if site in list(Site) else View.up

"""A library planted by hand, so that every answer is known beforehand.

Four models: `tiny-base`, `tiny-chat` and `tiny-second` share the tokenizer A and are paired (base with chat, then base
with second); `tiny-gpt` is ungated and has the tokenizer B. Labels without a planted one are drawn from filler tokens.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from neuronym.contract import Direction, Kind, Lens, Side, Site, Strength, View
from neuronym.label_tables import (
    HEADER,
    LABELS,
    MAGIC,
    NAMED,
    NO_TOKEN,
    QUANTILES,
    RECORD,
    REVISION,
    activity,
    agreement,
    build,
    code,
    concept,
    counterparts_file,
    drift,
    effect,
    label,
    label_by_token,
    label_place,
    measurement,
    metadata,
    model,
    neighbour,
    pair,
    token,
    tokenizer,
)
from neuronym.library import (
    KINDS,
    Catalogue,
    FileKind,
    LabelFileEntry,
    label_file,
    library_folder,
    read_catalogue,
    replace_catalogue,
)

LAYERS, NEURONS = 3, 4
MAPPED_IN = "mapped-1"  # the run that all labels are of
HASHES = ("a" * 16, "b" * 16)
MODELS = {"tiny-base": 0, "tiny-chat": 0, "tiny-second": 0, "tiny-gpt": 1}  # name -> place of its tokenizer in HASHES
PAIRS = {"tiny-pair": ("tiny-base", "tiny-chat"), "tiny-later": ("tiny-base", "tiny-second")}
GATED = {name: name != "tiny-gpt" for name in MODELS}
TOP, BOTTOM = 6, 3
NOTE = "tiny-base is a stand-in, planted by hand."

WORDS = (
    *(" California", "California", " california", "CALIFORNIA", " dog", "dog", " Dogs", " puppy", " king", "Los"),
    *(' "', '"', "%", "*", "'", "\n", "\t", ",", " ", "Straße", " é", "\x07", "<b>", "\u202e"),
)
FILLER = tuple(f" filler{number}" for number in range(12))
PREFIXED = tuple(f" calico{number:03}" for number in range(250))
SPECIAL, BYTE = "<|end|>", "<0xFF>"

Key = tuple[str, View, Lens, int, int]


def serialised() -> str:
    """A byte-level tokenizer without merges, but for the pieces `New`, ` York`: it splits all else into letters."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: place for place, letter in enumerate(alphabet)}
    merges = [("N", "e"), ("Ne", "w"), ("Ġ", "Y"), ("ĠY", "o"), ("ĠYo", "r"), ("ĠYor", "k")]
    for one, other in merges:
        vocabulary[one + other] = len(vocabulary)
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.enable_truncation(4)  # a setting some checkpoints carry; it must not cut a text
    return made.to_str()


def entries(number: int) -> list[tuple[str, Kind]]:
    """(text, kind) by id of tokenizer A (0) or B (1): what the tokenizer splits into, then the planted words."""
    made = Tokenizer.from_str(serialised())
    pieces = [_piece(made.decode([id_]), id_) for id_ in range(made.get_vocab_size())]
    planted = WORDS + FILLER + (PREFIXED if number == 0 else ())
    words = [(text, Kind.word if text.startswith(" ") else Kind.continuation) for text in planted]
    return pieces + words[:: 1 if number == 0 else -1] + [(SPECIAL, Kind.special), (BYTE, Kind.bytes)]


def _piece(text: str, id_: int) -> tuple[str, Kind]:
    return (f"<byte {id_}>", Kind.bytes) if "\ufffd" in text else (text, Kind.continuation)


def token_ids(number: int) -> dict[str, int]:
    """text -> id; of equal texts the last."""
    return {text: id_ for id_, (text, _) in enumerate(entries(number))}


def fold(text: str) -> str:
    """As the worker folds, written out a second time on purpose."""
    return text.casefold() if text.isspace() else text.strip().casefold()


def places(number: int) -> dict[int, int]:
    """id -> place in the alphabet."""
    in_order = sorted((fold(text), id_) for id_, (text, _) in enumerate(entries(number)))
    return {id_: place for place, (_, id_) in enumerate(in_order)}


@dataclass
class Plan:
    """What is planted: top tokens and z by label, and rows of the other tables as they are."""

    run: str = "planted-1"
    revision: str = REVISION
    top: dict[Key, list[tuple[str, float]]] = field(default_factory=dict)
    bottom: dict[Key, list[tuple[str, float]]] = field(default_factory=dict)
    strength: dict[Key, Strength] = field(default_factory=dict)
    layer_z: dict[Key, float] = field(default_factory=dict)
    effects: dict[Key, float] = field(default_factory=dict)
    changed: set[tuple[str, View, Lens, int, int]] = field(default_factory=set)  # (pair, ...) with another top token
    pairs: bool = True
    measurements: list[dict[str, Any]] = field(default_factory=list)  # rows of that table, each with its model


def planted(run: str = "planted-1") -> Plan:
    """The plan of the shared fixture."""
    plan = Plan(run)
    up, down, cosine, logit = View.up, View.down, Lens.cosine, Lens.logit
    plan.top = {
        ("tiny-chat", up, cosine, 2, 1): [(" California", 9.0), (" dog", 5.0), ("California", 4.5), ("Los", 4.0)],
        ("tiny-base", up, cosine, 2, 1): [(" California", 8.0), ("Los", 4.0)],
        ("tiny-second", up, cosine, 2, 1): [("Los", 8.5), (" California", 4.0)],
        ("tiny-chat", down, cosine, 0, 0): [("CALIFORNIA", 7.0), ("Los", 3.0)],
        ("tiny-chat", down, cosine, 1, 3): [(" king", 6.0), (" California", 3.0)],
        ("tiny-chat", down, logit, 1, 3): [(" California", 12.0)],
        ("tiny-gpt", down, cosine, 0, 2): [(" California", 8.5), (" dog", 3.0)],
        ("tiny-chat", View.gate, cosine, 1, 1): [(" dog", 6.5), ("dog", 6.0), (" puppy", 5.5)],
    }
    plan.bottom = {
        ("tiny-chat", up, cosine, 1, 0): [(" California", -5.0)],
        ("tiny-chat", up, cosine, 1, 1): [("dog", -7.0), (" California", -6.5)],
    }
    chat = ("tiny-chat", up, cosine, 2, 1)
    plan.strength = {chat: Strength.strong, ("tiny-chat", down, cosine, 0, 0): Strength.weak}
    plan.layer_z = {chat: 1.5, ("tiny-chat", down, cosine, 0, 0): 4.0}
    plan.effects = {("tiny-chat", down, cosine, 0, 0): 2.5, ("tiny-chat", down, cosine, 1, 3): -0.5}
    plan.measurements = measurements("tiny-chat")
    plan.changed = {("tiny-later", up, cosine, 2, 1), ("tiny-pair", down, cosine, 0, 0)}
    return plan


WEAK_ABOVE, STRONG_ABOVE = 6.0, 8.0
RULE = "A label is strong beyond 8 deviations; weak beyond 6; else it is noise."
CHANCE = 0.25  # of the strong labels of every layer


def measurements(name: str, first: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Accounts of all three kinds for a gated model; `first` is the view and lens that hold most often."""
    counts = {"labels": 8, "strong": 2, "weak": 1, "noise": 5, "false_strong": 0.5, "false_share": CHANCE}
    named = [{"view": view, "lens": lens, **counts} for view in View for lens in Lens]
    thresholds = {"weak_above": WEAK_ABOVE, "strong_above": STRONG_ABOVE}
    layers = [{**one, "layer": layer, **thresholds} for one in named for layer in range(LAYERS)]
    rates = {"weak": 0.05, "strong": 0.02}
    figures = {"rises": 0.9, "control_rises": 0.5, "beyond_control": 0.8, "mean": 0.25, "control_mean": 0.001}
    ends = {end: {f"{one['view']} {one['lens']}": figures for one in named} for end in ("high", "low")}
    prompts = ["Once there was a"]
    accounts: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "control": ({"rule": RULE, "controls": 99, "rates": rates}, {"views": named, "layers": layers}),
        "activity": ({"text": "samples", "seed": 0}, {"positions": 64, "windows": 2}),
        "effect": ({"prompts": prompts}, {"rows": 48, "mean_kl": 0.5, **ends, **({"first": first} if first else {})}),
    }
    return [
        {
            "model": name, "kind": kind, "settings": json.dumps(settings),
            "result": json.dumps(result), "measured_at": "2026-11-01T01:00:00Z", "seconds": 2.5,
        }
        for kind, (settings, result) in accounts.items()
    ]  # fmt: skip


def write_library(data: Path, plan: Plan | None = None, *, publish: bool = True) -> Catalogue:
    """Write a file for each model and pair, all of the run `plan.run`, and name them in the catalogue."""
    plan = plan or planted()
    tables, entries = dict(_rows(plan)), {}
    for kind in KINDS:
        names = [row["name"] for row in tables.get(KIND_TABLE[kind], [])]
        entries[kind] = tuple(LabelFileEntry(name=name, run=plan.run) for name in names)
        for entry in entries[kind]:
            _write_file(label_file(data, kind, entry), plan, tables, kind, entry.name)
    catalogue = Catalogue(run=plan.run, models=entries["model"], pairs=entries["pair"])
    library_folder(data).mkdir(parents=True, exist_ok=True)
    if publish:
        replace_catalogue(data, catalogue)
    return catalogue


def planted_file(data: Path, name: str, kind: FileKind = "model") -> Path:
    """The path of the current file of a planted model or pair."""
    entry = read_catalogue(data).find(kind, name)
    assert entry is not None
    return label_file(data, kind, entry)


Tables = dict[sa.Table, list[dict[str, Any]]]
KIND_TABLE: dict[FileKind, sa.Table] = {"model": model, "pair": pair}
BUILT = {"built_at": "2026-11-01T00:00:00Z", "versions": "{}"}


def _write_file(
    path: Path, plan: Plan, tables: dict[sa.Table, list[dict[str, Any]]], kind: FileKind, name: str
) -> None:
    """Write the file of one model or pair: the rows that are marked with its name, without the mark."""
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(sa.URL.create("duckdb", database=str(path)))
    with engine.begin() as connection:
        metadata.create_all(connection)
        connection.execute(sa.text("create table alembic_version (version_num varchar)"))
        connection.execute(sa.text("insert into alembic_version values (:revision)"), {"revision": plan.revision})
        _load(connection, build, [{"run": plan.run, **BUILT}])
        for table, rows in tables.items():
            mark = "name" if table is KIND_TABLE[kind] else kind
            own = [row for row in rows if row.get(mark) == name]
            _load(
                connection,
                table,
                [{column: value for column, value in row.items() if column in table.c} for row in own],
            )
    engine.dispose()
    if kind == "pair":
        _write_counterparts(counterparts_file(path), [row for row in tables[drift] if row["pair"] == name])


def _write_counterparts(path: Path, rows: list[dict[str, Any]]) -> None:
    tokens = [f"{side}_{place}" for side in ("base", "instruct") for place in range(NAMED)]
    records = [
        RECORD.pack(row["cosine"], row["same_top"], row["near_tie"], *(row.get(name, NO_TOKEN) for name in tokens))
        for row in rows
    ]
    path.write_bytes(HEADER.pack(MAGIC, len(records)) + b"".join(records))


def _load(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """All rows at once: an insert a row takes seconds."""
    if not rows:
        return
    stored = [
        {name: code(value) if isinstance(value, StrEnum) else value for name, value in row.items()} for row in rows
    ]
    raw: Any = connection.connection.driver_connection
    raw.register("planted", pa.Table.from_pylist(stored))
    connection.execute(sa.text(f"insert into {table.name} by name select * from planted"))
    raw.unregister("planted")


def _rows(plan: Plan) -> Iterator[tuple[sa.Table, list[dict[str, Any]]]]:
    """The rows of every table, each marked with the name of its model or pair."""
    place = {name: places(number) for name, number in MODELS.items()}
    yield model, [_model(name) for name in MODELS]
    yield (
        tokenizer,
        [
            {"model": name, "hash": HASHES[number], "vocab": len(entries(number)), "json": serialised()}
            for name, number in MODELS.items()
        ],
    )
    yield (
        token,
        [
            {"model": name, "id": id_, "text": text, "folded": fold(text), "kind": kind, "place": place[name][id_]}
            for name, number in MODELS.items()
            for id_, (text, kind) in enumerate(entries(number))
        ],
    )
    labels = list(_labels(plan))
    yield label, [values for _, values in labels]
    yield (
        label_by_token,
        sorted(
            (row for key, values in labels for row in _by_token(plan, key, values, place[key[0]])),
            key=lambda row: (list(Side).index(row["side"]), row["place"], -row["z"]),
        ),
    )
    if plan.pairs:
        yield pair, [_pair(name, NOTE if place == 0 else None) for place, name in enumerate(PAIRS)]
        tops = {key: values["top_ids"][:NAMED] for key, values in labels}
        moved = list(_drift(plan, tops))
        yield drift, moved
        yield agreement, list(_agreements(moved))
        yield concept, list(_concepts(moved))
    yield neighbour, [{**_at("tiny-chat", 2, 1), "view": View.up, "neurons": [3, 0], "cosines": [0.75, 0.5]}]
    yield (
        activity,
        [
            {
                **_at("tiny-chat", 2, 1),
                "site": site,
                "quantiles": [float(place) for place in range(len(QUANTILES))],
                "fires": 0.25,
                "contexts": json.dumps(["in California"]),
            }
            for site in (Site.up, Site.act)
        ],
    )
    yield effect, list(_effects())
    yield measurement, plan.measurements


def _at(name: str, layer: int, neuron: int) -> dict[str, Any]:
    return {"model": name, "layer": layer, "neuron": neuron}


def views(name: str) -> list[View]:
    """Views of a planted model."""
    return [View.up, View.gate, View.down] if GATED[name] else [View.up, View.down]


def _pair(name: str, note: str | None) -> dict[str, Any]:
    base, instruct = PAIRS[name]
    runs = {"base_mapped_in": MAPPED_IN, "instruct_mapped_in": MAPPED_IN}
    return {"name": name, "base": base, "instruct": instruct, "tokenizer": HASHES[0], "note": note, **runs}


def _model(name: str) -> dict[str, Any]:
    settings = {"views": [view.value for view in views(name)], "lenses": ["logit", "cosine"], "top_k": TOP}
    return {
        "name": name, "source": f"planted/{name}", "revision": None, "source_hash": f"hash-{name}",
        "adapter": None, "architecture": "LlamaForCausalLM" if GATED[name] else "GPT2LMHeadModel", "layers": LAYERS,
        "neurons": NEURONS, "width": 8, "vocab": 320, "gated": GATED[name], "tied": True, "chat": name == "tiny-chat",
        "note": None, "tokenizer": HASHES[MODELS[name]], "mapped_in": MAPPED_IN,
        "dtype": "float32", "device": "cpu", "versions": '{"torch": "2.13.0"}',
        "settings": json.dumps(settings), "mapped_at": "2026-11-01T00:00:00Z", "seconds": 1.5,
    }  # fmt: skip


def _labels(plan: Plan) -> Iterator[tuple[Key, dict[str, Any]]]:
    draw = random.Random(0)
    for name in MODELS:
        ids = token_ids(MODELS[name])
        for view, lens, layer, neuron in product(views(name), Lens, range(LAYERS), range(NEURONS)):
            key = (name, view, lens, layer, neuron)
            top = plan.top.get(key, []) + [(text, 2.0 - place / 10) for place, text in enumerate(_fill(draw, TOP))]
            bottom = plan.bottom.get(key, []) + [
                (text, place / 10 - 2) for place, text in enumerate(_fill(draw, BOTTOM))
            ]
            yield key, _label(plan, key, ids, top[:TOP], bottom[:BOTTOM])


def _fill(draw: random.Random, number: int) -> list[str]:
    return draw.sample(FILLER, number)


def _label(
    plan: Plan, key: Key, ids: dict[str, int], top: list[tuple[str, float]], bottom: list[tuple[str, float]]
) -> dict[str, Any]:
    """Mean 0.1 and std 0.5: score = 0.1 + z / 2."""
    name, view, lens, layer, neuron = key
    return {
        **_at(name, layer, neuron), "view": view, "lens": lens,
        "top_ids": [ids[text] for text, _ in top], "top_scores": [0.1 + z / 2 for _, z in top],
        "bottom_ids": [ids[text] for text, _ in bottom], "bottom_scores": [0.1 + z / 2 for _, z in bottom],
        "norm": 1.25, "mean": 0.1, "std": 0.5, "skew": None, "kurtosis": None,
        "logsumexp": 7.0 if lens is Lens.logit else None, "z": top[0][1], "margin": (top[0][1] - top[1][1]) / 2,
        "layer_z": plan.layer_z.get(key), "odd_share": None, "strength": plan.strength.get(key),
    }  # fmt: skip


NONE = [None] * NAMED


def _by_token(plan: Plan, key: Key, values: dict[str, Any], places: dict[int, int]) -> Iterator[dict[str, Any]]:
    lowest = [*values["bottom_ids"], *NONE]
    shared = {column: values[column] for column in ("model", "view", "lens", "layer", "neuron", "layer_z", "strength")}
    for side in Side:
        for rank, (id_, score) in enumerate(zip(values[f"{side}_ids"], values[f"{side}_scores"], strict=True)):
            yield {
                **shared, "place": places[id_], "token": id_, "side": side, "rank": rank,
                "score": score, "z": (score - 0.1) / 0.5, "effect": plan.effects.get(key),
                **{f"top_{place}": id_ for place, id_ in enumerate(values["top_ids"][:NAMED])},
                **{f"bottom_{place}": lowest[place] if side is Side.bottom else None for place in range(NAMED)},
            }  # fmt: skip


def _drift(plan: Plan, tops: dict[Key, list[int]]) -> Iterator[dict[str, Any]]:
    """What a pair's top tokens say is planted apart from them: those drawn from the filler never agree."""
    for number, (name, (base, instruct)) in enumerate(PAIRS.items()):
        for view, lens, layer, neuron in product(View, Lens, range(LAYERS), range(NEURONS)):
            place = (view, lens, layer, neuron)
            same_top = (name, *place) not in plan.changed
            yield {
                "pair": name, "view": view, "lens": lens, "layer": layer, "neuron": neuron,
                "cosine": 0.9 - number / 10, "same_top": same_top, "near_tie": False, "base_margin": 0.5,
                "instruct_margin": 0.5, "overlap": 0.5, "base_rank": 0 if same_top else None,
                "instruct_rank": 0 if same_top else None,
                **{f"base_{rank}": token for rank, token in enumerate(tops[base, *place])},
                **{f"instruct_{rank}": token for rank, token in enumerate(tops[instruct, *place])},
            }  # fmt: skip


def _agreements(moved: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Of every pair, view and lens, and of each of their layers."""
    for group, layer in product(product(PAIRS, View, Lens), (None, *range(LAYERS))):
        rows = [row for row in moved if (row["pair"], row["view"], row["lens"]) == group]
        rows = [row for row in rows if layer in (None, row["layer"])]
        yield {
            **dict(zip(("pair", "view", "lens"), group, strict=True)), "layer": layer, "strength": None,
            "neurons": len(rows), "agreement": sum(row["same_top"] for row in rows) / len(rows), "near_ties": 0.0,
            "mean_cosine": rows[0]["cosine"], "mean_overlap": 0.5,
        }  # fmt: skip


def _concepts(moved: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Two tokens of each changed neuron: the one it had and the one it has."""
    for row in moved:
        for side, other in (("base", "instruct"), ("instruct", "base")):
            if not row["same_top"]:
                where = {name: row[name] for name in ("pair", "view", "lens")}
                yield {**where, "token": row[f"{side}_0"], f"{side}_neurons": 1, f"{other}_neurons": 0}


def _effects() -> Iterator[dict[str, Any]]:
    """Of L2N1 of tiny-chat: the place of a label's end in the lists is what its value says; one is missing."""
    places, missing = range(LABELS), label_place(View.gate, Lens.logit, Side.bottom)
    ids = token_ids(0)
    for site, direction in product((Site.up, Site.act), Direction):
        yield {
            **_at("tiny-chat", 2, 1), "site": site, "direction": direction, "value": 3.0,
            "tokens": [-1 if place == missing else ids[" California"] for place in places],
            "deltas": [None if place == missing else float(place) for place in places],
            "controls": [-0.25] * LABELS, "ranks": [-1 if place == missing else place for place in places],
            "kl": 0.5, "moved": ids["Los"], "moved_delta": -1.0,
        }  # fmt: skip

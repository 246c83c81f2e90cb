"""What the playground's form holds: read from an address or a form, written back as an address, turned into a request.

Values stay as they were typed until they are asked for as a request, so that a form with a mistake comes back whole.
"""

import re
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError
from starlette.datastructures import FormData, QueryParams

from app import addresses
from app.contract import MAX_CLAMPS, ClampRequest, ModelSummary, SweepRequest, TokenizeRequest
from app.errors import Unprocessable

Asked = TypeVar("Asked", ClampRequest, SweepRequest, TokenizeRequest)
NEURON = re.compile(r"\s*[Ll](\d{1,9})[Nn](\d{1,9})\s*")
DEFAULTS = {"positions": "all", "max_new_tokens": "48", "temperature": "0", "top_p": "1", "seed": "0"}
SWEEP = {"sweep_clamp": "1", "sweep_from": "-20", "sweep_to": "40", "sweep_steps": "25", "sweep_pair": ""}
LARGEST = 2_000_000  # bytes of a query, percent-encoded prompts included
ALTERNATIVES = 5
EXAMPLE_CHAT = "What is your favourite animal?"
EXAMPLE_PROMPT = "My favourite animal is the"


def number_of(typed: str) -> float | None:
    """What was typed as a number, with a hyphen or a minus sign; None if it is none."""
    try:
        return float(typed.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return None


class Row(NamedTuple):
    """One clamp as typed. In an address: `L29N808:up:set:20`."""

    neuron: str = ""
    site: str = "up"
    mode: str = "set"
    value: str = ""

    @classmethod
    def read(cls, text: str) -> "Row":
        """From an address; parts that are missing have their defaults."""
        parts = text.split(":", 3)
        return cls(*(part or default for part, default in zip(parts, cls(), strict=False)))

    def written(self) -> str:
        """For an address."""
        return ":".join(self) if self.neuron or self.value else ""

    def gentler(self) -> "Row":
        """The same with its value halfway back to no change, which is 1 for a factor."""
        value = number_of(self.value)
        if value is None:
            return self
        return self._replace(value=f"{(value + 1) / 2 if self.mode == 'scale' else value / 2:.4g}")

    def place(self) -> tuple[int, int] | None:
        """Layer and index, or None while it is not a neuron's name."""
        found = NEURON.fullmatch(self.neuron)
        return (int(found[1]), int(found[2])) if found else None


@dataclass(frozen=True)
class Composition:
    """The state of the playground."""

    model: str = ""
    kind: str = "chat"
    text: str = ""
    system: str = ""
    rows: tuple[Row, ...] = (Row(),)
    knobs: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULTS))
    watch: str = ""
    sweep: Mapping[str, str] = field(default_factory=lambda: dict(SWEEP))

    def address(self) -> str:
        """The address that reproduces this state."""
        settings = {**self.knobs, **self.sweep}
        kept = {name: value for name, value in settings.items() if value != (DEFAULTS | SWEEP)[name]}
        rows = [row.written() for row in self.rows] if self.rows != (Row(),) else []
        state = {"model": self.model, self.kind: self.text, "system": self.system, "clamp": rows, **kept}
        return addresses.playground(**state, watch=self.watch)

    def link(self) -> str:
        """The same, packed where it would be too long for browsers and chats to carry."""
        address = self.address()
        return address if len(address) <= addresses.LONGEST else addresses.playground(packed=pack(address))

    def gentler(self) -> "Composition | None":
        """With every value halfway back to no change; None if there is none that is a number."""
        rows = tuple(row.gentler() for row in self.rows)
        return replace(self, rows=rows) if rows != self.rows else None

    def with_row(self) -> "Composition":
        """One more empty row."""
        return replace(self, rows=(*self.rows, Row())) if len(self.rows) < MAX_CLAMPS else self

    def with_rows(self, rows: Iterable[Row]) -> "Composition":
        """With these rows, as many as may be clamped."""
        return replace(self, rows=tuple(rows)[:MAX_CLAMPS])

    def without_row(self, place: int) -> "Composition":
        """One row less; at least one stays."""
        return replace(self, rows=tuple(row for at, row in enumerate(self.rows) if at != place) or (Row(),))


def pack(address: str) -> str:
    """The query of an address as one parameter."""
    return urlsafe_b64encode(zlib.compress(urlsplit(address).query.encode(), 9)).decode().rstrip("=")


def unpack(packed: str) -> str:
    """The query that was packed. Unprocessable: it is not whole, or larger than any that is made here."""
    inflate = zlib.decompressobj()
    try:
        query = inflate.decompress(urlsafe_b64decode(packed + "=" * (-len(packed) % 4)), LARGEST)
        if not inflate.eof:
            raise ValueError
        return query.decode()
    except (ValueError, zlib.error):
        raise Unprocessable("packed: this link is not whole. Copy it again from where it came from.") from None


def from_address(query: QueryParams, models: Mapping[str, ModelSummary]) -> Composition:
    """Read a link, packed or not; what it leaves out has its default."""
    if packed := query.get("packed"):
        query = QueryParams(unpack(packed))
    model = query.get("model") or next(iter(models), "")
    chats = model in models and models[model].chat
    kind = "prompt" if "prompt" in query or ("chat" not in query and not chats) else "chat"
    rows = tuple(Row.read(text) for text in query.getlist("clamp")[:MAX_CLAMPS])
    return Composition(
        model=model,
        kind=kind,
        text=query.get(kind, EXAMPLE_CHAT if kind == "chat" else EXAMPLE_PROMPT),
        system=query.get("system", ""),
        rows=rows or (Row(),),
        knobs={name: query.get(name, default) for name, default in DEFAULTS.items()},
        watch=", ".join(query.getlist("watch")),
        sweep={name: query.get(name, default) for name, default in SWEEP.items()},
    )


def from_form(form: FormData) -> Composition:
    """Read the posted form."""

    def texts(name: str) -> list[str]:
        return [value for value in form.getlist(name) if isinstance(value, str)]

    def text(name: str, default: str = "") -> str:
        return next(iter(texts(name)), default)

    columns = zip(*(texts(name) for name in ("neuron", "site", "mode", "value")), strict=False)
    return Composition(
        model=text("model"),
        kind="prompt" if text("kind") == "prompt" else "chat",
        text=text("text").replace("\r\n", "\n"),
        system=text("system").replace("\r\n", "\n"),
        rows=tuple(Row(*(part.strip() for part in row)) for row in columns)[:MAX_CLAMPS] or (Row(),),
        knobs={name: text(name, default).strip() or default for name, default in DEFAULTS.items()},
        watch=text("watch").strip(),
        sweep={name: text(name, default).strip() or default for name, default in SWEEP.items()},
    )


def to_request(composition: Composition, watch: Iterable[int | str]) -> ClampRequest:
    """The clamp that is asked for; Unprocessable names each field that cannot be meant."""
    clamps = [clamp_of(row, number) for number, row in enumerate(composition.rows, 1) if row.neuron or row.value]
    body: dict[str, Any] = {
        "model": composition.model,
        "clamps": clamps,
        "top_logprobs": ALTERNATIVES,
        "watch": list(watch),
        **composition.knobs,
        **_input(composition),
    }
    return _valid(ClampRequest, body)


def to_sweep(composition: Composition, watch: Iterable[int | str]) -> SweepRequest:
    """The sweep that is asked for; Unprocessable names each field that cannot be meant."""
    rows = [row for row in composition.rows if row.neuron or row.value]
    chosen = composition.sweep["sweep_clamp"]
    if not rows:
        raise Unprocessable("Give a clamp to sweep.")
    if not chosen.isdecimal() or not 1 <= int(chosen) <= len(rows):
        raise Unprocessable(f"Sweep: “{chosen}” is no clamp; there are clamps 1 to {len(rows)}.")
    place = int(chosen) - 1
    rows[place] = rows[place]._replace(value="0")
    tokens = list(watch)
    if not tokens:
        raise Unprocessable("Give a token to watch; these neurons have no name to watch by themselves.")
    body = {
        "model": composition.model,
        "clamps": [clamp_of(row, number) for number, row in enumerate(rows, 1)],
        "clamp": place,
        "values": {
            name: composition.sweep[f"sweep_{name}"].replace("\N{MINUS SIGN}", "-") for name in ("from", "to", "steps")
        },
        "watch": tokens,
        "positions": composition.knobs["positions"],
        "pair": bool(composition.sweep["sweep_pair"]),
        **_input(composition),
    }
    return _valid(SweepRequest, body)


def to_tokenize(composition: Composition) -> TokenizeRequest:
    """The question for the tokens of the input; no model is loaded for it. Unprocessable: too long for any."""
    given = _input(composition)
    return _valid(
        TokenizeRequest,
        {
            "model": composition.model,
            "text": given.get("prompt"),
            "messages": given.get("messages"),
            "load": False,
        },
    )


def _input(composition: Composition) -> dict[str, Any]:
    if composition.kind == "prompt":
        return {"prompt": composition.text}
    turns = [("system", composition.system), ("user", composition.text)]
    return {"messages": [{"role": role, "content": content} for role, content in turns if content or role == "user"]}


def _valid(kind: type[Asked], body: dict[str, Any]) -> Asked:
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise Unprocessable(*(_sentence(problem["loc"], problem["msg"]) for problem in error.errors())) from None


def clamp_of(row: Row, number: int) -> dict[str, Any]:
    """One clamp of a request; Unprocessable names the row."""
    place = row.place()
    if place is None:
        raise Unprocessable(f"Clamp {number}: “{row.neuron}” is not a neuron; write it as L29N808.")
    value = number_of(row.value)
    if value is None:
        raise Unprocessable(f"Clamp {number}: give {row.neuron} a number as its value.")
    return {"layer": place[0], "index": place[1], "site": row.site, "mode": row.mode, "value": value}


def _sentence(where: tuple[int | str, ...], message: str) -> str:
    field_name = " ".join(str(part + 1) if isinstance(part, int) else part.replace("_", " ") for part in where)
    return f"{field_name[:1].upper()}{field_name[1:]}: {message[:1].lower()}{message[1:]}."

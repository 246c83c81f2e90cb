"""The contents of the playground's form: read from an address or a form, written back as an address.

Values stay as they were typed until a request is made of them, so that a form with a mistake comes back whole.

"""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import FormData, QueryParams

from app.errors import Unprocessable
from app.html import urls
from neuronym.contract import MAX_CLAMPS, ModelSummary
from neuronym.neuron_name import NeuronName

DEFAULTS = {"positions": "all", "max_new_tokens": "48", "temperature": "0", "top_p": "1", "seed": "0"}
SWEEP = {"sweep_clamp": "1", "sweep_from": "-20", "sweep_to": "40", "sweep_steps": "25", "sweep_pair": ""}
LARGEST = 2_000_000  # bytes of a query, percent-encoded prompts included
EXAMPLE_CHAT = "What is your favourite animal?"
EXAMPLE_PROMPT = "My favourite animal is the"


def number_of(typed: str) -> float | None:
    """The number that was typed, with a hyphen or a minus sign; None if it is not a number."""
    try:
        return float(typed.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return None


class ClampRow(NamedTuple):
    """One clamp as typed; written in an address as `L29N808:up:set:20`."""

    neuron: str = ""
    site: str = "up"
    mode: str = "set"
    value: str = ""

    @classmethod
    def read(cls, text: str) -> "ClampRow":
        """Read a row from an address; missing parts have their defaults."""
        parts = text.split(":", 3)
        return cls(*(part or default for part, default in zip(parts, cls(), strict=False)))

    def parameter(self) -> str:
        """The row as a parameter of an address; empty if nothing was typed."""
        return ":".join(self) if self.neuron or self.value else ""

    def gentler(self) -> "ClampRow":
        """The row with its value halfway back to no change, which is 1 for a factor and 0 for all else."""
        value = number_of(self.value)
        if value is None:
            return self
        return self._replace(value=f"{(value + 1) / 2 if self.mode == 'scale' else value / 2:.4g}")

    def neuron_name(self) -> NeuronName | None:
        """The neuron, or None if what was typed is not the name of one."""
        return NeuronName.read(self.neuron)


@dataclass(frozen=True)
class Composition:
    """The contents of the form."""

    model: str = ""
    kind: str = "chat"
    text: str = ""
    system: str = ""
    earlier: tuple[str, ...] = ()  # the chat before the text: the user's and the assistant's messages in turn
    rows: tuple[ClampRow, ...] = (ClampRow(),)
    knobs: Mapping[str, str] = field(default_factory=lambda: dict(DEFAULTS))
    watch: str = ""
    sweep: Mapping[str, str] = field(default_factory=lambda: dict(SWEEP))

    def address(self) -> str:
        """The address that reproduces these contents."""
        settings = {**self.knobs, **self.sweep}
        changed = {name: value for name, value in settings.items() if value != (DEFAULTS | SWEEP)[name]}
        rows = [row.parameter() for row in self.rows] if self.rows != (ClampRow(),) else []
        texts = [*self.earlier, self.text] if self.kind == "chat" else [self.text]
        state = {"model": self.model, self.kind: texts, "system": self.system, "clamp": rows, **changed}
        return urls.playground(**state, watch=self.watch)

    def link(self) -> str:
        """The address, packed if it is too long for some browsers and chats."""
        address = self.address()
        return address if len(address) <= urls.LONGEST else urls.playground(packed=pack(address))

    def gentler(self) -> "Composition | None":
        """The form with every value halfway back to no change; None if no value is a number."""
        rows = tuple(row.gentler() for row in self.rows)
        return replace(self, rows=rows) if rows != self.rows else None

    def exchanges(self) -> list[tuple[str, str]]:
        """The earlier turns of the chat: pairs of what the user and the assistant wrote."""
        return list(zip(self.earlier[::2], self.earlier[1::2], strict=False))

    def with_answer(self, answer: str = "") -> "Composition":
        """The chat with `answer` as the reply to the text, and an empty text for the next turn."""
        return replace(self, kind="chat", earlier=(*self.earlier, self.text, answer), text="")

    def without_turn(self, place: int) -> "Composition":
        """The chat without an earlier turn and its answer."""
        exchanges = [exchange for number, exchange in enumerate(self.exchanges()) if number != place]
        return replace(self, earlier=tuple(text for exchange in exchanges for text in exchange))

    def with_row(self) -> "Composition":
        """The form with one more empty row, unless it is full."""
        return replace(self, rows=(*self.rows, ClampRow())) if len(self.rows) < MAX_CLAMPS else self

    def with_rows(self, rows: Iterable[ClampRow]) -> "Composition":
        """The form with these rows, cut to as many as may be clamped."""
        return replace(self, rows=tuple(rows)[:MAX_CLAMPS])

    def without_row(self, place: int) -> "Composition":
        """The form without a row; one row always stays."""
        rows = tuple(row for number, row in enumerate(self.rows) if number != place)
        return replace(self, rows=rows or (ClampRow(),))


def pack(address: str) -> str:
    """Compress an address's query to the value of one parameter."""
    return urlsafe_b64encode(zlib.compress(urlsplit(address).query.encode(), 9)).decode().rstrip("=")


def unpack(packed: str) -> str:
    """The query of a packed link. Unprocessable: it is not whole, or larger than any that the app packs."""
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
    rows = tuple(ClampRow.read(text) for text in query.getlist("clamp")[:MAX_CLAMPS])
    texts = query.getlist(kind) or [EXAMPLE_CHAT if kind == "chat" else EXAMPLE_PROMPT]
    if kind == "chat" and not len(texts) % 2:
        texts.append("")  # the last turn is the assistant's: the next is to be written
    return Composition(
        model=model,
        kind=kind,
        text=texts[-1],
        system=query.get("system", ""),
        earlier=tuple(texts[:-1]) if kind == "chat" else (),
        rows=rows or (ClampRow(),),
        knobs={name: query.get(name, default) for name, default in DEFAULTS.items()},
        watch=", ".join(query.getlist("watch")),
        sweep={name: query.get(name, default) for name, default in SWEEP.items()},
    )


def from_form(form: FormData) -> Composition:
    """Read the posted form."""

    def texts(name: str) -> list[str]:
        return [value.replace("\r\n", "\n") for value in form.getlist(name) if isinstance(value, str)]

    def text(name: str, default: str = "") -> str:
        return next(iter(texts(name)), default)

    turns = texts("turn")
    columns = zip(*(texts(name) for name in ("neuron", "site", "mode", "value")), strict=False)
    return Composition(
        model=text("model"),
        kind="prompt" if text("kind") == "prompt" else "chat",
        text=text("text"),
        system=text("system"),
        earlier=tuple(turns[: len(turns) // 2 * 2]),
        rows=tuple(ClampRow(*(part.strip() for part in row)) for row in columns)[:MAX_CLAMPS] or (ClampRow(),),
        knobs={name: text(name, default).strip() or default for name, default in DEFAULTS.items()},
        watch=text("watch").strip(),
        sweep={name: text(name, default).strip() or default for name, default in SWEEP.items()},
    )

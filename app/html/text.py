"""Tokens and numbers as text for people.

A token's text comes from a model's vocabulary and is untrusted: characters that move, hide or reorder text are shown
as escapes, and very long tokens are cut. The module knows nothing of HTML; templates put its pieces into elements.
"""

import math
import re
import unicodedata
from typing import Literal, NamedTuple

from neuronym.label_tables import fold

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EM DASH}"
TOKEN_LENGTH = 48
JOINERS = "\u200c\u200d"  # harmless between two visible characters, and needed there by several scripts and emoji
ESCAPED = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs", "Me"}

_COMMON = re.compile(" ?([!-~]+)")  # what most tokens are, of which a page has hundreds: ASCII without inner spaces

PieceKind = Literal["text", "space", "newline", "tab", "escape", "cut"]


class Piece(NamedTuple):
    """A stretch of a token that is shown in one way."""

    kind: PieceKind
    text: str


def pieces(text: str, length: int = TOKEN_LENGTH) -> list[Piece]:
    """Split a token's text into pieces that are each shown in one way; cut it after `length` characters."""
    if len(text) <= length and (common := _COMMON.fullmatch(text)):
        return [Piece("space", " "), Piece("text", common[1])] if text[0] == " " else [Piece("text", text)]
    shown: list[Piece] = []
    for place, character in enumerate(text[:length]):
        piece = _piece(text, place, character)
        if shown and piece.kind == "text" == shown[-1].kind:
            shown[-1] = Piece("text", shown[-1].text + piece.text)
        else:
            shown.append(piece)
    if len(text) > length:
        shown.append(Piece("cut", f"{len(text) - length:,} more characters"))
    return shown


def flowing(text: str) -> list[Piece]:
    """The pieces of a generated token inside running text, where spaces, tabs and line breaks stay as they are."""
    plain_kinds = ("space", "newline", "tab")
    return [Piece("text", piece.text) if piece.kind in plain_kinds else piece for piece in pieces(text, 2_000)]


def _piece(text: str, place: int, character: str) -> Piece:
    if character == "\n":
        return Piece("newline", character)
    if character == "\t":
        return Piece("tab", character)
    if character == " ":
        return Piece("text" if 0 < place < len(text) - 1 and text.strip() else "space", character)
    if character in JOINERS and 0 < place < len(text) - 1:
        return Piece("text", character)
    if unicodedata.category(character) in ESCAPED:
        return Piece("escape", escape(character))
    if place == 0 and unicodedata.combining(character):
        return Piece("text", "\N{DOTTED CIRCLE}" + character)
    return Piece("text", character)


def escape(character: str) -> str:
    """The character as an escape of source code, such as `\\u202e`."""
    value = ord(character)
    return f"\\x{value:02x}" if value < 256 else f"\\u{value:04x}" if value < 65_536 else f"\\U{value:08x}"


def plain(text: str, length: int = TOKEN_LENGTH) -> str:
    """A token as one line of plain text, for titles and labels."""
    marks = {"newline": "\\n", "tab": "\\t", "cut": "…"}
    line = "".join(marks.get(piece.kind, piece.text) for piece in pieces(text, length))
    return line.strip() or "space"


def name(tokens: list[str], most: int = 3) -> str:
    """A neuron's name: its first `most` tokens that differ by more than case and surrounding white space."""
    words: dict[str, str] = {}
    for text in tokens:
        words.setdefault(plain(fold(text), 24), plain(text, 24))
    return ", ".join(list(words.values())[:most])


def number(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """A rounded number with a real minus sign; a dash if `value` is None or not finite."""
    if value is None or not math.isfinite(value):
        return NOTHING
    rounded = round(value, digits) + 0.0  # no minus zero
    sign = MINUS if rounded < 0 else "+" if signed and rounded > 0 else ""
    return f"{sign}{abs(rounded):,.{digits}f}"


def count(value: int) -> str:
    """A whole number with commas between the thousands."""
    return f"{value:,}"


def percent(share: float | None) -> str:
    """A share between 0 and 1 as a percentage of about three significant digits; a dash if it is None."""
    if share is None or not math.isfinite(share):
        return NOTHING
    value = share * 100
    if 0 < value < 0.001:
        return "<0.001%"
    digits = 1 if value >= 10 or value == 0 else 2 if value >= 0.1 else 3
    return f"{value:.{digits}f}%"


def probability(logprob: float | None) -> str:
    """A natural-log probability as a percentage; a dash if it is None."""
    return percent(None if logprob is None else math.exp(min(logprob, 0.0)))


def ordinal(value: int) -> str:
    """A place in an order: 1st, 2nd, 3rd, 11th."""
    suffix = {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{value:,}{'th' if value % 100 in (11, 12, 13) else suffix}"


def plural(value: int, singular: str, many: str | None = None) -> str:
    """A count with its noun; the plural is `many`, or `singular` with an s."""
    return f"{value:,} {singular if value == 1 else many or singular + 's'}"

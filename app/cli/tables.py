"""Formats the answers of a search or a sweep as text for a terminal.

Token texts come from a model: their control characters are escaped.
"""

from collections.abc import Iterator, Sequence
from math import exp

from neuronym.contract import SearchAnswer, SearchResult, SweepAnswer, Token
from neuronym.label_tables import outcome

HEADINGS = ("neuron", "model", "view", "token", "z", "score", "strength", "effect", "named")


def listing(answer: SearchAnswer) -> Iterator[str]:
    """Yield the lines of a search: neurons, results in aligned columns, their number, pieces and notes."""
    for neuron in answer.neurons:
        yield f"{neuron.neuron} in {neuron.model}"
    if answer.results:
        yield from _table([HEADINGS, *map(_row, answer.results)])
        last = answer.offset + len(answer.results)
        yield f"{answer.offset + 1} to {last} of {answer.total}, {answer.query['lens']} lens"
    elif answer.tokens:
        yield f"No neuron that fits is named after {', '.join(map(quote_token, answer.tokens))}."
    if answer.pieces:
        yield f"Pieces: {' '.join(map(quote_token, answer.pieces))}"
    yield from answer.notes


def quote_token(token: Token) -> str:
    """Write a token in quotes, so that its leading space is visible, with its control characters escaped."""
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in token.text)
    return f"'{text}'"


def _row(result: SearchResult) -> tuple[str, ...]:
    token = quote_token(Token(token_id=result.token_id, text=result.token))
    named = " ".join(map(quote_token, result.top_tokens if result.bottom_tokens is None else result.bottom_tokens))
    strength = result.strength.value if result.strength else ""
    numbers = (f"{result.z:.1f}", f"{result.score:.3f}")
    return (result.neuron, result.model, result.view.value, token, *numbers, strength, _effect(result), named)


def _effect(result: SearchResult) -> str:
    """The change of the label's first token when the neuron is clamped high, and whether the label holds."""
    if result.effect is None:
        return ""
    return f"{result.effect:+.3f} {outcome(result.effect, result.side) or ''}".rstrip()


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def sweep_listing(answer: SweepAnswer) -> Iterator[str]:
    """Yield the lines of a sweep: for each model a table of probabilities in per cent, by value and token."""
    for curve in answer.curves:
        yield f"{answer.neuron} {answer.site.value} {answer.mode.value}, {answer.unit} values, in {curve.model}"
        base = ["no clamp", *(_percent(exp(token.baseline)) for token in curve.tokens)]
        rows = [
            [f"{value:g}", *(_percent(token.probabilities[place]) for token in curve.tokens)]
            for place, value in enumerate(answer.values)
        ]
        yield from _table([["value", *map(quote_token, curve.tokens)], base, *rows])


def _percent(probability: float) -> str:
    return f"{100 * probability:.3f}%"

"""Answers of a search or a sweep as text for a terminal.

Token texts come from a model: nothing in them reaches the terminal raw.
"""

from collections.abc import Iterator, Sequence
from math import exp

from neuronym.contract import SearchAnswer, SearchResult, SweepAnswer, Token
from neuronym.label_tables import outcome

HEADINGS = ("neuron", "model", "view", "token", "z", "score", "strength", "effect", "named")


def listing(answer: SearchAnswer) -> Iterator[str]:
    """Aligned lines: the results, how many there are, and what else was found."""
    for ref in answer.neurons:
        yield f"{ref.neuron} in {ref.model}"
    if answer.results:
        yield from _table([HEADINGS, *map(_row, answer.results)])
        last = answer.offset + len(answer.results)
        yield f"{answer.offset + 1} to {last} of {answer.total}, {answer.query['lens']} lens"
    elif answer.tokens:
        yield f"No neuron that fits is named after {', '.join(map(shown, answer.tokens))}."
    if answer.pieces:
        yield f"Pieces: {' '.join(map(shown, answer.pieces))}"
    yield from answer.notes


def shown(token: Token) -> str:
    """A token in quotes, its leading space seen, its control characters escaped."""
    text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in token.text)
    return f"'{text}'"


def _row(result: SearchResult) -> tuple[str, ...]:
    token = shown(Token(token_id=result.token_id, text=result.token))
    named = " ".join(map(shown, result.top_tokens if result.bottom_tokens is None else result.bottom_tokens))
    strength = result.strength.value if result.strength else ""
    numbers = (f"{result.z:.1f}", f"{result.score:.3f}")
    return (result.neuron, result.model, result.view.value, token, *numbers, strength, _effect(result), named)


def _effect(result: SearchResult) -> str:
    """What clamping the neuron high does to the label's first token, and whether the label holds."""
    if result.effect is None:
        return ""
    return f"{result.effect:+.3f} {outcome(result.effect, result.side) or ''}".rstrip()


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def swept(answer: SweepAnswer) -> Iterator[str]:
    """A sweep as a table for each model: a line a value, a column a token, probabilities in per cent."""
    for curve in answer.curves:
        yield f"{answer.neuron} {answer.site.value} {answer.mode.value}, {answer.unit} values, in {curve.model}"
        base = ["no clamp", *(_share(exp(token.baseline)) for token in curve.tokens)]
        rows = [
            [f"{value:g}", *(_share(token.probabilities[place]) for token in curve.tokens)]
            for place, value in enumerate(answer.values)
        ]
        yield from _table([["value", *map(shown, curve.tokens)], base, *rows])


def _share(probability: float) -> str:
    return f"{100 * probability:.3f}%"

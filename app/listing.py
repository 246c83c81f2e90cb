"""Answers of a search as text for a terminal.

Token texts come from a model: nothing in them reaches the terminal raw.
"""

from collections.abc import Iterator, Sequence

from app.contract import SearchAnswer, SearchResult, Token

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
    effect = "" if result.effect is None else f"{result.effect:+.2f}"
    token = shown(Token(token_id=result.token_id, text=result.token))
    named = " ".join(map(shown, result.top_tokens))
    strength = result.strength.value if result.strength else ""
    numbers = (f"{result.z:.1f}", f"{result.score:.3f}")
    return (result.neuron, result.model, result.view.value, token, *numbers, strength, effect, named)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()

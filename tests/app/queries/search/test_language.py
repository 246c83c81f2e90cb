"""The language of the search box: every text means something, and no text takes long to read."""

from time import perf_counter

import pytest

from app.queries.search.language import MAX_ALTERNATIVES, Alternative, parse
from neuronym.neuron_name import NeuronName


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("California", "word", "California"),
        ("  New York \t", "word", "New York"),
        ('" California"', "exact", " California"),
        ('"a""b"', "exact", 'a"b'),
        ('""""', "exact", '"'),
        ('","', "exact", ","),
        ('"\n"', "exact", "\n"),
        ('"not closed, yet', "exact", "not closed, yet"),
        ("cali*", "prefix", "cali"),
        ("cali *", "prefix", "cali"),
        ('"', "word", '"'),
        ('""', "word", '""'),
        ("*", "word", "*"),
        ("**", "word", "**"),
        ("a*b", "word", "a*b"),
        ("*a*", "word", "*a*"),
        ("%", "word", "%"),
        ('say "dog"', "word", 'say "dog"'),
        ('"dog" house', "word", '"dog" house'),
        ("'; drop table label; --", "word", "'; drop table label; --"),
        ("L22", "word", "L22"),
        ("L1N1234567890", "word", "L1N1234567890"),
    ],
)
def test_one_alternative(text: str, kind: str, expected: str) -> None:
    parsed = parse(text)
    assert [(alternative.kind, alternative.text) for alternative in parsed.alternatives] == [(kind, expected)]
    assert not parsed.neurons
    assert not parsed.notes


def test_commas_separate_alternatives_but_not_inside_quotes() -> None:
    parsed = parse('dog, " puppy, small",, cali*,dog')
    expected = [Alternative("word", "dog"), Alternative("exact", " puppy, small"), Alternative("prefix", "cali")]
    assert parsed.alternatives == expected


@pytest.mark.parametrize("text", ["L22N57", "l22n57", " L22n57 "])
def test_a_neurons_name_is_an_address(text: str) -> None:
    parsed = parse(f"{text}, dog")
    assert parsed.neurons == [NeuronName(22, 57)]
    assert parsed.alternatives == [Alternative("word", "dog")]


@pytest.mark.parametrize("text", ["", " ", "\t\n", ",", " , ,, "])
def test_nothing_asked_is_said(text: str) -> None:
    parsed = parse(text)
    assert not parsed.alternatives
    assert parsed.notes == ["Type a word, for example California, or the name of a neuron, for example L22N57."]


def test_only_so_many_alternatives_are_looked_up() -> None:
    parsed = parse(",".join(f"word{number}" for number in range(MAX_ALTERNATIVES + 1)))
    assert len(parsed.alternatives) == MAX_ALTERNATIVES
    assert parsed.notes == ["Only the first 64 of 65 alternatives were looked up."]


@pytest.mark.parametrize("piece", ['"', '"a', '"a"', '" ', " ", ",", "a,", "*", "a*", 'a"', '""', '"" ', "x", '", "'])
def test_reading_takes_time_in_proportion(piece: str) -> None:
    start = perf_counter()
    parse(piece * (100_000 // len(piece)))
    assert perf_counter() - start < 2

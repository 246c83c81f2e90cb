"""Reads and writes the name of a neuron in its model: layer and index, as `L22N57`.

The search box, the playground's form and links, the command line and exported tables all use this grammar.
"""

import re
from dataclasses import dataclass
from typing import Self

EXAMPLE = "L29N808"  # for sentences that say how to write a name
FORMAT = "L{}N{}"  # for both Python's and DuckDB's `format`

_SPACE = r"[\s\x1c-\x1f\x85\ufeff]*"  # what Python or browsers take for white space, so that both mean the same

# No flags and no syntax of Python's own: the pattern is that of the form's field, too, where JavaScript reads it. A
# mixture of experts would have one more number between the two, as L22E17N57, or L22S0N57 in a shared expert.
PATTERN = rf"{_SPACE}[Ll]([0-9]{{1,9}})[Nn]([0-9]{{1,9}}){_SPACE}"


@dataclass(frozen=True)
class NeuronName:
    """The layer and index of a neuron in any model; as text, its name."""

    layer: int
    index: int

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The neuron that a text names, in either case and with white space around it; None if it names none."""
        match = re.fullmatch(PATTERN, text)
        return cls(*map(int, match.groups())) if match else None

    def __str__(self) -> str:
        return FORMAT.format(self.layer, self.index)

"""A neuron's name in its model, `L22N57`: its layer and its index there, read and written.

The one grammar for the search box, the playground's form, its links, the command line and exported tables.
"""

import re
from dataclasses import dataclass
from typing import Self

EXAMPLE = "L29N808"  # how to write one, for whoever wrote something else
FORMAT = "L{}N{}"  # Python's `format` and DuckDB's read it alike

_SPACE = r"[\s\x1c-\x1f\x85\ufeff]*"  # what Python or browsers take for white space, so that both mean the same

# No flags and no syntax of Python's own: the pattern is that of the form's field, too, where JavaScript reads it. A
# mixture of experts would have one more number between the two, as L22E17N57, or L22S0N57 in a shared expert.
PATTERN = rf"{_SPACE}[Ll]([0-9]{{1,9}})[Nn]([0-9]{{1,9}}){_SPACE}"


@dataclass(frozen=True)
class NeuronName:
    """A neuron of any model. As text it is its name."""

    layer: int
    index: int

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The neuron that a text names, in either case and with white space around it; None if it names none."""
        named = re.fullmatch(PATTERN, text)
        return cls(*map(int, named.groups())) if named else None

    def __str__(self) -> str:
        return FORMAT.format(self.layer, self.index)

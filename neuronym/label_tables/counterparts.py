"""The counterparts file beside the label file of a pair: what searches show of each label's counterpart.

It holds what the table `drift` holds, row for row, in records of one size. A page reads some fifty of them, far apart:
by their place in a file that takes microseconds, in a table of a database it takes as long as reading the table.
"""

import struct
from pathlib import Path

from neuronym.label_tables.codes import NAMED

HEADER = struct.Struct("<8sQ")  # MAGIC, and the number of records
MAGIC = b"NRNMCP01"
RECORD = struct.Struct(f"<f??xx{2 * NAMED}i")  # cosine, same_top, near_tie, base_0..., instruct_0...; -1 for no token
NO_TOKEN = -1


def counterparts_file(label_file: Path) -> Path:
    """The path of the counterparts file of a pair, by that of its label file."""
    return label_file.with_suffix(".counterparts")

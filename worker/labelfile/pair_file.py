"""The label file of a pair: how far each neuron moved from base to instruct, and what became of its label.

Built from the files of both models and from the cosines of their weights; opens files by
`worker.labelfile.label_file`, and publishes nothing.
"""

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from neuronym import label_tables
from neuronym.label_tables import NAMED, counterparts_file
from worker.errors import LabelFileError
from worker.labelfile.counterpart_records import write_counterparts
from worker.labelfile.derived import strength_of, thresholds_of
from worker.labelfile.label_file import BEFORE, BUILDING, NewFile, write_file

NEAR_TIE = 0.1  # standard deviations between a model's top token and the other model's; less counts as a tie
BASE, INSTRUCT = "base_file", "instruct_file"  # what the files of the models are called in statements

_TOKENS = {side: [f"{side}_{place}" for place in range(NAMED)] for side in ("base", "instruct")}
_TOKEN_COLUMNS = ", ".join(name for names in _TOKENS.values() for name in names)
_TOKEN_VALUES = ", ".join(
    f"{side[0]}.top_ids[{place + 1}] AS {name}" for side, names in _TOKENS.items() for place, name in enumerate(names)
)

# `moved` (view, layer, neuron, cosine) holds the cosines of weights that mapping the pair measured.
_DRIFT = f"""
    INSERT INTO drift (view, lens, layer, expert, neuron, cosine, same_top, base_rank, instruct_rank, near_tie,
        base_margin, instruct_margin, overlap, {_TOKEN_COLUMNS})
    SELECT b.view, b.lens, b.layer, b.expert, b.neuron, moved.cosine,
        b.top_ids[1] = i.top_ids[1] AS same_top,
        list_position(b.top_ids, i.top_ids[1]) - 1 AS base_rank,
        list_position(i.top_ids, b.top_ids[1]) - 1 AS instruct_rank,
        NOT same_top
            AND coalesce(b.top_scores[1] - b.top_scores[base_rank + 1] < {NEAR_TIE} * b.std, false)
            AND coalesce(i.top_scores[1] - i.top_scores[instruct_rank + 1] < {NEAR_TIE} * i.std, false) AS near_tie,
        b.margin, i.margin,
        len(list_intersect(b.top_ids, i.top_ids)) / least(len(b.top_ids), len(i.top_ids)) AS overlap, {_TOKEN_VALUES}
    FROM moved
    JOIN {BASE}.label b ON (b.view, b.layer, b.neuron) = (moved.view, moved.layer, moved.neuron)
    JOIN {INSTRUCT}.label i ON (i.view, i.lens, i.layer, i.neuron) = (b.view, b.lens, b.layer, b.neuron)
        AND i.expert IS NOT DISTINCT FROM b.expert
    ORDER BY b.view, b.lens, b.layer, b.expert, b.neuron"""

_MEASURES = "count(*), avg(same_top::INT), avg(near_tie::INT), avg(cosine), avg(overlap)"

_AGREEMENT = f"""
    INSERT INTO agreement (view, lens, layer, strength, neurons, agreement, near_ties, mean_cosine, mean_overlap)
    SELECT d.view, d.lens, d.layer, NULL, {_MEASURES} FROM drift d
    GROUP BY GROUPING SETS ((d.view, d.lens), (d.view, d.lens, d.layer))
    UNION ALL
    SELECT d.view, d.lens, NULL, {strength_of("l", "top_scores")} AS top_strength, {_MEASURES}
    FROM drift d
    JOIN {BASE}.label l ON (l.view, l.lens, l.layer, l.neuron) = (d.view, d.lens, d.layer, d.neuron)
        AND l.expert IS NOT DISTINCT FROM d.expert
    JOIN ({thresholds_of(f"{BASE}.measurement")}) t ON (t.view, t.lens, t.layer) = (l.view, l.lens, l.layer)
    GROUP BY d.view, d.lens, top_strength"""

_CONCEPTS = """
    INSERT INTO concept (view, lens, token, base_neurons, instruct_neurons)
    SELECT view, lens, token, sum(base)::INT, sum(instruct)::INT FROM (
        SELECT view, lens, base_0 AS token, 1 AS base, 0 AS instruct FROM drift
        UNION ALL SELECT view, lens, instruct_0, 0, 1 FROM drift)
    GROUP BY view, lens, token
    HAVING sum(base) <> sum(instruct)
    ORDER BY view, lens, token"""


@dataclass(frozen=True)
class PairContents:
    """What the file of a pair is made of.

    Args:
        moved: SQL of the columns view, layer, neuron and cosine, one row a neuron and view.
        files: the files of base and instruct model, whose labels are compared.
        sources: other files that `moved` reads from, by their name in it.
        mapped_in: the runs that base and instruct model were mapped in, where not those of `files`.
    """

    name: str
    base: str
    instruct: str
    note: str | None
    moved: str
    files: tuple[Path, Path]
    sources: tuple[tuple[str, Path], ...] = ()
    mapped_in: tuple[str, str] | None = None


def build_pair_file(path: Path, run: str, contents: PairContents, memory: int) -> None:
    """Write the file of a pair, whole or not at all.

    Args:
        memory: the most that DuckDB may use, in bytes.

    Raises:
        LabelFileError: the disk is full, the memory too small, a source cannot be read, or no neuron is in both.
    """
    sources = dict(zip((BASE, INSTRUCT), contents.files, strict=True)) | dict(contents.sources)
    with write_file(path, run, memory, sources) as new:
        _insert_pair(new, contents)
        new.connection.execute(sa.text(f"CREATE TEMP TABLE moved AS {contents.moved}"))
        for statement in (_DRIFT, _AGREEMENT, _CONCEPTS):
            new.connection.execute(sa.text(statement))
        if not new.connection.scalar(sa.text("SELECT count(*) FROM drift")):
            raise LabelFileError(f"{contents.base} and {contents.instruct} have no layer in common that is mapped.")
        _publish_counterparts(new, path)


def copy_pair_file(path: Path, run: str, before: Path, memory: int) -> None:
    """Write the file of a pair with all that the file `before` holds, which may be of an earlier version.

    Args:
        memory: the most that DuckDB may use, in bytes.

    Raises:
        LabelFileError: the disk is full, the memory too small, or the file cannot be read.
    """
    with write_file(path, run, memory, {BEFORE: before}) as new:
        for table in ("pair", "drift", "agreement", "concept"):
            new.connection.execute(sa.text(f"INSERT INTO {table} BY NAME SELECT * FROM {BEFORE}.{table}"))
        _publish_counterparts(new, path)


def _publish_counterparts(new: NewFile, path: Path) -> None:
    """Write the counterparts of the file that will be at `path`, before it, as it makes the two current."""
    unfinished = path.with_name(f"{BUILDING}{counterparts_file(path).name}")
    write_counterparts(new.connection, unfinished)
    unfinished.rename(counterparts_file(path))


def _insert_pair(new: NewFile, contents: PairContents) -> None:
    """Write the row of the pair, with the runs that the labels of its models are of."""
    base, instruct = (
        new.connection.execute(sa.text(f"SELECT mapped_in, tokenizer FROM {name}.model")).one()
        for name in (BASE, INSTRUCT)
    )
    base_run, instruct_run = contents.mapped_in or (base.mapped_in, instruct.mapped_in)
    new.connection.execute(
        sa.insert(label_tables.pair).values(
            name=contents.name,
            base=contents.base,
            instruct=contents.instruct,
            base_mapped_in=base_run,
            instruct_mapped_in=instruct_run,
            tokenizer=base.tokenizer,
            note=contents.note,
        )
    )

"""How a library of ten models answers beside one of two: searches of one model, of one pair, and of all there are.

Five pairs are drawn as in `benchmarks.large_library`, of the demo's size unless options say another. Libraries of the
first two, four, ... models share the files, and are served one after the other; each is asked the same searches, one
after the other by one client.
"""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from benchmarks.client import Client, Rows
from benchmarks.drawn_labels import Shape, write_shards
from benchmarks.large_library import publish_drawn
from benchmarks.questions import Searches, read_library, search_request
from benchmarks.served import serving
from benchmarks.timing import describe_machine
from benchmarks.visits import visit_in_turn
from neuronym.library import Catalogue, library_folder, read_catalogue, replace_catalogue

PAIRS = 5
LAYERS, NEURONS, VOCAB = 30, 1536, 49_152  # of the demo
SEARCHES, WARM_UP = 60, 10
ONE, PAIR, ALL = "one model", "one pair", "all"
TARGETS = {f"{asked}: of 10 models / of 2": "at most 1.5" for asked in (ONE, PAIR)}


def make_pairs(data: Path, pairs: int, sizes: tuple[int, int, int]) -> None:
    """Draw one pair, and publish it under as many names."""
    with tempfile.TemporaryDirectory(dir=data) as shards:
        folder, drawn = Path(shards), Shape("pair-0", *sizes)
        write_shards(folder, drawn)
        for number in range(pairs):
            shape = Shape(f"pair-{number}", *sizes)
            for name, source in zip((*shape.models, shape.pair), (*drawn.models, drawn.pair), strict=True):
                if number:
                    (folder / name).symlink_to(source)
            publish_drawn(data, folder, shape)


@contextmanager
def first_pairs(data: Path, pairs: int) -> Iterator[Path]:
    """A data folder with the first pairs of another, whose files it shares."""
    with tempfile.TemporaryDirectory() as folder:
        few, whole = Path(folder), read_catalogue(data)
        library_folder(few).mkdir()
        for kind in ("models", "pairs"):
            (library_folder(few) / kind).symlink_to(library_folder(data) / kind)
        replace_catalogue(few, Catalogue(run=whole.run, models=whole.models[: 2 * pairs], pairs=whole.pairs[:pairs]))
        yield few


async def ask(data: Path, questions: list[dict[str, str]]) -> Rows:
    """Serve a data folder, and ask it: rows by what was asked."""
    with serving(data) as served:
        client = Client(served)
        scopes = {ALL: {}, PAIR: {"pair": "pair-0"}, ONE: {"model": "pair-0-base"}}
        for scope, filters in scopes.items():
            requests = [search_request("partial", question | filters) for question in questions]
            await visit_in_turn(client.ask, requests[:WARM_UP])
            await client.record(scope, visit_in_turn(client.ask, requests[WARM_UP:]))
        await client.close()
    return client.rows


async def draw_questions(data: Path) -> list[dict[str, str]]:
    """Draw searches from the words of a data folder."""
    with serving(data) as served:
        client = Client(served)
        questions = list(islice(Searches(await read_library(client.read)), SEARCHES + WARM_UP))
        await client.close()
    return questions


def measure(data: Path, pairs: int) -> dict[str, object]:
    """Ask libraries of growing size; return the rows, and the ratios of their medians."""
    rows: Rows = {}
    with first_pairs(data, 1) as few:
        questions = asyncio.run(draw_questions(few))
    for number in range(1, pairs + 1):
        with first_pairs(data, number) as few:
            answered = asyncio.run(ask(few, questions))
        rows |= {f"{asked} of {2 * number} models": row for asked, row in answered.items()}
    medians = {name: row["median, ms"] for name, row in rows.items()}
    most = 2 * pairs
    figures: dict[str, object] = {
        f"{asked}: of {most} models / of 2": _ratio(medians, f"{asked} of {most} models", f"{asked} of 2 models")
        for asked in (ONE, PAIR)
    }
    figures |= {
        f"all {2 * number} models / all 2": _ratio(medians, f"{ALL} of {2 * number} models", f"{ALL} of 2 models")
        for number in range(2, pairs + 1)
    }
    return {"rows": rows, "figures": figures}


def _ratio(medians: dict[str, float], one: str, other: str) -> float:
    return round(medians[one] / medians[other], 2)


def main() -> None:
    """Make the library and measure it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--neurons", type=int, default=NEURONS)
    parser.add_argument("--vocab", type=int, default=VOCAB)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    options = parser.parse_args()
    about = describe_machine()
    with tempfile.TemporaryDirectory() as folder:
        make_pairs(Path(folder), options.pairs, (options.layers, options.neurons, options.vocab))
        measured = measure(Path(folder), options.pairs)
    print(json.dumps({"machine": about, "targets": TARGETS} | measured))


if __name__ == "__main__":
    main()

"""Tokens that make a poor name are found by their kind and by their row of the head."""

from pathlib import Path

import torch

from neuronym.contract import Kind
from neuronym.label_tables import code
from tests.reading import rows
from worker.checkpoints.vocabulary import Entry, Vocabulary
from worker.lens.exact import Head
from worker.lens.odd_tokens import odd_share, odd_tokens


def vocabulary(kinds: dict[int, Kind], size: int) -> Vocabulary:
    entries = [Entry(id_, f"t{id_}", f"t{id_}", kinds.get(id_, Kind.word)) for id_ in range(size)]
    return Vocabulary(entries, "hash", "{}")


def test_odd_tokens_are_special_broken_unusually_long_or_like_the_unseen() -> None:
    weight = torch.randn(600, 48, generator=torch.Generator().manual_seed(2)) + 1.5  # rows share a large mean
    never_seen = torch.randn(48, generator=torch.Generator().manual_seed(3)) * 1.5
    for unseen in (10, 11, 12, 400):
        weight[unseen] = never_seen + 0.1 * weight[unseen] + 1.4
    weight[50] *= 4
    weight[51] /= 20
    head = Head(weight, torch.tensor([id_ for id_ in range(600) if id_ != 99]))
    kinds = {10: Kind.special, 11: Kind.special, 12: Kind.special, 20: Kind.bytes}
    odd = odd_tokens(head, vocabulary(kinds, 600))
    assert {10, 11, 12, 20, 50, 51, 400} <= set(odd.nonzero()[:, 0].tolist())
    assert odd.sum() <= 7 + 6  # chance
    assert not odd[99]
    share = odd_share(
        torch.tensor([[10, 50, 1, 2], [1, 2, 3, 4]]), odd.index_fill(0, torch.tensor([1, 2, 3, 4]), False)
    )
    assert share.tolist() == [0.5, 0]


def test_a_vocabulary_without_special_tokens_has_rare_ones_still() -> None:
    weight = torch.randn(300, 16, generator=torch.Generator().manual_seed(2))
    weight[7] *= 9
    assert odd_tokens(Head(weight, torch.arange(300)), vocabulary({}, 300))[7]


def test_the_label_file_holds_the_share_of_odd_tokens(data_folder: Path) -> None:
    odd = f"(t.kind IN ({code(Kind.special)}, {code(Kind.bytes)}))"
    wrong = rows(
        data_folder,
        f"""SELECT count(*) FROM (
            SELECT any_value(odd_share) AS share, avg({odd}::INT) AS least
            FROM (SELECT *, unnest(top_ids) AS token FROM label) l JOIN token t ON t.id = l.token
            GROUP BY l.model, view, lens, layer, neuron)
        WHERE share IS NULL OR share < least - 1e-6 OR share > 1""",
    )
    assert wrong == [(0,)]

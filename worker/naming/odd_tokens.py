"""Tokens that make a poor name: special ones, pieces of a character, and rare ones, as far as weights tell.

No text says how often a token was seen in training, but its row of the head does. A row is taken for rare when its
length is more than 3 robust deviations from the median (fragments such as ` strugg`, which other tokens swallow), or
when it lies where the special tokens lie, most of which were never seen: cosine above 0.5 about the mean row, after
Land and Bartolo 2024 (arXiv 2405.05417). Knows the head and its vocabulary; knows no labels.
"""

import torch
from torch import Tensor

from app.contract import Kind
from worker.checkpoints.vocabulary import Vocabulary
from worker.naming.lens import Head, robust_z

UNUSUAL = 3.0  # robust deviations of a row's length from the median
UNSEEN = 0.5  # cosine with the mean special token, about the mean row


def odd_tokens(head: Head, vocabulary: Vocabulary) -> Tensor:
    """Which token ids are special, pieces of a character, or rare, `(largest id + 1,)`."""
    kinds = {entry.id: entry.kind for entry in vocabulary.entries}
    found = [kinds[token] for token in head.token_ids.tolist()]
    special = torch.tensor([kind is Kind.special for kind in found])  # (vocab,)
    piece = torch.tensor([kind is Kind.bytes for kind in found])
    lengths = torch.linalg.vector_norm(head.weight, dim=1)
    rare = (robust_z(lengths).abs() > UNUSUAL) | (_likeness(head.weight, special) > UNSEEN)
    odd = torch.zeros(int(head.token_ids.max()) + 1, dtype=torch.bool)
    odd[head.token_ids] = special | piece | rare
    return odd


def _likeness(weight: Tensor, special: Tensor) -> Tensor:
    """Cosine of each head row with the mean special token, both about the mean row, `(vocab,)`."""
    mean = weight.mean(0)
    apart = torch.nn.functional.normalize(weight[special] - mean, dim=1)  # (special, width)
    if not len(apart):
        return weight.new_zeros(len(weight))
    direction = torch.nn.functional.normalize(apart.mean(0), dim=0)
    squared = weight.square().sum(1) - 2 * weight @ mean + mean @ mean  # of the distance from the mean row
    return (weight @ direction - mean @ direction) / squared.clamp(min=1e-12).sqrt()


def odd_share(ids: Tensor, odd: Tensor) -> Tensor:
    """Share of odd tokens among each label's, `(rows,)`, given their ids `(rows, k)`."""
    return odd[ids].float().mean(1)

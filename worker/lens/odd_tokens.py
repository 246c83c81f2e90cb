"""Tokens that make a poor name: special ones, pieces of a character, and rare ones, as far as weights tell.

No text says how often a token was seen in training, but its row of the head does. A row is taken for rare when its
length is more than 3 robust deviations from the median (fragments such as ` strugg`, which other tokens swallow), or
when it lies where the special tokens lie, most of which were never seen: cosine above 0.5 about the mean row, after
Land and Bartolo 2024 (arXiv 2405.05417). Knows the head and its vocabulary; knows no labels.
"""

import torch
from torch import Tensor

from neuronym.contract import Kind, Lens
from worker.checkpoints.vocabulary import Vocabulary
from worker.lens.exact import Head, robust_z
from worker.lens.statistics import fp32_blocks

UNUSUAL = 3.0  # robust deviations of a row's length from the median
UNSEEN = 0.5  # cosine with the mean special token, about the mean row


def odd_tokens(head: Head, vocabulary: Vocabulary) -> Tensor:
    """Flag the token ids that are special, pieces of a character, or rare, `(largest id + 1,)`."""
    kinds, device = {entry.id: entry.kind for entry in vocabulary.entries}, head.token_ids.device
    token_kinds = [kinds[token] for token in head.token_ids.tolist()]
    special = torch.tensor([kind is Kind.special for kind in token_kinds], device=device)  # (vocab,)
    piece = torch.tensor([kind is Kind.bytes for kind in token_kinds], device=device)
    rare = (robust_z(head.norms).abs() > UNUSUAL) | (_likeness(head, special) > UNSEEN)
    odd = torch.zeros(int(head.token_ids.max()) + 1, dtype=torch.bool, device=device)
    odd[head.token_ids] = special | piece | rare
    return odd


def _likeness(head: Head, special: Tensor) -> Tensor:
    """Cosine of each head row with the mean special token, both about the mean row, `(vocab,)`."""
    mean = head.moments(Lens.logit).mean.float()
    centred = torch.nn.functional.normalize(head.weight[special].float() - mean, dim=1)  # (special, width)
    if not len(centred):
        return torch.zeros_like(head.norms)
    direction = torch.nn.functional.normalize(centred.mean(0), dim=0)
    projections = torch.cat(
        [block @ torch.stack([mean, direction], 1) for block in fp32_blocks(head.weight)]
    )  # (vocab, 2)
    squared = head.norms.square() - 2 * projections[:, 0] + mean @ mean  # of the distance from the mean row
    return (projections[:, 1] - mean @ direction) / squared.clamp(min=1e-12).sqrt()


def odd_share(ids: Tensor, odd: Tensor) -> Tensor:
    """Share of odd tokens among each label's, `(rows,)`, given their ids `(rows, k)`."""
    return odd[ids].float().mean(1)

"""The figures of the stand-in's card: held-out loss, the share of labels that stay, and samples of its text.

Pure functions of a model or of weights; knows neither the recipe nor the training text.
"""

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

_BATCH = 4


@torch.inference_mode()
def held_out_loss(model: torch.nn.Module, blocks: torch.Tensor) -> float:
    """Compute the mean negative log-likelihood in nats a token over `blocks`, (blocks, length)."""
    losses = [model(input_ids=batch, labels=batch).loss.item() * len(batch) for batch in torch.split(blocks, _BATCH)]
    return float(sum(losses) / len(blocks))


@dataclass(frozen=True)
class Drift:
    """How far one view moved, over all layers: shares of neurons, and the cosine of the two rows."""

    same_top_logit: float
    same_top_cosine: float
    median_cosine: float
    tenth_cosine: float  # one row in ten has a lower cosine


@torch.inference_mode()
def drift(before: list[torch.Tensor], after: list[torch.Tensor], head: torch.Tensor) -> Drift:
    """Compare rows, (neurons, width) a layer, decoded through `head`, (vocab, width)."""
    length = head.norm(dim=1)  # (vocab,)
    logit, cosine, rows = [], [], []
    for old, new in zip(before, after, strict=True):
        old_scores, new_scores = old @ head.T, new @ head.T  # (neurons, vocab)
        logit.append(_same_top(old_scores, new_scores))
        cosine.append(_same_top(old_scores / length, new_scores / length))
        rows.append(torch.nn.functional.cosine_similarity(old, new))
    similarity = torch.cat(rows)
    return Drift(_share(logit), _share(cosine), similarity.median().item(), similarity.quantile(0.1).item())


def _same_top(old_scores: torch.Tensor, new_scores: torch.Tensor) -> torch.Tensor:
    """Whether the old top token still has the top score; equal rows of the head tie and count as the same."""
    top = old_scores.argmax(dim=1, keepdim=True)
    return new_scores.gather(1, top).squeeze(1) >= new_scores.amax(dim=1)  # (neurons,)


def _share(flags: list[torch.Tensor]) -> float:
    return torch.cat(flags).float().mean().item()


def write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, seed: int, tokens: int = 60) -> str:
    """Continue a plain prompt, sampled at temperature 0.8 and top_p 0.95; no chat template."""
    torch.manual_seed(seed)
    inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    written = model.generate(  # type: ignore[operator]
        **inputs,
        do_sample=True,
        temperature=0.8,
        top_p=0.95,
        top_k=0,
        max_new_tokens=tokens,
        pad_token_id=tokenizer.eos_token_id,
    )
    return str(tokenizer.decode(written[0], skip_special_tokens=True))

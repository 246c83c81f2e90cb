"""Activity against a plain reading: every window alone, every value kept; and the text it is measured on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from neuronym.contract import Site
from neuronym.label_tables import QUANTILES
from tests.checkpoints import LAYERS, NEURONS, make_tokenizer
from worker.errors import CheckpointError
from worker.measuring import samples
from worker.measuring.activity import BEFORE, ActivityReader, Values, fires, quantiles
from worker.measuring.samples import TextWindows, read_text, write_text
from worker.steering.models import LiveModel

Row = Mapping[str, Any]
WINDOWS = [[3, 50, 7, 90, 17, 200, 61, 8, 33, 21, 40], [5, 6, 7], [100, 101, 102, 103, 104, 105]]


def text() -> TextWindows:
    """Windows of different lengths; the first position of each and one more are not counted."""
    ids, counted = torch.zeros(3, 11, dtype=torch.long), torch.zeros(3, 11, dtype=torch.bool)
    for place, window in enumerate(WINDOWS):
        ids[place, : len(window)] = torch.tensor(window)
        counted[place, 1 : len(window)] = True
    counted[2, 3] = False
    return TextWindows(ids, counted)


def spell(ids: list[int]) -> str:
    return " ".join(map(str, ids))


def measured(live: LiveModel) -> dict[tuple[int, str], list[Row]]:
    """Rows by layer and site."""
    rows_by_site: dict[tuple[int, str], list[Row]] = {}

    def take(layer: int, rows: pa.Table) -> None:
        for row in rows.to_pylist():
            assert row["layer"] == layer
            rows_by_site.setdefault((layer, list(Site)[row["site"]]), []).append(row)

    ActivityReader(live.model, live.sites, text(), spell).read(lambda _: True, take)
    return rows_by_site


@torch.inference_mode()
def values(live: LiveModel, layer: int, site: Site) -> tuple[Values, list[str]]:
    """Every counted value, `(positions, neurons)`, each window read alone; and the context of each position."""
    counted_values, contexts = [], []
    module = live.sites.module(layer, site)
    seen: list[torch.Tensor] = []
    if site is Site.act:
        handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0]))
    else:
        handle = module.register_forward_hook(lambda _, __, output: seen.append(output[0]))
    for place, window in enumerate(WINDOWS):
        live.model(torch.tensor([window]))
        for position in range(1, len(window)):
            if (place, position) != (2, 3):
                counted_values.append(seen[-1][position])
                contexts.append(spell(window[max(0, position - BEFORE + 1) : position + 1]))
    handle.remove()
    return torch.stack(counted_values).numpy(), contexts


@pytest.mark.parametrize("site", Site)
def test_activity_is_what_each_window_alone_gives(live: LiveModel, site: Site) -> None:
    rows_by_site = measured(live)
    sites = [site for site in Site if site is not Site.gate or live.sites.family.gated]
    assert set(rows_by_site) == {(layer, site) for layer in range(LAYERS) for site in sites}
    if site not in sites:
        pytest.skip("no gate")
    for layer in (0, LAYERS - 1):
        plain, contexts = values(live, layer, site)
        expected = np.quantile(plain, QUANTILES, axis=0).T
        rows = rows_by_site[layer, site]
        assert [row["neuron"] for row in rows] == list(range(NEURONS))
        for row, ends, own in zip(rows, expected, plain.T, strict=True):
            assert row["quantiles"] == pytest.approx(ends.tolist(), abs=1e-5)
            bound = 0.1 * max(abs(ends[1]), abs(ends[-2]))
            assert row["fires"] == pytest.approx((abs(own) > bound).mean(), abs=1.01 / len(own))
            if site is Site.act:
                strongest = json.loads(row["contexts"])
                signs = [line[0] for line in strongest]
                assert signs == sorted(signs)  # plus comes first
                assert signs.count("+") == min(3, (own > 0).sum())
                assert signs.count("-") == min(3, (own < 0).sum())
                end = own.argmax() if signs[0] == "+" else own.argmin()
                assert strongest[0] == f"{own[end]:+.3g}: {contexts[end]}"
            else:
                assert row["contexts"] is None


def test_quantiles_and_firing_of_known_values() -> None:
    known = np.stack([np.arange(-500, 501), np.zeros(1001)]).astype(np.float32)
    ranges = quantiles(known)
    assert ranges[0].tolist() == pytest.approx([1000 * p - 500 for p in QUANTILES], abs=1e-3)
    assert ranges[1].tolist() == [0] * len(QUANTILES)
    assert fires(known, ranges).tolist() == pytest.approx([902 / 1001, 0])  # beyond a tenth of 499


def test_a_context_is_shown_once(llama: LiveModel) -> None:
    """A window that stands there twice has its values twice."""
    twice = TextWindows(text().ids[[0, 0]], text().counted[[0, 0]])
    shown: list[list[str]] = []

    def take(_: int, rows: pa.Table) -> None:
        shown.extend(json.loads(row["contexts"]) for row in rows.to_pylist() if row["contexts"])

    ActivityReader(llama.model, llama.sites, twice, spell).read(lambda layer: layer == 1, take)
    assert len(shown) == NEURONS
    assert all(len({line.split(": ")[1] for line in lines}) == len(lines) for lines in shown)


def test_only_wanted_layers_are_given_and_hooks_are_gone_after_a_fault(llama: LiveModel) -> None:
    layers_read: list[int] = []

    def fail(layer: int, _: pa.Table) -> None:
        layers_read.append(layer)
        if layer == 2:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ActivityReader(llama.model, llama.sites, text(), spell).read(lambda layer: layer != 1, fail)
    assert layers_read == [0, 2]
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in llama.model.modules())


# --- the text --------------------------------------------------------------------------------------------------


def test_a_model_writes_the_same_text_again_and_another_with_another_seed(llama: LiveModel) -> None:
    tokenizer = make_tokenizer()
    first, again, other_seed = (write_text(llama.model, tokenizer, seed) for seed in (1, 1, 2))
    assert torch.equal(first.ids, again.ids) and torch.equal(first.counted, again.counted)
    assert not torch.equal(first.ids[:20, :40], other_seed.ids[:20, :40])
    assert first.positions >= samples.POSITIONS


def test_half_of_the_text_is_chats_in_the_template(llama: LiveModel) -> None:
    tokenizer = make_tokenizer()
    read = write_text(llama.model, tokenizer)
    user = tokenizer.encode("<|im_start|>user\n", add_special_tokens=False)
    answer = tokenizer.encode("<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False)
    chats = [row for row in read.ids.tolist() if row[: len(user)] == user]
    assert 0.3 < len(chats) / len(read.ids) < 0.7
    turns = 0
    for row, counted in zip(read.ids.tolist(), read.counted.tolist(), strict=True):
        assert not counted[0]
        assert not any(flag for id_, flag in zip(row, counted, strict=True) if id_ in (0, 2, 3))  # special tokens
        if row in chats and answer[0] in row:
            at = row.index(answer[0])
            assert row[at : at + len(answer)] == answer[: len(row) - at]
            assert not any(counted[at : at + len(answer)])
            turns += 1
    assert turns > 0


def test_without_a_template_or_a_first_token_there_is_text_too(
    gpt2: LiveModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "POSITIONS", 500)
    tokenizer = make_tokenizer(chat=False)
    tokenizer.bos_token = None
    read = write_text(gpt2.model, tokenizer)
    assert read.positions >= 500
    assert (read.ids[:, 0] == tokenizer.eos_token_id).all()


def test_a_file_is_read_in_windows_spread_over_it(tmp_path: Path) -> None:
    tokenizer = make_tokenizer()
    file = tmp_path / "text.txt"
    file.write_text("the dog lives in California <|im_end|> " * 3000)
    read = read_text(file, tokenizer)
    assert 0.9 * samples.POSITIONS < read.positions <= samples.POSITIONS
    assert (read.ids[:, 0] == tokenizer.bos_token_id).all() and not read.counted[:, 0].any()
    assert read.counted[:, 1:].all()
    assert not (read.ids[:, 1:] == tokenizer.eos_token_id).any()  # in a file it is text
    ids = tokenizer.encode(file.read_text(), add_special_tokens=False, split_special_tokens=True)
    size = samples.LENGTH - 1
    assert (
        read.ids[-1, 1:].tolist() != ids[(len(read.ids) - 1) * size : len(read.ids) * size]
    )  # not the beginning alone
    short = tmp_path / "short.txt"
    short.write_text("the dog lives in California. " * 40)
    whole = tokenizer.encode(short.read_text(), add_special_tokens=False)
    assert read_text(short, tokenizer).positions == len(whole)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"two words", "Give a text of a few thousand"), (b"\xff\xfe\x00", "cannot be read as UTF-8")],
)
def test_a_file_that_says_nothing_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "text.txt"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=sentence):
        read_text(file, make_tokenizer())

"""Token texts, kinds and folds, for every kind of tokenizer; identity of a vocabulary."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from neuronym.contract import Kind
from tests.checkpoints import make_tokenizer
from worker.checkpoints.vocabulary import LARGEST_ID, Entry, read_vocabulary
from worker.errors import CheckpointError


def entries(tokenizer: PreTrainedTokenizerFast) -> dict[str, Entry]:
    return {entry.text: entry for entry in read_vocabulary(tokenizer).entries}


def test_byte_level_tokens_are_spelled_as_text() -> None:
    entry_of = entries(make_tokenizer())
    assert entry_of[" California"].kind is Kind.word
    assert entry_of[" California"].folded == "california"
    assert entry_of["<|im_end|>"].kind is Kind.special
    assert entry_of["a"].kind is Kind.continuation
    assert entry_of[" "].kind is Kind.continuation and entry_of[" "].folded == " "
    assert entry_of["\n"].text == "\n"
    assert entry_of["<0xE2>"].kind is Kind.bytes
    assert len(entry_of) == len(make_tokenizer())


def fast(model: models.Model, decoder: decoders.Decoder | None, added: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A tokenizer of a model and a decoder, with plain added tokens and one special token."""
    tokenizer = Tokenizer(model)
    if decoder:
        tokenizer.decoder = decoder
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in added])
    tokenizer.add_special_tokens([AddedToken("<end>", special=True)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)  # type: ignore[no-untyped-call]


def bpe(tokens: Sequence[str], **options: Any) -> models.BPE:
    return models.BPE(vocab={token: id_ for id_, token in enumerate(tokens)}, merges=[], **options)


def sentence_piece_decoder() -> decoders.Decoder:
    """The decoder of Llama 2 and Gemma."""
    return decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])


SENTENCE_PIECE = [
    "a",
    "\u2581dog",
    "dog",
    "<0xE2>",
    "<0x41>",
    "\u2581",
    "\u2581\u2581\u2581",
    "\n\n",
    "\t",
    "\u2581\u2581s",
]
WORD_PIECE = {"a": 0, "dog": 1, "##ing": 2, "##s": 3, ".": 4, "'s": 5, "[UNK]": 6}
UNIGRAM = [("a", 0.0), ("\u2581dog", -1.0), ("s", -2.0), ("\u2581", -3.0), ("\u2581\u2581", -4.0)]
KINDS = {
    "sentence piece": fast(
        bpe(SENTENCE_PIECE, byte_fallback=True),
        sentence_piece_decoder(),
        ["\u2581\u2581\u2581\u2581", "\n\n\n", "plain added"],
    ),
    "word piece": fast(
        models.WordPiece(vocab=WORD_PIECE, unk_token="[UNK]"), decoders.WordPiece(cleanup=True), ["new"]
    ),
    "word piece, spaces kept": fast(
        models.WordPiece(vocab=WORD_PIECE, unk_token="[UNK]"), decoders.WordPiece(cleanup=False)
    ),
    "word piece of another prefix": fast(
        models.WordPiece(vocab={"a": 0, "@@ing": 1, "##ing": 2}, unk_token="a", continuing_subword_prefix="@@"),
        decoders.WordPiece(prefix="@@", cleanup=False),
    ),
    "unigram": fast(models.Unigram(UNIGRAM, unk_id=0), decoders.Metaspace(), ["\n"]),
    "another metaspace": fast(
        models.Unigram([("a", 0.0), ("_dog", -1.0), ("\u2581", -2.0)], 0), decoders.Metaspace("_")
    ),
    "words": fast(models.WordLevel({"a": 0, "dog": 1, "<0x41>": 2}, unk_token="a"), None),
}


def joined_as_decoded(tokenizer: PreTrainedTokenizerFast, left: Entry, right: Entry) -> bool:
    """Whether two tokens after a word decode to the word and their texts, by the tokenizers library."""
    word = tokenizer.get_vocab()["a"]
    decoded = tokenizer.backend_tokenizer.decode([word, left.id, right.id], skip_special_tokens=False)
    return decoded == f"a{left.text}{right.text}"


@pytest.mark.parametrize("kind", KINDS)
def test_texts_of_tokens_in_a_row_are_what_they_decode_to(kind: str) -> None:
    plain = [entry for entry in read_vocabulary(KINDS[kind]).entries if entry.kind in (Kind.word, Kind.continuation)]
    wrong = [
        (left.text, right.text)
        for left, right in product(plain, plain)
        if not joined_as_decoded(KINDS[kind], left, right)
    ]
    assert len(plain) > 1 and not wrong


def test_sentence_piece_tokens_are_spelled_as_text() -> None:
    entry_of = entries(KINDS["sentence piece"])
    assert (entry_of[" dog"].kind, entry_of[" dog"].folded) == (Kind.word, "dog")
    assert entry_of["dog"].kind is Kind.continuation
    assert entry_of["<0xE2>"].kind is Kind.bytes
    assert entry_of["A"].kind is Kind.continuation
    spaces = {"   ": 6, "    ": 10, "\n\n": 7, "\n\n\n": 11, "\t": 8}
    assert {text: entry_of[text].id for text in spaces} == spaces
    assert {entry_of[text].kind for text in spaces} == {Kind.continuation}
    assert entry_of["  s"].kind is Kind.word
    assert entry_of["<end>"].kind is Kind.special
    assert entry_of["plain added"].kind is Kind.continuation


def test_word_pieces_go_on_or_start_a_word() -> None:
    entry_of = entries(KINDS["word piece"])
    words = {text for text, entry in entry_of.items() if entry.kind is Kind.word}
    assert words == {" a", " dog", " [UNK]", " new"}
    assert entry_of["ing"].kind is entry_of["."].kind is Kind.continuation
    assert entry_of[" dog"].folded == "dog"
    assert set(entries(KINDS["word piece of another prefix"])) == {" a", "ing", " ##ing", "<end>"}


@pytest.mark.parametrize("decoder", [decoders.BPEDecoder(suffix="</w>"), None])
def test_the_end_of_a_word_is_a_space(decoder: decoders.Decoder | None) -> None:
    tokenizer = fast(bpe(["a", "do", "dog</w>", "g</w>"], end_of_word_suffix="</w>"), decoder)
    entry_of = entries(tokenizer)
    assert {text: entry.id for text, entry in entry_of.items()} == {"a": 0, "do": 1, "dog ": 2, "g ": 3, "<end>": 4}
    assert entry_of["dog "].folded == "dog"
    if decoder:
        decoded = tokenizer.backend_tokenizer.decode([1, 3, 2, 0], skip_special_tokens=False)
        assert decoded == "".join(read_vocabulary(tokenizer).entries[id_].text for id_ in (1, 3, 2, 0))


def test_a_prefix_without_a_decoder_goes_on_a_word() -> None:
    assert set(entries(fast(models.WordPiece(vocab=WORD_PIECE, unk_token="[UNK]"), None))) >= {"ing", " dog", " ."}


def test_bytes_of_a_model_whose_decoder_is_silent_on_them() -> None:
    entry_of = entries(fast(bpe(["a", "<0xE2>"], byte_fallback=True), decoders.Metaspace()))
    assert entry_of["<0xE2>"].kind is Kind.bytes
    plain = entries(fast(bpe(["a", "<0xE2>"]), decoders.Metaspace()))
    assert plain["<0xE2>"].kind is Kind.continuation


@pytest.mark.parametrize("decoder", [decoders.ByteLevel(), None])
def test_tokens_added_to_byte_level_ones_are_plain_text(decoder: decoders.Decoder | None) -> None:
    """As Llama 3's: words come whole from the vocabulary, and added tokens hold letters of the byte alphabet."""
    tokenizer = fast(
        bpe(["a", "\u0120dog", "\u00c3\u00a9", "\u00c3", "\u4e2d"], ignore_merges=True), decoder, ["é", "\u0120x"]
    )
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    read = [(entry.text, entry.kind) for entry in read_vocabulary(tokenizer).entries]
    goes_on = Kind.continuation
    assert read[:5] == [
        ("a", goes_on),
        (" dog", Kind.word),
        ("é", goes_on),
        ("<0xC3>", Kind.bytes),
        ("\u4e2d", goes_on),
    ]
    assert read[5:] == [("é", goes_on), ("\u0120x", goes_on), ("<end>", Kind.special)]
    ids = tokenizer.encode(" dogé\u0120x", add_special_tokens=False)
    assert [read[id_][0] for id_ in ids] == [" dog", "é", "\u0120x"]


def test_identity_is_of_the_token_list_alone() -> None:
    plain, chat = make_tokenizer(chat=False), make_tokenizer(chat=True)
    assert read_vocabulary(plain).hash == read_vocabulary(chat).hash
    chat.add_tokens(["more"])
    assert read_vocabulary(plain).hash != read_vocabulary(chat).hash


def test_an_id_that_no_model_has_is_refused() -> None:
    """The tokenizers library would count all ids below it, in gigabytes."""
    with pytest.raises(CheckpointError, match="its token 'b' has the id 16777216"):
        read_vocabulary(fast(models.WordLevel({"a": 0, "b": LARGEST_ID}, "a"), None))

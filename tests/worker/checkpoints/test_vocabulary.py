"""Token texts, kinds and folds, for byte-level and SentencePiece-style tokenizers; identity of a vocabulary."""

from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from neuronym.contract import Kind
from tests.checkpoints import make_tokenizer
from worker.checkpoints.vocabulary import Entry, read_vocabulary


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


def sentence_piece() -> PreTrainedTokenizerFast:
    vocab = {"<unk>": 0, "\u2581dog": 1, "dog": 2, "<0xE2>": 3, "<0x41>": 4, "\u2581": 5, "Ä": 6}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], unk_token="<unk>", byte_fallback=True))
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_tokens([AddedToken("plain added", special=False)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")  # type: ignore[no-untyped-call]


def test_sentence_piece_tokens_are_spelled_as_text() -> None:
    entry_of = {entry.id: entry for entry in read_vocabulary(sentence_piece()).entries}
    assert (entry_of[1].text, entry_of[1].kind, entry_of[1].folded) == (" dog", Kind.word, "dog")
    assert entry_of[2].kind is Kind.continuation
    assert (entry_of[3].text, entry_of[3].kind) == ("<0xE2>", Kind.bytes)
    assert entry_of[4].text == "A"
    assert entry_of[5].text == " "
    assert entry_of[6].folded == "ä"
    assert (entry_of[7].text, entry_of[7].kind) == ("plain added", Kind.continuation)


def test_identity_is_of_the_token_list_alone() -> None:
    plain, chat = make_tokenizer(chat=False), make_tokenizer(chat=True)
    assert read_vocabulary(plain).hash == read_vocabulary(chat).hash
    chat.add_tokens(["more"])
    assert read_vocabulary(plain).hash != read_vocabulary(chat).hash

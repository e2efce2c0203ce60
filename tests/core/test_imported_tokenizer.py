"""Tokenizers of others against transformers, which they were made for: byte-level BPE as GPT-2's, WordPiece as BERT's,
with and without upper case, and unigram as SentencePiece's, each trained here on a few captions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

from showtell.core.imported_tokenizer import ImportedTokenizer, clean_up_spaces
from showtell.core.tokenizer import Tokenizer, load_tokenizer
from showtell.errors import BadBundle, BadConfig
from showtell.settings import ImportedText

transformers = pytest.importorskip("transformers")

CAPTIONS = [
    "A dog's bone, and a man who doesn't look.",
    "Two children are playing soccer in the park!",
    "a cat on a mat; it can't be seen (well) by the man's friends.",
    "Un garçon à vélo près d'une forêt",
    "一只狗在草地上 🐕🐕",
    "They're riding 3.5 miles -- we've measured.",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
"""Ids 0 to 3."""


def byte_level() -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained(backend, trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet))
    return backend


def word_piece(lowercase: bool) -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    trained(backend, trainers.WordPieceTrainer(vocab_size=150, special_tokens=SPECIAL))
    return backend


def unigram() -> tokenizers.Tokenizer:
    backend = tokenizers.Tokenizer(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    trained(backend, trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIAL, unk_token="[UNK]"))
    return backend


def trained(backend: tokenizers.Tokenizer, trainer: Any) -> None:
    trainer.show_progress = False
    backend.train_from_iterator(CAPTIONS * 3, trainer)


KINDS: dict[str, Callable[[], tokenizers.Tokenizer]] = {
    "byte-level": byte_level,
    "uncased": lambda: word_piece(True),
    "cased": lambda: word_piece(False),
    "unigram": unigram,
}


def text(**changes: Any) -> ImportedText:
    return ImportedText(**{"bos_ids": (2,), "eos_id": 3, "unk_id": 1, "banned_ids": (0, 1, 2), **changes})


@pytest.fixture(scope="module", params=[(kind, clean) for kind in KINDS for clean in (False, True)], ids=str)
def pair(request: pytest.FixtureRequest) -> tuple[ImportedTokenizer, Any]:
    """Ours, and transformers' of the same file."""
    kind, clean = request.param
    backend = KINDS[kind]()
    theirs = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer.from_str(backend.to_str()),
        clean_up_tokenization_spaces=clean,
        clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output=clean,
        **dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), SPECIAL, strict=True)),
    )
    if clean:
        clean_up_spaces(backend)
    return ImportedTokenizer(backend, ["en"], text()), theirs


def examples(tokenizer: ImportedTokenizer, theirs: Any) -> list[list[int]]:
    """Sentences, and random ids, special and unknown ones among them."""
    random = np.random.default_rng(0)
    sizes = random.integers(0, 20, 200)
    noise = [random.integers(0, tokenizer.vocab_size + 3, size).tolist() for size in sizes]
    return [theirs.encode(caption, add_special_tokens=False) for caption in CAPTIONS] + noise


def test_captions_are_those_of_transformers(pair: tuple[ImportedTokenizer, Any]) -> None:
    ours, theirs = pair
    for ids in examples(ours, theirs):
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True).strip()
        assert ours.decode(ids[2:], ids[:2]) == ours.decode(ids), "the prompt's text comes first"


def test_words_spell_the_caption_and_count_every_token(pair: tuple[ImportedTokenizer, Any]) -> None:
    ours, theirs = pair
    for ids in examples(ours, theirs):
        words = ours.join_pieces(ids)
        assert "".join("".join(word for word, _ in words).split()) == "".join(ours.decode(ids).split())
        assert sum(count for _, count in words) == len(ids) and all(count > 0 for _, count in words)


@pytest.mark.parametrize(
    ("kind", "caption", "expected"),
    [
        ("byte-level", "A dog's bone", ["A", "dog's", "bone"]),
        ("cased", "A dog bone, and a man", ["A", "dog", "bone,", "and", "a", "man"]),
        ("unigram", "A dog's bone", ["A", "dog's", "bone"]),
    ],
)
def test_words_by_hand(kind: str, caption: str, expected: list[str]) -> None:
    """Each word has the tokens that it has alone."""
    ours = ImportedTokenizer(KINDS[kind](), ["en"], text())
    ids = ours.encode(caption, "en")[1:-1]
    assert [word for word, _ in ours.join_pieces(ids)] == expected
    inside = [len(ours.encode(f"A {word}", "en")) - len(ours.encode("A", "en")) for word in expected[1:]]
    assert [count for _, count in ours.join_pieces(ids)][1:] == inside


def test_a_letter_of_several_tokens_and_tokens_without_text() -> None:
    ours = ImportedTokenizer(byte_level(), ["en"], text())
    face = ours.encode("a 🦊", "en")[2:-1]  # not in the vocabulary: its bytes, and a space
    assert len(face) > 2
    a, b = ours.encode("a b", "en")[1], ours.encode("a b", "en")[2:-1]
    assert ours.join_pieces([a, *face, *b]) == [("a", 1), ("🦊", len(face)), ("b", len(b))]
    assert ours.join_pieces([2, a, 0, *b, 3, 9_999]) == [("a", 2), ("b", len(b) + 3)]
    assert ours.join_pieces([2, 0]) == [("", 2)] and ours.join_pieces([]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_encode(kind: str) -> None:
    """Start, transformers' ids, end; and truncated between two words."""
    backend = KINDS[kind]()
    ours = ImportedTokenizer(backend, ["en"], text())
    caption = "Two children are playing soccer"
    plain = backend.encode(caption, add_special_tokens=False)
    assert ours.encode(caption, "en") == [2, *plain.ids, 3]
    for most in range(len(plain.ids) + 2):
        ids = ours.encode(caption, "en", most)[1:-1]
        words = ours.decode(ids).split()
        assert len(ids) <= most and caption.lower().split()[: len(words)] == [word.lower() for word in words]
        fits = [n for n in range(6) if len(ours.encode(" ".join(caption.split()[:n]), "en")) - 2 <= most]
        assert len(words) == max(fits)


def test_a_tokenizer_without_words_cuts_anywhere() -> None:
    """Rejected: nothing of the caption, where the file calls all of it one word."""
    backend = unigram()
    backend.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    ours = ImportedTokenizer(backend, ["en"], text())
    whole = ours.encode("a man on a mat", "en")
    assert ours.encode("a man on a mat", "en", 3) == [*whole[:4], 3]


@pytest.mark.parametrize("kind", KINDS)
def test_prompts(kind: str) -> None:
    ours = ImportedTokenizer(KINDS[kind](), ["en"], text(takes_prompt=True, prompt="a man", bos_ids=(2, 0)))
    assert ours.prompt_ids("en") == [2, 0, *ours.backend.encode("a man", add_special_tokens=False).ids]
    assert ours.prompt_ids("en", "a dog") == [2, 0, *ours.backend.encode("a dog", add_special_tokens=False).ids]
    assert ours.prompt_ids("en", "") == [2, 0]
    ids, prompt = ours.encode("on a mat", "en"), ours.prompt_ids("en")
    assert ids[: len(prompt)] == prompt and ids[-1] == 3
    assert ids[2:-1] == ours.backend.encode("a man on a mat", add_special_tokens=False).ids, "as one text"
    assert ours.decode(ids[len(prompt) : -1], prompt) == "a man on a mat"
    short = ours.encode("on a mat", "en", 1)
    assert len(short) <= len(prompt) + 2 and short[: len(prompt)] == prompt
    none = ImportedTokenizer(ours.backend, ["en"], text())
    assert none.prompt_ids("en") == [2]
    with pytest.raises(BadConfig, match="found the prompt 'a dog'; this model takes none, leave it out"):
        none.prompt_ids("en", "a dog")


def test_special_tokens_in_a_text_are_text() -> None:
    ours = ImportedTokenizer(word_piece(True), ["en"], text(takes_prompt=True))
    assert not {0, 2, 3} & set(ours.prompt_ids("en", "[SEP] [PAD]")[1:])


def test_one_token_words_and_names_of_tokens() -> None:
    ours = ImportedTokenizer(byte_level(), ["en"], text())
    assert ours.ids_to_tokens(ours.tokens_to_ids(["man", "a"])) == ["Ġman", "a", "Ġa"]
    assert ours.tokens_to_ids(["xylophones"]) == [] and ours.ids_to_tokens([9_999]) == ["[9999]"]
    cased = ImportedTokenizer(word_piece(False), ["en"], text())
    assert len(cased.tokens_to_ids(["man"])) == 1 and cased.tokens_to_ids(["Ξ"]) == []


def test_a_file_with_padding_and_truncation(tmp_path: Path) -> None:
    backend = word_piece(True)
    backend.enable_padding(length=30)
    backend.enable_truncation(2)
    backend.save(str(tmp_path / "tokenizer.json"))
    loaded = load_tokenizer(tmp_path / "tokenizer.json", ["en", "fr"], text())
    assert len(loaded.encode("a man on a mat", "en")) == 7 and loaded.languages == ("en", "fr")
    assert (loaded.eos_id, loaded.unk_id, loaded.banned_ids, loaded.needs_pretokenization) == (3, 1, [0, 1, 2], False)
    loaded.save(tmp_path / "again.json")
    again = load_tokenizer(tmp_path / "again.json", ["en"], text())
    assert again.encode("a man", "en") == loaded.encode("a man", "en") and again.vocab_size == loaded.vocab_size
    assert again.normalize("A Man's", "en") == "a man ' s"


def test_which_tokenizer_is_loaded(tmp_path: Path) -> None:
    Tokenizer.build(["a dog"], ["en"], 1).save(tmp_path / "tokenizer.json")
    assert isinstance(load_tokenizer(tmp_path / "tokenizer.json", ["en"], None), Tokenizer)
    assert isinstance(load_tokenizer(tmp_path / "tokenizer.json", ["en"], text()), ImportedTokenizer)
    (tmp_path / "tokenizer.json").write_text("{}")
    for imported in (None, text()):
        with pytest.raises(BadBundle, match=r"tokenizer\.json: no tokenizer \("):
            load_tokenizer(tmp_path / "tokenizer.json", ["en"], imported)
    with pytest.raises(BadBundle, match="found the token id -1; expected 0 or more"):
        ImportedTokenizer(word_piece(True), ["en"], text(banned_ids=(4, -1)))

"""The kinds of vocabulary, and that what they write is what was said."""

import importlib
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import skips

from showtell.core.text_rules import UNK
from showtell.core.tokenizer import EOS, PAD, Tokenizer, split_words
from showtell.errors import BadConfig, MissingExtra
from showtell.install import install_hint
from showtell.settings import TextSettings
from showtell.train import vocabulary
from showtell.train.augment import mirror_words
from showtell.train.vocabulary import DEFAULT_BPE_SIZE, build_tokenizer, pretokenize

needs_spacy = pytest.mark.skipif(not importlib.util.find_spec("spacy"), reason=skips.PACKAGES)
KINDS = ["words", pytest.param("letters", marks=needs_spacy), "bpe"]
IN_PIECES = [pytest.param("letters", marks=needs_spacy), "bpe"]

DOGS = ["A dog doesn't run.", "a dog's ball", "The dog, a T-shirt!", "a zoo"]


def build(captions: Mapping[str, Sequence[str]] | Sequence[str], **changes: object) -> Tokenizer:
    if not isinstance(captions, Mapping):
        captions = {"en": captions}
    return build_tokenizer(
        captions, TextSettings.model_validate({"languages": list(captions), "min_frequency": 1, **changes})
    )


def encode(text: Tokenizer, caption: str, language: str = "en") -> list[int]:
    """Without start and end."""
    return text.encode(pretokenize(caption, language, text), language)[1:-1]


def pieces(text: Tokenizer, caption: str, language: str = "en") -> str:
    return " ".join(text.ids_to_tokens(encode(text, caption, language)))


# --- words


def test_words_are_as_ever() -> None:
    for min_frequency, size in ((2, None), (1, 8)):
        text = build(DOGS, kind="words", min_frequency=min_frequency, vocab_size=size)
        assert text.backend.to_str() == Tokenizer.build(DOGS, ["en"], min_frequency, size).backend.to_str()
    assert text.vocab_size == 8
    assert pretokenize("A dog's ball!", "en", text) == "A dog's ball!"
    assert build({"en": ["a dog"], "ar": ["كلب"]}, kind="words").ids_to_tokens(range(8)) == [
        *(PAD, UNK, EOS, "<en>", "<ar>", "a", "dog", "كلب")
    ]


# --- letters


@needs_spacy
def test_letters_by_hand() -> None:
    text = build(["b b a don't", "a b a-b <unk>"], kind="letters")
    begin, go_on = list("abdnot"), ["##'", "##-", *(f"##{letter}" for letter in "abdnot")]
    # b and a have their ids as letters; do and n't stand once each, and in the order of the alphabet.
    assert text.ids_to_tokens(range(text.vocab_size)) == [PAD, UNK, EOS, "<en>", *begin, *go_on, "##n't", "do"]
    assert pieces(text, "Don't a-b, <unk> to b!") == "do ##n't a ##- ##b <unk> t ##o b"
    assert pieces(text, "ton't") == "t ##o ##n ##' ##t"  # spaCy does not know it
    assert text.decode(encode(text, "Don't a-b, to b!")) == "don't a-b to b"


@needs_spacy
def test_letters_of_the_most_frequent_words() -> None:
    captions = ["dog dog dog", "cat cat dog", "cow ox"]
    assert pieces(build(captions, kind="letters"), "dog cat cow") == "dog cat cow"
    assert pieces(build(captions, kind="letters", min_frequency=2), "dog cat cow") == "dog cat c ##o ##w"
    everything = build(captions, kind="letters").vocab_size
    for less, written in ((2, "dog cat c ##o ##w"), (3, "dog c ##a ##t c ##o ##w")):
        text = build(captions, kind="letters", vocab_size=everything - less)
        assert text.vocab_size == everything - less and pieces(text, "dog cat cow") == written


@needs_spacy
def test_a_rare_piece_that_goes_on_is_spelt() -> None:
    text = build(["a t-shirt", "a t-shirt", "t-wood"], kind="letters", min_frequency=2)
    assert pieces(text, "t-shirt t-wood") == "t ##- ##shirt t ##- ##w ##o ##o ##d"
    assert pretokenize("T-wood!", "en", text) == "t ##- ##w ##o ##o ##d"


@needs_spacy
def test_letters_in_arabic() -> None:
    text = build({"en": ["a dog"], "ar": ["كلبٌ يركض", "كلب-ما"]}, kind="letters", min_frequency=2)
    assert pieces(text, "كَلْب", "ar") == "كلب"
    assert pieces(text, "يركض", "ar") == "ي ##ر ##ك ##ض"
    assert text.encode(pretokenize("كلب", "ar", text), "ar")[0] == text.prompt_ids("ar")[0]


@needs_spacy
def test_left_and_right_are_exchanged_before_a_caption_is_prepared() -> None:
    text = build(["the dog on the left's side", "the right"], kind="letters")
    assert pieces(text, mirror_words("The dog on the left's side", "en")) == "the dog on the right ##'s side"


def test_without_spacy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    vocabulary._split.cache_clear()
    vocabulary._spacy.cache_clear()
    with pytest.raises(MissingExtra, match=rf"spacy, .*{re.escape(install_hint('text'))}"):
        build(DOGS, kind="letters")
    assert build(DOGS, kind="bpe").vocab_size and build(DOGS, kind="words").vocab_size
    program = "import sys, showtell.train.vocabulary; print('spacy' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "False\n"


@needs_spacy
def test_what_is_written_needs_no_spacy(tmp_path: Path) -> None:
    text = build(DOGS, kind="letters")
    text.save(tmp_path / "tokenizer.json")
    program = (
        "import sys; sys.modules['spacy'] = None\n"
        "from pathlib import Path\n"
        "from showtell.core.tokenizer import Tokenizer\n"
        "text = Tokenizer.load(Path(sys.argv[1]), ['en'])\n"
        "print(text.decode(map(int, sys.argv[2:])))\n"
    )
    ids = map(str, encode(text, "a dog doesn't zoot"))
    command = [sys.executable, "-c", program, str(tmp_path / "tokenizer.json"), *ids]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "a dog doesn't zoot\n"


# --- byte-pair encoding


def test_bpe_by_hand() -> None:
    # ##o ##g stands together five times, then d ##og four times; then nothing stands together twice.
    text = build(["dog dog dog dog hog", "lo <unk>"], kind="bpe", min_frequency=2)
    begin, go_on = list("dghlo"), [f"##{letter}" for letter in "dghlo"]
    assert text.ids_to_tokens(range(text.vocab_size)) == [PAD, UNK, EOS, "<en>", *begin, *go_on, "##og", "dog"]
    assert pieces(text, "Dog, hog: dogs <unk> god") == "dog h ##og dog <unk> <unk> g ##o ##d"
    assert pretokenize("Dog, hog", "en", text) == "Dog, hog"


def test_bpe_size() -> None:
    captions = ["the dog runs and the dogs run", "a running dog"]
    for size in (29, 41):
        assert build(captions, kind="bpe", vocab_size=size).vocab_size == size
    assert build(captions, kind="bpe").vocab_size < DEFAULT_BPE_SIZE
    many = [f"{a}{b}{c}{d}" for a in "abcdefgh" for b in "abcdefgh" for c in "abcdefgh" for d in "abcdefghijklmnopqrst"]
    assert build(many, kind="bpe").vocab_size == DEFAULT_BPE_SIZE


def test_a_training_caption_cannot_say_the_end_of_itself() -> None:
    text = build(["the end pad en the end pad en"], kind="bpe")
    assert text.decode(encode(text, "<end> the <pad> <en>")) == "end the pad en"
    assert not {text.eos_id, *text.banned_ids} & set(encode(text, "<end> the <pad> <en>"))


# --- what both have in common


@pytest.mark.parametrize("kind", IN_PIECES)
def test_a_size_without_room_for_the_letters_is_refused(kind: str) -> None:
    # Special tokens are 4; a b c d begin words, and these and - go on with them.
    captions = ["ab cd a-d"]
    assert build(captions, kind=kind, vocab_size=14).vocab_size == 14
    with pytest.raises(BadConfig, match=r"text\.vocab_size: found 13, .* are 13; expected more") as caught:
        build(captions, kind=kind, vocab_size=13)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_captions_make_the_same_vocabulary(kind: str, tmp_path: Path) -> None:
    """In any order and in any process, though hash tables are seeded anew in each."""
    captions = [f"{a}{b}{c} {c}{b}ing" for a in "abcdefgh" for b in "stuv" for c in "xyz"]
    expected = build(captions, kind=kind, vocab_size=100).backend.to_str()
    assert build(captions[::-1], kind=kind, vocab_size=100).backend.to_str() == expected
    program = (
        "import sys\n"
        "from showtell.settings import TextSettings\n"
        "from showtell.train.vocabulary import build_tokenizer\n"
        "kind, *captions = sys.argv[1:]\n"
        "settings = TextSettings(kind=kind, min_frequency=1, vocab_size=100)\n"
        "sys.stdout.reconfigure(encoding='utf-8')\n"
        "print(build_tokenizer({'en': captions}, settings).backend.to_str(), end='')\n"
    )
    done = subprocess.run([sys.executable, "-c", program, kind, *captions], capture_output=True, check=True)
    assert done.stdout.decode() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load(kind: str, tmp_path: Path) -> None:
    text = build({"en": DOGS, "ar": ["كلب يركض", "كلب"]}, kind=kind, vocab_size=80)
    text.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json", ["en", "ar"])
    assert loaded.backend.to_str() == text.backend.to_str()
    assert (loaded.prompt_ids("en"), loaded.banned_ids, loaded.eos_id) == ([3], [0, 1, 3, 4], 2)
    for caption in (*DOGS, "a zebra isn't <unk>"):
        assert encode(loaded, caption) == encode(text, caption)


@pytest.mark.parametrize("kind", IN_PIECES)
def test_letters_that_training_never_saw_are_one_unknown_word(kind: str) -> None:
    text = build(["a cab"], kind=kind)
    assert pieces(text, "日本犬 a b日本") == "<unk> a b <unk>"


@pytest.mark.parametrize("kind", KINDS)
def test_unk_in_a_caption_is_the_unknown_word(kind: str) -> None:
    text = build(["a <unk> dog <UNK>", "<unk>"], kind=kind)
    assert encode(text, "a <UNK> dog <unk>").count(text.unk_id) == 2
    assert encode(text, "a dog") == encode(text, "a <unk> dog")[:1] + encode(text, "a <unk> dog")[2:]
    assert not text.tokens_to_ids(["unk", "u", "##k", "<"])


CAPTIONS = [
    *("The dog's owner doesn't wear a well-worn t-shirt, but he'd better.", "Zebras & a café: 3 men, 2nd 4x4!"),
    *("cannot gonna o'clock 5pm 10km we're i'm black-and-white twenty-two", "a dog a dog the dog runs running"),
]
ARABIC = ["كَلْبٌ يركض على الشاطئ", "طفلة صغيرة تصعد إلى كوخ خشبي، 3م", "كلب"]
ALPHABETS = {
    "en": "".join(sorted({letter for caption in CAPTIONS for word in split_words(caption) for letter in word})),
    "ar": "".join(sorted({letter for caption in ARABIC for word in split_words(caption) for letter in word})),
}


def captions_in(language: str) -> st.SearchStrategy[str]:
    """Over the letters of training, in words that training saw and others, with marks that are not written."""
    alphabet = ALPHABETS[language]
    known = {"en": CAPTIONS, "ar": ARABIC}[language]
    word = st.sampled_from([word for caption in known for word in caption.split()]) | st.text(alphabet, min_size=1)
    return st.lists(word | st.sampled_from([".", ",", "!?", "-", "'", "n't"]), max_size=8).map(" ".join)


@pytest.fixture(scope="module", params=IN_PIECES)
def in_pieces(request: pytest.FixtureRequest) -> Tokenizer:
    """Frequent words and pieces have ids, most words have none."""
    return build({"en": CAPTIONS, "ar": ARABIC}, kind=request.param, min_frequency=2)


@pytest.mark.parametrize("language", ["en", "ar"])
@given(data=st.data())
def test_what_is_encoded_is_spelt_back(in_pieces: Tokenizer, language: str, data: st.DataObject) -> None:
    caption = data.draw(captions_in(language))
    ids = encode(in_pieces, caption, language)
    assert in_pieces.unk_id not in ids
    assert in_pieces.decode(ids) == " ".join(split_words(caption))
    assert [word for word, _ in in_pieces.join_pieces(ids)] == split_words(caption)
    assert sum(count for _, count in in_pieces.join_pieces(ids)) == len(ids)


@given(data=st.data())
def test_what_is_written_can_be_encoded(in_pieces: Tokenizer, data: st.DataObject) -> None:
    """Whatever a model says, in whatever pieces. Marks aside: no word ends in a hyphen, though a model may write so."""
    written = [i for i in range(5, in_pieces.vocab_size) if not set("-'") & set(in_pieces.ids_to_tokens([i])[0])]
    ids = data.draw(st.lists(st.sampled_from(written), max_size=12))
    said = in_pieces.decode(ids)
    assert "#" not in said
    assert in_pieces.decode(encode(in_pieces, said)) == said

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from showtell.core.tokenizer import Tokenizer
from showtell.errors import BadConfig, BadData
from showtell.settings import TextOnlySettings
from showtell.train.batches import PAD, Batch
from showtell.train.sentences import (
    EncodedSentences,
    Sentences,
    batches_of_epoch,
    encode_sentences,
    read_sentences,
    with_sentences,
)

LANGUAGES = ["en", "de"]


def read(tmp_path: Path, **contents: str | bytes) -> list[list[tuple[str, str]]]:
    """The contents are files of the languages by which they are named."""
    files = []
    for language, content in contents.items():
        path = tmp_path / f"{language}.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        files.append(f"{language}={path}")
    return [list(of.texts) for of in read_sentences(TextOnlySettings(files=files), LANGUAGES)]


def test_sentences_about_one_image_belong_together_in_all_languages(tmp_path: Path) -> None:
    english = "1.jpg#0\tA dog .\n2.jpg#0\tA  cat\n1.jpg#1\tTwo dogs\n"
    german = gzip.compress(b"2.jpg#0\tEine Katze\n3.jpg\tNichts\n")
    assert read(tmp_path, en=english, de=german) == [
        [("en", "A dog ."), ("en", "Two dogs")],
        [("en", "A cat"), ("de", "Eine Katze")],
        [("de", "Nichts")],
    ]


def test_lines_with_an_empty_name_are_one_each(tmp_path: Path) -> None:
    assert read(tmp_path, en="\ta dog\n#1\ta cat\n") == [[("en", "a dog")], [("en", "a cat")]]


def test_lines_without_a_name_are_one_each(tmp_path: Path) -> None:
    assert read(tmp_path, en="a dog\n\na dog\n", de="a dog\n") == [
        [("en", "a dog")],
        [("en", "a dog")],
        [("de", "a dog")],
    ]


def test_a_language_that_the_recipe_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"found 'fr=.*fr.txt'; expected one of text.languages, en, de"):
        read(tmp_path, fr="un chien\n")


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"\x1f\x8bnot gzip", "no way to read it"), (b"\n \n", "no sentence"), (b"a dog\n\xe4hm\n", "0xe4")],
)
def test_a_file_that_is_no_text(tmp_path: Path, content: bytes, found: str) -> None:
    with pytest.raises(BadData, match=found):
        read(tmp_path, en=content)


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(BadData, match=r"nowhere.txt.*No such file"):
        read_sentences(TextOnlySettings(files=["en=nowhere.txt"]), LANGUAGES)


@pytest.mark.parametrize("wrong", ["sentences.txt", "=sentences.txt", "en="])
def test_a_file_without_its_language(wrong: str) -> None:
    with pytest.raises(ValueError, match="expected LANGUAGE=FILE"):
        TextOnlySettings(files=[wrong])


def test_the_ratio_falls_to_zero() -> None:
    settings = TextOnlySettings(files=["en=a"], ratio=0.5, epochs=4)
    assert [batches_of_epoch(settings, 40, epoch) for epoch in range(6)] == [20, 15, 10, 5, 0, 0]
    assert batches_of_epoch(TextOnlySettings(), 40, 0) == 0


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.build([" ".join(f"w{i}" for i in range(50))], LANGUAGES, 1)


@pytest.fixture
def sentences(tmp_path: Path, tokenizer: Tokenizer) -> list[EncodedSentences]:
    """Thirteen images; the n-th has sentences of word n, in two languages."""
    english = "".join(f"{n}#{i}\t{' '.join([f'w{n}'] * (1 + (n + i) % 4))}\n" for n in range(13) for i in range(2))
    settings = TextOnlySettings(files=[f"{language}={tmp_path}/{language}.txt" for language in LANGUAGES])
    (tmp_path / "en.txt").write_text(english)
    (tmp_path / "de.txt").write_text("".join(f"{n}\tw{n}\n" for n in range(13)))
    return encode_sentences(read_sentences(settings, LANGUAGES), tokenizer, 8)


PHOTOS = [Batch(np.array([n]), np.array([0]), [torch.full((1, 1, 3), n)], 2) for n in range(6)]


def mixed(sentences: list[EncodedSentences], tokenizer: Tokenizer, count: int = 5, **changes: int) -> list[Batch]:
    more = {"batch_size": 3, "seed": 1, "epoch": 2, **changes}
    return with_sentences(PHOTOS, sentences, 9, tokenizer, count, **more)


def test_photos_and_sentences_come_in_one_random_order(sentences: list[EncodedSentences], tokenizer: Tokenizer) -> None:
    plan = mixed(sentences, tokenizer)
    is_photo = [bool(len(batch.images)) for batch in plan]
    assert sum(is_photo) == len(PHOTOS) and len(plan) == 11 and is_photo not in ([True] * 6 + [False] * 5, [])
    assert sorted(int(batch.images[0]) for batch in plan if len(batch.images)) == list(range(6))

    def order(**changes: int) -> list[list[int]]:
        return [batch.slots[-1].flatten().tolist() for batch in mixed(sentences, tokenizer, **changes)]

    assert order() == order() and order() != order(seed=2) and order() != order(epoch=3)


def test_no_sentence_comes_twice_before_all_have_come(sentences: list[EncodedSentences], tokenizer: Tokenizer) -> None:
    """15 of 13 images: all once, two of them twice. All sentences of an image are in one row of the slots."""
    texts = [batch for batch in mixed(sentences, tokenizer) if not len(batch.images)]
    rows = [
        [[token for token in slot[row, 0].tolist() if token != PAD] for slot in batch.slots]
        for batch in texts
        for row in range(3)
    ]
    seen = [
        next(n for n, known in enumerate(sentences) if sorted(known.tokens) == sorted(ids for ids in row if ids))
        for row in rows
    ]
    assert set(seen) == set(range(13)) and len(seen) == 15
    assert sum(batch.tokens for batch in texts) == sum(len(ids) - 1 for n in seen for ids in sentences[n].tokens)
    assert all(batch.nouns.shape == (3, 9) and (batch.nouns.sum(1) > 0).all() for batch in texts)


def test_tags_are_found_in_the_english_sentences(tokenizer: Tokenizer) -> None:
    of = Sentences((("en", "Two dogs"), ("de", "a cat")))
    assert encode_sentences([of], tokenizer, 8, ["cat", "dog"])[0].nouns.tolist() == [1]


def test_sentences_are_drawn_as_captions_are(sentences: list[EncodedSentences], tokenizer: Tokenizer) -> None:
    """One in each language, of two and one."""
    texts = [batch for batch in mixed(sentences, tokenizer, captions_per_language=1) if not len(batch.images)]
    starts = sorted(tokenizer.prompt_ids(language)[0] for language in LANGUAGES)
    for batch in texts:
        for row in range(3):
            assert sorted(int(slot[row, 0, 0]) for slot in batch.slots) == starts

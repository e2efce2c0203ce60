from showtell.core.tokenizer import Tokenizer
from showtell.train.capitals import capitalized_words

CAPTIONS = [
    "Zwei Hunde rennen über die Wiese.",
    "ein Hund auf der wiese",
    "Der Hund, die Katze. Rennen sie? Auf der WIESE",
    "zwei hunde und hunde und hunde",  # without a capital: typed so
    "Ein roter Ball: Rot wie eine Wiese",
    "Das Rennen endet, sagt das rennen, das rennen",
]


def test_nouns_by_most_of_those_who_type_capitals() -> None:
    tokenizer = Tokenizer.build(CAPTIONS, ["de"], 1)
    found = capitalized_words({"de": CAPTIONS}, tokenizer)
    # Rennen is a noun once and a verb twice; Rot stands behind a colon; nobody writes WIESE.
    assert found == {"de": ["Ball", "Hund", "Hunde", "Katze", "Wiese"]}


def test_words_of_the_vocabulary_in_languages_with_capitals() -> None:
    tokenizer = Tokenizer.build(["hund hund hund wiese"], ["de", "en"], 3)
    assert capitalized_words({"de": CAPTIONS, "en": ["a Dog in the Park"]}, tokenizer) == {"de": ["Hund"]}

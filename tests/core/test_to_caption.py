from pathlib import Path

import numpy as np

from showtell.core.bundle import Bundle, builtin, load_bundle
from showtell.core.search import Hypothesis
from showtell.core.to_caption import to_caption
from showtell.core.tokenizer import Tokenizer


def test_words_that_the_language_writes_with_a_capital() -> None:
    tokenizer = Tokenizer.build(["zwei hunde auf der straße über ärmeln t-shirt"], ["de", "en"], 1)
    manifest = load_bundle(builtin()).manifest.model_copy(
        update={"capitalized": {"de": ("Hunde", "Straße", "T-Shirt", "Ärmeln")}}
    )
    bundle = Bundle(Path(), manifest, tokenizer)
    ids = tokenizer.encode("zwei Hunde über Straße auf T-Shirt Ärmeln", "de")[1:-1]
    hypothesis = Hypothesis(np.array(ids), np.full(len(ids) + 1, -0.1, np.float32))
    german, english = (to_caption(hypothesis, bundle, language, (), None) for language in ("de", "en"))
    assert german.text == "zwei Hunde über Straße auf T-Shirt Ärmeln" == " ".join(word.text for word in german.words)
    assert english.text == "zwei hunde über straße auf t-shirt ärmeln"

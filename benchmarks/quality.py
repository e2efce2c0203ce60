"""Scores of the built-in model on the dev split of Flickr8k, through ONNX, by pycocoevalcap and by showtell.

    python benchmarks/quality.py ../shared/flickr8k [LANGUAGE] [BUNDLE]

Prints pycocoevalcap's scores, ours, their difference, and the largest difference of any single photo. Needs the dev
extra and, for the PTB tokens of English, Java. Tokens of other languages: NFKC, lower case, without
marks (category Mn), runs of \\w.
"""

import contextlib
import io
import json
import re
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from showtell import Captioner
from showtell.data.spec import read_samples, select_split
from showtell.metrics import Evaluation


def pycocoevalcap_scores(
    captions: dict[str, str], references: dict[str, tuple[str, ...]], language: str
) -> tuple[dict[str, float], dict[str, Sequence[float]]]:
    """pycocoevalcap's scores of the corpus and of each image."""
    if language == "en":
        ptb = PTBTokenizer()
        tokenized_references = ptb.tokenize(
            {name: [{"caption": c} for c in texts] for name, texts in references.items()}
        )
        candidates = ptb.tokenize({name: [{"caption": text}] for name, text in captions.items()})
    else:
        tokenized_references = {name: [plain_words(c) for c in texts] for name, texts in references.items()}
        candidates = {name: [plain_words(text)] for name, text in captions.items()}
    with contextlib.redirect_stdout(io.StringIO()):
        bleus, image_bleus = Bleu(4).compute_score(tokenized_references, candidates, verbose=0)
        rouge, image_rouge = Rouge().compute_score(tokenized_references, candidates)
        cider, image_cider = Cider().compute_score(tokenized_references, candidates)
    names = [*(f"BLEU-{n}" for n in range(1, 5)), "ROUGE-L", "CIDEr"]
    scores = dict(zip(names, map(float, [*bleus, rouge, cider]), strict=True))
    return scores, dict(zip(names, [*image_bleus, image_rouge, image_cider], strict=True))


def plain_words(text: str) -> str:
    letters = (c for c in unicodedata.normalize("NFKC", text).lower() if unicodedata.category(c) != "Mn")
    return " ".join(re.findall(r"\w+", "".join(letters)))


def main(folder: str, language: str = "en", bundle: str | None = None) -> None:
    samples = select_split(read_samples(f"flickr:{folder}", (language,)), "dev")
    captioner = Captioner.load(bundle)
    rows = captioner.caption_many([sample.image for sample in samples], language=language)
    captions = {s.name: row.captions[0].text for s, row in zip(samples, rows, strict=True)}
    references = {s.name: s.captions for s in samples}
    expected, expected_per_image = pycocoevalcap_scores(captions, references, language)
    evaluation = Evaluation(captions, references, language)
    scores, per_image = evaluation.scores, evaluation.per_image
    print(json.dumps({"images": len(samples), "decode": captioner.settings().model_dump(mode="json")}))
    print(f"{'':10}{'pycocoevalcap':>14}{'showtell':>10}{'difference':>12}{'any photo':>12}")
    for name, value in expected.items():
        largest = np.abs(np.subtract(per_image[name], expected_per_image[name])).max()
        print(f"{name:10}{value:14.4f}{scores[name]:10.4f}{scores[name] - value:12.6f}{largest:12.1e}")
    for name in ("unique", "bad_endings"):
        print(f"{name:24}{scores[name]:10.4f}")
    path = Path("predictions.dev.jsonl")
    path.write_text(
        "".join(json.dumps({"image": n, "caption": c}) + "\n" for n, c in captions.items()), encoding="utf-8"
    )
    print(f"captions: {path}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])

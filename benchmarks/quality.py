"""The built-in model's figures that count: the dev split of Flickr8k, through ONNX, judged by pycocoevalcap.

    python benchmarks/quality.py ../shared/flickr8k [LANGUAGE] [BUNDLE]

Prints pycocoevalcap's figures, ours, their difference, and the largest difference of any single photo. Needs
showtell[dev] and, for the PTB words of English, Java. Arabic words: NFKC, marks (category Mn) off, runs of \\w.
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
from showtell.data.spec import of_split, read_samples
from showtell.metrics import Evaluation


def judge(
    captions: dict[str, str], references: dict[str, tuple[str, ...]], language: str
) -> tuple[dict[str, float], dict[str, Sequence[float]]]:
    """pycocoevalcap: of all captions, and of each."""
    if language == "en":
        ptb = PTBTokenizer()
        truth = ptb.tokenize({name: [{"caption": c} for c in texts] for name, texts in references.items()})
        said = ptb.tokenize({name: [{"caption": text}] for name, text in captions.items()})
    else:
        truth = {name: [arabic_words(c) for c in texts] for name, texts in references.items()}
        said = {name: [arabic_words(text)] for name, text in captions.items()}
    with contextlib.redirect_stdout(io.StringIO()):
        bleus, each_bleu = Bleu(4).compute_score(truth, said, verbose=0)
        rouge, each_rouge = Rouge().compute_score(truth, said)
        cider, each_cider = Cider().compute_score(truth, said)
    names = [*(f"BLEU-{n}" for n in range(1, 5)), "ROUGE-L", "CIDEr"]
    values = dict(zip(names, map(float, [*bleus, rouge, cider]), strict=True))
    return values, dict(zip(names, [*each_bleu, each_rouge, each_cider], strict=True))


def arabic_words(text: str) -> str:
    letters = (c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Mn")
    return " ".join(re.findall(r"\w+", "".join(letters)))


def main(folder: str, language: str = "en", bundle: str | None = None) -> None:
    samples = of_split(read_samples(f"flickr:{folder}", (language,)), "dev")
    captioner = Captioner.load(bundle)
    rows = captioner.caption_many([sample.image for sample in samples], language=language)
    captions = {s.name: row.captions[0].text for s, row in zip(samples, rows, strict=True)}
    references = {s.name: s.captions for s in samples}
    theirs, theirs_each = judge(captions, references, language)
    evaluation = Evaluation(captions, references, language)
    ours, ours_each = evaluation.values, evaluation.each
    print(json.dumps({"images": len(samples), "decode": captioner.settings().model_dump(mode="json")}))
    print(f"{'':10}{'pycocoevalcap':>14}{'showtell':>10}{'difference':>12}{'any photo':>12}")
    for name, value in theirs.items():
        largest = np.abs(np.subtract(ours_each[name], theirs_each[name])).max()
        print(f"{name:10}{value:14.4f}{ours[name]:10.4f}{ours[name] - value:12.6f}{largest:12.1e}")
    for name in ("different", "bad_endings"):
        print(f"{name:24}{ours[name]:10.4f}")
    path = Path("predictions.dev.jsonl")
    path.write_text(
        "".join(json.dumps({"image": n, "caption": c}) + "\n" for n, c in captions.items()), encoding="utf-8"
    )
    print(f"captions: {path}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])

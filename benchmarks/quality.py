"""The built-in model's figures that count: the dev split of Flickr8k, through ONNX, judged by pycocoevalcap.

    python benchmarks/quality.py ../shared/flickr8k [BUNDLE]

Prints pycocoevalcap's figures, ours, and their difference. Needs showtell[dev] and Java (for the PTB words).
"""

import contextlib
import io
import json
import sys
from pathlib import Path

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from showtell import Captioner
from showtell.data.spec import of_split, read_samples
from showtell.metrics import score


def judge(captions: dict[str, str], references: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """pycocoevalcap, with Stanford's PTB words."""
    ptb = PTBTokenizer()
    truth = ptb.tokenize({name: [{"caption": c} for c in texts] for name, texts in references.items()})
    said = ptb.tokenize({name: [{"caption": text}] for name, text in captions.items()})
    with contextlib.redirect_stdout(io.StringIO()):
        bleu = Bleu(4).compute_score(truth, said, verbose=0)[0]
        return {
            **{f"BLEU-{n}": float(value) for n, value in enumerate(bleu, 1)},
            "ROUGE-L": float(Rouge().compute_score(truth, said)[0]),
            "CIDEr": float(Cider().compute_score(truth, said)[0]),
        }


def main(folder: str, bundle: str | None = None) -> None:
    samples = of_split(read_samples(f"flickr:{folder}"), "dev")
    captioner = Captioner.load(bundle)
    rows = captioner.caption_many([sample.image for sample in samples])
    captions = {s.name: row.captions[0].text for s, row in zip(samples, rows, strict=True)}
    references = {s.name: s.captions for s in samples}
    theirs, ours = judge(captions, references), score(captions, references)
    print(json.dumps({"images": len(samples), "decode": captioner.settings().model_dump(mode="json")}))
    print(f"{'':10}{'pycocoevalcap':>14}{'showtell':>10}{'difference':>12}")
    for name, value in theirs.items():
        print(f"{name:10}{value:14.4f}{ours[name]:10.4f}{ours[name] - value:12.6f}")
    for name in ("different", "bad_endings"):
        print(f"{name:24}{ours[name]:10.4f}")
    path = Path("predictions.dev.jsonl")
    path.write_text(
        "".join(json.dumps({"image": n, "caption": c}) + "\n" for n, c in captions.items()), encoding="utf-8"
    )
    print(f"captions: {path}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])

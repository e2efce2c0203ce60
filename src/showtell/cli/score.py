"""`showtell score`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from showtell.cli.scoring import Java, Report, Resamples


def score(
    candidates: Annotated[Path, typer.Argument(help="JSONL, CSV or COCO result JSON with a caption for each image.")],
    references: Annotated[
        str,
        typer.Argument(help="Human captions: COCO or Karpathy JSON, JSONL, CSV, or a data spec such as flickr:DIR."),
    ],
    split: Annotated[str | None, typer.Option(help="Which split of the references; of a data spec: dev.")] = None,
    lang: Annotated[str, typer.Option(help="Language of candidates and references.")] = "en",
    leave_out: Annotated[
        str, typer.Option(help="Kinds of images to pass over, by commas: missing unknown duplicate empty unreferenced.")
    ] = "",
    score_empty: Annotated[
        bool, typer.Option("--score-empty", help="Score an absent or empty caption as an empty one.")
    ] = False,
    java: Java = None,
    resamples: Resamples = 1000,
    report: Report = None,
) -> None:
    """Score captions against human ones: BLEU, ROUGE-L, CIDEr and more, each with its interval."""
    from showtell.cli.scoring import check_outputs, check_words, put, report_of, training_captions
    from showtell.data.candidates import read_candidates
    from showtell.data.pairing import pair
    from showtell.data.references import is_spec, read_references
    from showtell.data.spec import read_samples
    from showtell.metrics import Evaluation

    check_outputs({"--report": report}, [candidates, Path(references)])
    check_words(lang, java)
    if is_spec(references):
        split = split or "dev"
    pairs = pair(
        read_candidates(candidates, lang),
        read_references(references, split, lang),
        [kind for kind in leave_out.replace(" ", "").split(",") if kind],
        score_empty,
        (str(candidates), references),
    )
    for kind, names in pairs.left_out.items():
        print(f"showtell: {len(names)} images left out ({kind})", file=sys.stderr)
    if pairs.scored_empty:
        print(f"showtell: {len(pairs.scored_empty)} captions scored as empty", file=sys.stderr)
    if lang == "en" and _is_arabic("".join(pairs.captions.values())):
        print("showtell: these captions look Arabic, whose words are cut by other rules: --lang ar", file=sys.stderr)
    several = any(len(captions) > 1 for captions in pairs.alternatives.values())
    evaluation = Evaluation(
        pairs.captions,
        pairs.references,
        lang,
        alternatives=pairs.alternatives if several else None,
        training=training_captions(read_samples(references, (lang,)), split) if is_spec(references) else None,
        java=[metric.value for metric in java or ()],
    )
    about = {
        "candidates": str(candidates),
        "data": references,
        "split": split,
        "left_out": pairs.left_out,
        "scored_empty": pairs.scored_empty,
    }
    put(report_of(evaluation, pairs.captions, pairs.references, pairs.alternatives, resamples, **about), report)


def _is_arabic(text: str) -> bool:
    """Most of its letters."""
    letters = [c for c in text if c.isalpha()]
    return sum("\u0600" <= c <= "\u06ff" for c in letters) > len(letters) / 2

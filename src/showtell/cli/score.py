"""`showtell score`"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from showtell.cli.scoring import Java, Report, Resamples
from showtell.terminal import echo


def score(
    candidates: Annotated[
        Path, typer.Argument(help="JSONL, CSV, COCO result JSON, or what `caption` prints; - reads stdin.")
    ],
    references: Annotated[
        str,
        typer.Argument(help="Human captions: COCO or Karpathy JSON, JSONL, CSV, or a data spec such as flickr:DIR."),
    ],
    split: Annotated[str | None, typer.Option(help="Which split of the references; of a data spec: dev.")] = None,
    lang: Annotated[str, typer.Option(help="Language of candidates and references.")] = "en",
    leave_out: Annotated[
        str,
        typer.Option(
            help="Kinds of images to leave out, separated by commas: missing unknown duplicate empty unreferenced."
        ),
    ] = "",
    score_empty: Annotated[
        bool, typer.Option("--score-empty", help="Score missing captions as empty ones, and do not refuse empty ones.")
    ] = False,
    java: Java = None,
    resamples: Resamples = 1000,
    report: Report = None,
) -> None:
    """Score captions against human ones: BLEU, ROUGE-L, CIDEr and more, each with its interval."""
    from showtell.cli.scoring import build_report, check_metrics, check_outputs, output_report, training_captions
    from showtell.data.candidates import read_candidates
    from showtell.data.matching import match_captions
    from showtell.data.omissions import first_names, number_of
    from showtell.data.references import is_spec, read_references
    from showtell.data.scripts import wrong_script
    from showtell.data.spec import read_samples, tables_of
    from showtell.metrics import Evaluation

    check_outputs({"--report": report}, [candidates, Path(references), *tables_of(references)])
    check_metrics(lang, java)
    if is_spec(references):
        split = split or "dev"
    matches = match_captions(
        read_candidates(candidates, lang, getattr(sys.stdin, "buffer", None)),
        read_references(references, split, lang),
        [kind for kind in leave_out.replace(" ", "").split(",") if kind],
        score_empty,
        (str(candidates), references),
    )
    for kind, names in matches.left_out.items():
        echo(f"showtell: {number_of(len(names), 'image')} left out ({kind}): {first_names(names)}", err=True)
    if matches.scored_empty:
        names = matches.scored_empty
        echo(f"showtell: {number_of(len(names), 'caption')} scored as empty: {first_names(names)}", err=True)
    if script := wrong_script(matches.captions.values(), lang):
        echo(
            f"showtell: these captions have {script} letters, which {lang} is not written in; languages differ in how "
            "their words are split, give the right one with --lang",
            err=True,
        )
    has_alternatives = any(len(captions) > 1 for captions in matches.alternatives.values())
    evaluation = Evaluation(
        matches.captions,
        matches.references,
        lang,
        alternatives=matches.alternatives if has_alternatives else None,
        training_captions=training_captions(read_samples(references, (lang,)), split) if is_spec(references) else None,
        java=[metric.value for metric in java or ()],
    )
    provenance = {
        "candidates": str(candidates),
        "data": references,
        "split": split,
        "left_out": matches.left_out,
        "scored_empty": matches.scored_empty,
    }
    report_data = build_report(
        evaluation, matches.captions, matches.references, matches.alternatives, resamples, **provenance
    )
    output_report(report_data, report)

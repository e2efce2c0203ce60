"""`showtell doctor`"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from showtell.terminal import echo


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object in place of the text.")] = False,
) -> None:
    """Examine this installation: versions, model, folders, fonts, and whether captioning works.

    Each problem is printed with the command that mends it. The output names no folder above your home folder, and can
    be pasted into an issue. Exit code 0 if captioning works, else 1.
    """
    from showtell.cli.doctor_report import report_lines
    from showtell.diagnosis.examination import examine_all

    report = examine_all()
    if as_json:
        echo(json.dumps(report))
    else:
        for line in report_lines(report):
            echo(line)
    if not report["captioning"].get("works"):
        raise typer.Exit(1)

"""`showtell compare`"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from showtell.errors import BadConfig, BadData, MissingExtra
from showtell.terminal import echo

ReportData = dict[str, Any]
EXPECTED = "a report that `showtell evaluate --report` or `showtell score --report` wrote"


def compare(
    reports: Annotated[list[Path], typer.Argument(help="Reports of evaluate or score; the first is the baseline.")],
    html: Annotated[Path | None, typer.Option(help="Write a page with the photos side by side; opens offline.")] = None,
    data: Annotated[
        str | None, typer.Option(help="A data spec with the photos for --html; else the one in the reports.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="How often the images are resampled.")] = 10_000,
    report: Annotated[Path | None, typer.Option(help="Write the comparison as JSON, too; - prints it.")] = None,
) -> None:
    """Compare systems on the same photos: differences to the baseline with intervals and p-values (paired
    bootstrap)."""
    from showtell.cli.scoring import check_outputs, write_json
    from showtell.data.references import is_spec
    from showtell.metrics.comparison import compare as compare_reports

    check_outputs({"--html": html, "--report": report}, reports)
    if html is not None and str(html) == "-":
        raise BadConfig("--html -: found no file name; expected one, such as page.html")
    if data is not None and not is_spec(data):
        raise BadConfig(f"--data {data}: found no data spec; expected one, such as flickr:DIR")
    if len(reports) < 2:
        raise BadConfig(f"found {len(reports)} report; expected two or more, each from evaluate or score --report")
    loaded = [_load(path) for path in reports]
    _check_same_task(reports, loaded)
    comparison = compare_reports(_names(reports), loaded, resamples, _java_metrics(loaded))
    if html is not None:
        _write_page(html, comparison, data or str(loaded[0].get("data", "")))
    if report is not None:
        write_json(comparison, report)
    if str(report) != "-":
        _print(comparison)


def _load(path: Path) -> ReportData:
    """Raises BadData for a file that is no report, is of another format or was edited."""
    from showtell.cli.scoring import FORMAT, references_sha256

    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadData(path, f"no readable JSON ({error})", EXPECTED) from error
    if not isinstance(report, dict) or not {"format", "rows", "scores", "references_sha256", "language"} <= {*report}:
        raise BadData(path, "JSON of another kind", EXPECTED)
    if report["format"] != FORMAT:
        raise BadData(path, f"a report of format {report['format']}", f"format {FORMAT}; evaluate again")
    if not isinstance(report["rows"], list) or not report["rows"]:
        raise BadData(path, "no rows", EXPECTED)
    for index, row in enumerate(report["rows"]):
        if not _is_row(row):
            raise BadData(path, f"in row {index} not an image with caption, references and scores", EXPECTED)
    references = {row["image"]: row["references"] for row in report["rows"]}
    if len(references) < len(report["rows"]) or references_sha256(references) != report["references_sha256"]:
        raise BadData(path, "references that are not those which were scored", f"{EXPECTED}, as it was written")
    return report


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, dict)
        and isinstance(row.get("image"), str)
        and isinstance(row.get("caption"), str)
        and isinstance(row.get("references"), list)
        and all(isinstance(caption, str) for caption in [*row["references"], *row.get("alternatives", [])])
        and isinstance(row.get("scores"), dict)
    )


def _check_same_task(paths: Sequence[Path], reports: Sequence[ReportData]) -> None:
    """Raises BadData unless all reports have the same images, language and references."""
    first = reports[0]
    images = {row["image"] for row in first["rows"]}
    for path, report in zip(paths[1:], reports[1:], strict=True):
        if report["language"] != first["language"]:
            raise BadData(path, f"captions in {report['language']}", f"{first['language']}, as in {paths[0]}")
        report_images = {row["image"] for row in report["rows"]}
        if different := sorted(images ^ report_images):
            found = f"{len(different)} images that only one of the reports has ({', '.join(different[:3])})"
            raise BadData(path, found, f"the images of {paths[0]}; score both against the same split of the same data")
        if report["references_sha256"] != first["references_sha256"]:
            raise BadData(path, "other references for the same images", f"those of {paths[0]}")


def _names(paths: Sequence[Path]) -> list[str]:
    """System names: file names; else paths; else numbered paths, if a file is given twice."""
    for names in ([path.stem for path in paths], [str(path) for path in paths]):
        if len(set(names)) == len(names):
            return names
    return [f"{number}: {path}" for number, path in enumerate(paths, 1)]


def _java_metrics(reports: Sequence[ReportData]) -> list[str]:
    """METEOR and SPICE, if all reports have them and Java is available."""
    from showtell.metrics.evaluation import JAVA_METRICS

    available = []
    for metric in JAVA_METRICS:
        if not all(metric in report["scores"] for report in reports):
            continue
        from showtell.metrics.java import check_java

        try:
            check_java(metric, reports[0]["language"])
            available.append(metric)
        except (BadConfig, MissingExtra) as error:
            echo(f"showtell: {metric} is not compared: {error}", err=True)
    return available


def _print(comparison: ReportData) -> None:
    from showtell.cli.scoring import format_score

    baseline = comparison["systems"][0]["name"]
    echo(f"{comparison['images']} images, {comparison['resamples']} resamples; differences to {baseline}")
    for system in comparison["systems"]:
        echo()
        echo(system["name"])
        for name, score in system["scores"].items():
            line = f"  {format_score(name, score)}"
            if system["differences"] is not None and name in system["differences"]:
                line = f"{line:50}{_format_difference(system['differences'][name])}"
            echo(line)


def _format_difference(difference: Mapping[str, float | None]) -> str:
    value, low, high = (_signed(difference[key]) for key in ("value", "low", "high"))
    p_value = difference["p_value"]
    if p_value is None:
        return f"{value}   of unknown error"
    return f"{value}   {low} to {high}   p {f'{p_value:.4f}' if p_value >= 0.0001 else '< 0.0001'}"


def _signed(value: float | None) -> str:
    from showtell.cli.scoring import format_number

    if value is None:
        return "-"
    return format_number(value) if value < 0 else f"+{format_number(value)}"


def _write_page(html: Path, comparison: ReportData, spec: str) -> None:
    from showtell.view.comparison import write_page

    write_page(html, comparison, _thumbnails(spec, comparison))
    echo(f"{html}: written", err=True)


def _thumbnails(spec: str, comparison: ReportData) -> dict[str, bytes]:
    """Thumbnails by image name. Photos that cannot be found or read are left out and counted on stderr."""
    from concurrent.futures import ThreadPoolExecutor

    from showtell.core.image import load_image
    from showtell.data.references import is_spec
    from showtell.data.spec import read_samples
    from showtell.errors import BadImage
    from showtell.loading import LOADER_THREADS
    from showtell.progress import ProgressReporter
    from showtell.records import FeatureRow, Sample
    from showtell.view.comparison import MAX_SIDE, thumbnail

    if not is_spec(spec):
        echo(
            f"showtell: {spec or 'the report'} has no photos; the page is without. --data SPEC gives them",
            err=True,
        )
        return {}
    images = {row["image"] for row in comparison["rows"]}
    try:
        samples = read_samples(spec, (comparison["language"],))
    except (BadData, BadConfig) as error:
        raise BadConfig(f"no photos for the page: {error}; say where they are with --data SPEC") from error
    samples = [s for s in samples if s.name in images and not isinstance(s.image, FeatureRow)]

    def make_thumbnail(sample: Sample) -> bytes | None:
        assert not isinstance(sample.image, FeatureRow)
        try:
            return thumbnail(load_image(sample.image, hint_size=MAX_SIDE // 2))
        except BadImage:
            return None  # the page shows a placeholder

    with ThreadPoolExecutor(2 * LOADER_THREADS) as pool, ProgressReporter().stage("photos", len(samples)) as advance:
        thumbnails = {}
        for sample, picture in zip(samples, pool.map(make_thumbnail, samples), strict=True):
            advance(1)
            if picture is not None:
                thumbnails[sample.name] = picture
    if missing := len(images) - len(thumbnails):
        echo(f"showtell: {missing} photos are not in {spec} or cannot be read", err=True)
    return thumbnails

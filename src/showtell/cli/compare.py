"""`showtell compare`"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from showtell.errors import BadConfig, BadData, MissingExtra

Loaded = dict[str, Any]
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
    """Compare systems on the same photos: differences to the first, with intervals and p-values (paired bootstrap)."""
    from showtell.cli.scoring import check_outputs, put_json
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
    _check_same(reports, loaded)
    found = compare_reports(_names(reports), loaded, resamples, _java(loaded))
    if html is not None:
        _write_page(html, found, data or str(loaded[0].get("data", "")))
    if report is not None:
        put_json(found, report)
    if str(report) != "-":
        _print(found)


def _load(path: Path) -> Loaded:
    """Raises BadData for what is no report, or was changed by hand."""
    from showtell.cli.scoring import FORMAT, hash_of

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
    for place, row in enumerate(report["rows"]):
        if not _is_row(row):
            raise BadData(path, f"in row {place} not an image with caption, references and scores", EXPECTED)
    references = {row["image"]: row["references"] for row in report["rows"]}
    if len(references) < len(report["rows"]) or hash_of(references) != report["references_sha256"]:
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


def _check_same(paths: Sequence[Path], reports: Sequence[Loaded]) -> None:
    """Raises BadData unless all captioned the same images in the same language, with the same references."""
    first = reports[0]
    images = {row["image"] for row in first["rows"]}
    for path, report in zip(paths[1:], reports[1:], strict=True):
        if report["language"] != first["language"]:
            raise BadData(path, f"captions in {report['language']}", f"{first['language']}, as in {paths[0]}")
        others = {row["image"] for row in report["rows"]}
        if different := sorted(images ^ others):
            found = f"{len(different)} images that only one of the reports has ({', '.join(different[:3])})"
            raise BadData(path, found, f"the images of {paths[0]}; score both against the same split of the same data")
        if report["references_sha256"] != first["references_sha256"]:
            raise BadData(path, "other references for the same images", f"those of {paths[0]}")


def _names(paths: Sequence[Path]) -> list[str]:
    """File names, or whole paths where those are not enough, or numbers where the same file is there twice."""
    for names in ([path.stem for path in paths], [str(path) for path in paths]):
        if len(set(names)) == len(names):
            return names
    return [f"{place}: {path}" for place, path in enumerate(paths, 1)]


def _java(reports: Sequence[Loaded]) -> list[str]:
    """METEOR and SPICE, where all reports have them and Java is here to compare them."""
    from showtell.metrics.evaluation import JAVA

    found = []
    for metric in JAVA:
        if not all(metric in report["scores"] for report in reports):
            continue
        from showtell.metrics.java import check_java

        try:
            check_java(metric, reports[0]["language"])
            found.append(metric)
        except (BadConfig, MissingExtra) as error:
            print(f"showtell: {metric} is not compared: {error}", file=sys.stderr)
    return found


def _print(found: Loaded) -> None:
    from showtell.cli.scoring import number

    first = found["systems"][0]
    typer.echo(f"{found['images']} images, {found['resamples']} resamples; differences to {first['name']}")
    for system in found["systems"]:
        typer.echo(f"\n{system['name']}")
        for name, score in system["scores"].items():
            line = f"  {name:15}{number(score['value']):>9}   {number(score['low'])} to {number(score['high'])}"
            if system["differences"] is not None and name in system["differences"]:
                line = f"{line:50}{_difference(system['differences'][name])}"
            typer.echo(line)


def _difference(of: Mapping[str, float | None]) -> str:
    if of["p"] is None:
        return f"{_signed(of['value'])}   of unknown error"
    p = f"{of['p']:.4f}" if of["p"] >= 0.0001 else "< 0.0001"
    return f"{_signed(of['value'])}   {_signed(of['low'])} to {_signed(of['high'])}   p {p}"


def _signed(value: float | None) -> str:
    from showtell.cli.scoring import number

    if value is None:
        return "-"
    return number(value) if value < 0 else f"+{number(value)}"


def _write_page(html: Path, found: Loaded, spec: str) -> None:
    from showtell.view.comparison import write_page

    write_page(html, found, _thumbnails(spec, found))
    print(f"{html}: written", file=sys.stderr)


def _thumbnails(spec: str, found: Loaded) -> dict[str, bytes]:
    """Of every photo that the data has; a comparison without photos is still one."""
    from concurrent.futures import ThreadPoolExecutor

    from showtell.core.image import load_image
    from showtell.data.references import is_spec
    from showtell.data.spec import read_samples
    from showtell.errors import BadImage
    from showtell.records import FeatureRow, Sample
    from showtell.train.progress import Reporter
    from showtell.view.comparison import LONGEST_SIDE, thumbnail

    if not is_spec(spec):
        print(
            f"showtell: {spec or 'the report'} has no photos; the page is without. --data SPEC gives them",
            file=sys.stderr,
        )
        return {}
    wanted = {row["image"] for row in found["rows"]}
    try:
        every = read_samples(spec, (found["language"],))
    except (BadData, BadConfig) as error:
        raise BadConfig(f"no photos for the page: {error}; say where they are with --data SPEC") from error
    samples = [s for s in every if s.name in wanted and not isinstance(s.image, FeatureRow)]

    def small(sample: Sample) -> bytes | None:
        assert not isinstance(sample.image, FeatureRow)
        try:
            return thumbnail(load_image(sample.image, hint_size=LONGEST_SIDE // 2))
        except BadImage:
            return None  # the page shows that there is none

    with ThreadPoolExecutor(4) as pool, Reporter().stage("photos", len(samples)) as advance:
        thumbnails = {}
        for sample, picture in zip(samples, pool.map(small, samples), strict=True):
            advance(1)
            if picture is not None:
                thumbnails[sample.name] = picture
    if missing := len(wanted) - len(thumbnails):
        print(f"showtell: {missing} photos are not in {spec} or cannot be read", file=sys.stderr)
    return thumbnails

"""`showtell compare`"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from showtell.errors import BadConfig, BadData

if TYPE_CHECKING:
    from showtell.metrics import Evaluation

Loaded = dict[str, Any]


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
    from showtell.cli.scoring import check_report
    from showtell.files import write_text

    check_report(report)
    if html is not None and not html.absolute().parent.is_dir():
        raise BadConfig(f"--html {html}: no folder {html.parent}; make it first")
    if len(reports) < 2:
        raise BadConfig(f"found {len(reports)} report; expected two or more, each from evaluate or score --report")
    loaded = [_load(path) for path in reports]
    _check_same(reports, loaded)
    found = _comparison(_names(reports), loaded, resamples)
    if report is not None and str(report) != "-":
        write_text(report, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
        print(f"{report}: written", file=sys.stderr)
    if html is not None:
        _write_page(html, found, data or loaded[0]["data"])
    if report is not None and str(report) == "-":
        typer.echo(json.dumps(found, ensure_ascii=False, indent=1))
    else:
        _print(found)


def _load(path: Path) -> Loaded:
    """Raises BadData for what is no report."""
    from showtell.cli.scoring import FORMAT

    expected = "a report that `showtell evaluate --report` or `showtell score --report` wrote"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadData(path, f"no readable JSON ({error})", expected) from error
    if not isinstance(report, dict) or not {"format", "rows", "references_sha256", "language"} <= report.keys():
        raise BadData(path, "JSON of another kind", expected)
    if report["format"] != FORMAT:
        raise BadData(path, f"a report of format {report['format']}", f"format {FORMAT}; evaluate again")
    return report


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
            raise BadData(path, found, f"the images of {paths[0]}; evaluate both on the same split")
        if report["references_sha256"] != first["references_sha256"]:
            raise BadData(path, "other references for the same images", f"those of {paths[0]}")


def _names(paths: Sequence[Path]) -> list[str]:
    """File names, or whole paths where those are not enough to tell the systems apart."""
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in paths]


def _comparison(names: Sequence[str], reports: Sequence[Loaded], resamples: int) -> Loaded:
    from showtell.metrics.evaluation import JAVA, agreement
    from showtell.metrics.intervals import LEVEL

    images = [row["image"] for row in reports[0]["rows"]]
    rows = [{row["image"]: row for row in report["rows"]} for report in reports]
    java = [metric for metric in JAVA if all(metric in report["scores"] for report in reports)]
    systems = [_evaluation(images, by_image, reports[0]["language"], java) for by_image in rows]
    captions = [[by_image[name]["caption"] for name in images] for by_image in rows]
    alike = agreement(captions, reports[0]["language"])
    return {
        "language": reports[0]["language"],
        "images": len(images),
        "level": LEVEL,
        "resamples": resamples,
        "systems": [
            {
                "name": name,
                "model": report.get("model"),
                "scores": {n: _json(e._asdict()) for n, e in system.estimates(resamples).items()},
                "differences": None
                if system is systems[0]
                else {n: _json(d._asdict()) for n, d in system.less(systems[0], resamples).items()},
            }
            for name, report, system in zip(names, reports, systems, strict=True)
        ],
        "rows": [
            {
                "image": name,
                "references": rows[0][name]["references"],
                "captions": [each[place] for each in captions],
                "scores": [by_image[name]["scores"] for by_image in rows],
                "agreement": round(float(alike[place]), 4),
            }
            for place, name in enumerate(images)
        ],
    }


def _evaluation(
    images: Sequence[str], by_image: Mapping[str, Loaded], language: str, java: Sequence[str]
) -> Evaluation:
    """Scored anew, since a difference needs more than two scores."""
    from showtell.metrics import Evaluation

    several = any(row.get("alternatives") for row in by_image.values())
    return Evaluation(
        {name: by_image[name]["caption"] for name in images},
        {name: by_image[name]["references"] for name in images},
        language,
        alternatives={n: [by_image[n]["caption"], *by_image[n].get("alternatives", ())] for n in images}
        if several
        else None,
        java=java,
    )


def _json(parts: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in parts.items()}


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


def _signed(value: float) -> str:
    return f"{value:+.4f}" if abs(value) < 5 else f"{value:+.1f}"


def _difference(of: Mapping[str, float]) -> str:
    p = f"{of['p']:.4f}" if of["p"] >= 0.0001 else "< 0.0001"
    return f"{_signed(of['value'])}   {_signed(of['low'])} to {_signed(of['high'])}   p {p}"


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
        print(f"showtell: {spec} has no photos; the page is without. --data SPEC gives them", file=sys.stderr)
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

"""`showtell caption --output`: joins inputs, captioner and the files of `bulk`."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from showtell import __version__
from showtell.bulk.ledger import Entry
from showtell.bulk.progress import Progress
from showtell.bulk.refusal import run_header
from showtell.bulk.rows import as_record, is_confident, path_of
from showtell.bulk.run import Run, RunOptions, Summary
from showtell.bulk.sinks import SinkOptions, make_sink
from showtell.bulk.storage import Storage
from showtell.cli import signals
from showtell.cli.output import RowFile
from showtell.cli.progress_bar import progress_bar
from showtell.core.captioner import Captioner
from showtell.core.sources import ImageInput
from showtell.errors import BadConfig, BadImage, OutputError
from showtell.files import is_stream
from showtell.folder_scan import PassedOver
from showtell.records import CaptionRow
from showtell.settings import DecodeSettings
from showtell.terminal import echo, escape

if TYPE_CHECKING:
    from showtell.cli.attention import Pictures


@contextlib.contextmanager
def open_output(
    output: str | None, run_options: RunOptions, sink_options: SinkOptions, min_confidence: float
) -> Iterator[Run | RowFile | None]:
    """The place of rows: a run that can go on later, a pipe or device, which cannot, or None for stdout.

    Raises BadConfig for options that do not go together, and for an output that cannot be used.
    """
    if output is None:
        if run_options != RunOptions() or sink_options.prefix or sink_options.suffix:
            raise BadConfig(
                "found --overwrite, --retry-failed, --skip-existing, --allow-changed, --prefix or --suffix without "
                "--output; expected --output"
            )
        yield None
    elif is_stream(Path(output)):
        with RowFile(Path(output), sink_options.num, min_confidence, sink_options.pictures) as file:
            yield file
    else:
        storage = Storage()
        sink = make_sink(output, sink_options, storage)
        if run_options.skip_existing and not sink.one_file_each:
            raise BadConfig(f"found --skip-existing with --output {output}; expected sidecar or xmp, or leave it out")
        with Run(sink, output, run_options, storage, signals.held) as run:
            last_words = _last_words(run)
            signals.last_words.append(last_words)
            try:
                yield run
            except OutputError:  # it says where the rows are
                raise
            except BaseException:
                if (kept := run.kept()) is not None:
                    echo(f"showtell: {kept}; {_goes_on(run)}", err=True)
                raise
            finally:
                signals.last_words.remove(last_words)


def header_of(
    run: Run,
    captioner: Captioner,
    language: str | None,
    settings: DecodeSettings,
    prompt: str | None,
    sink_options: SinkOptions,
    min_confidence: float,
    column: str | None,
    inputs: Sequence[str],
) -> dict[str, Any]:
    """What the rows depend on; not what they do not: threads, the size of a batch."""
    options = captioner.generation_options(language, sink_options.num, False, settings, prompt)
    found = {
        **settings.model_dump(mode="json"),
        "language": options.language,
        "prompt": options.prompt,
        "num": sink_options.num,
        "attention": sink_options.pictures,
        "min_confidence": min_confidence,
        "max_pixels": captioner.max_pixels,
        "runtime": captioner.runtime,
        "prefix": sink_options.prefix,
        "suffix": sink_options.suffix,
        "column": column,
    }
    # The manifest as well: it has the size of the photos, and the calibration of confidences.
    models = [(*bundle.fingerprint, _hash(bundle.manifest.model_dump_json())) for bundle in captioner.bundles]
    return run_header(run.sink.kind, __version__, models, found, inputs)


def save_rows(
    run: Run,
    header: dict[str, Any],
    images: Iterator[ImageInput],
    engine: Callable[[Iterator[ImageInput]], Iterator[CaptionRow]],
    pictures: Pictures | None,
    min_confidence: float,
    passed_over: PassedOver,
    count: Callable[[], int | None] | None = None,
) -> int:
    """Write a row for each of the images that has none yet. Returns the number of inputs that failed."""
    done = run.begin(header)
    was_finished = run.is_finished()
    if not run.has_locks:
        echo("showtell: this file system has no locks; see to it that no other run has the same output", err=True)
    if done and not was_finished:
        echo(f"showtell: {done} photos are done already, in {escape(run.sink.where())}; going on", err=True)

    def when_done(entry: Entry) -> None:
        if pictures is not None and entry.picture is not None:
            pictures.reserve(entry.picture)

    undrawn = new = 0
    with progress_bar(in_log=True, progress=Progress(done), count=count) as advance:
        for row in engine(run.pending(images, when_done)):
            new += 1
            is_fine = run.is_skipped(row) or report(row)
            name = picture_name(pictures, row, min_confidence)
            undrawn += not draw(pictures, row, name)  # before the row: a row that counts has its pictures
            record = as_record(row, min_confidence)
            run.add(row, record if name is None else {**record, "attention": name})
            advance(is_fine)
    summary = run.finish()
    if signals.is_due():
        echo(f"showtell: all rows are in {run.name}", err=True)
    _tell(run, summary, was_finished and not new, passed_over)
    return summary.failed + undrawn


def report(row: CaptionRow) -> bool:
    """Say on stderr why a row has no caption. Returns whether it has one."""
    if not row.ok:
        echo(f"showtell: {path_of(row)}: {row.error}: {row.detail}", err=True)
    return row.ok


def picture_name(pictures: Pictures | None, row: CaptionRow, min_confidence: float) -> str | None:
    if pictures is not None and row.ok and is_confident(row.captions[0], min_confidence):
        return pictures.name_for(row)
    return None


def draw(pictures: Pictures | None, row: CaptionRow, name: str | None) -> bool:
    """Write the attention pictures. False, with a line on stderr, where the photo can no longer be read."""
    if pictures is not None and name is not None:
        try:
            pictures.write(row, name)
        except BadImage as error:  # it could be read for its caption
            echo(f"showtell: {path_of(row)}: {error}", err=True)
            return False
    return True


def _tell(run: Run, summary: Summary, nothing_to_do: bool, passed_over: PassedOver) -> None:
    parts = [f"{summary.captioned} captioned", f"{summary.failed} failed"]
    if summary.skipped:
        parts.append(f"{summary.skipped} skipped")
    line = ", ".join(parts)
    if nothing_to_do:
        line = f"{run.name} was complete already: {line}"
        line += "; --retry-failed tries those again" if summary.failed else ""
        line += "; --overwrite begins anew"
    if summary.gone:
        line += f"; {summary.gone} rows are of inputs that are not there any more"
    if passed_over.total:
        line += f"; {passed_over}"
    if nothing_to_do or passed_over.total or summary.inputs > 1:
        echo(f"showtell: {line}", err=True)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _last_words(run: Run) -> Callable[[], str | None]:
    return lambda: None if (kept := run.kept()) is None else escape(kept)


def _goes_on(run: Run) -> str:
    return f"the same command{' without --overwrite' if run.options.overwrite else ''} goes on"

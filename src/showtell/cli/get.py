"""`showtell data get`"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from showtell.cli import signals
from showtell.cli.reading import read_data
from showtell.terminal import echo

if TYPE_CHECKING:
    from showtell.data.download.catalogue import DataSet
    from showtell.data.download.get import Download


def get(
    name: Annotated[str, typer.Argument(help="coco2014, coco2017, flickr8k or flickr30k-captions.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the data set goes; made if it is not there.")],
    yes: Annotated[bool, typer.Option("--yes", help="Agree to the terms of the data set without being asked.")] = False,
) -> None:
    """Download a public data set from its authors, check and unpack it, and print its data spec.

    Prints the terms and asks first. After an interruption, the same command resumes; when everything is there, it does
    nothing. What only a request form gives is named, and checked where you put it.
    """
    from showtell.data.download.catalogue import CATALOGUE

    download(CATALOGUE, name, folder, yes)


def download(catalogue: Mapping[str, DataSet], name: str, folder: Path, yes: bool) -> None:
    """The command, for any catalogue."""
    from showtell.config import nearest
    from showtell.data.download.get import Download
    from showtell.errors import BadConfig
    from showtell.progress import ProgressReporter

    if name not in catalogue:
        raise BadConfig(f"{name}: is no data set that can be downloaded{nearest(name, catalogue)}")
    data_set = catalogue[name]
    task = Download(data_set, folder, ProgressReporter())
    if task.steps():
        _agree(data_set, yes)
        with _told(task.where):
            task.run()
    else:
        echo(f"{folder}: everything is there", err=True)
    _report(task)


def _report(task: Download) -> None:
    """The spec on stdout, once the reader has read it."""
    from showtell.data.flickr import read_captions

    if task.missing():
        captions = read_captions(task.folder / task.data_set.archives[0].contents[0].path)
        count = sum(len(entry.texts) for entry in captions.values())
        echo(f"{task.folder}: {count:,} captions of {len(captions):,} photos, and no photos yet", err=True)
        echo(f"to train on them, also: {task.how_to_request()}", err=True)
        return
    spec = task.data_set.spec.format(folder=task.folder)
    samples = read_data(spec, ["en"])
    echo(f"{spec}: {len(samples):,} photos, {sum(len(s.captions) for s in samples):,} captions", err=True)
    echo(spec)


def _agree(data_set: DataSet, yes: bool) -> None:
    """Raises BadConfig unless the user agrees to the terms, which are printed in any case."""
    from showtell.errors import BadConfig

    echo(f"{data_set.title}, {data_set.page}", err=True)
    for line in data_set.terms.splitlines():
        echo(line, err=True)
    if yes:
        return
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
        raise BadConfig("found no terminal to ask on; expected --yes, which says that you agree to these terms")
    sys.stderr.write("Do you agree to these terms? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().casefold() not in ("y", "yes"):
        raise BadConfig("the terms were not agreed to; nothing was downloaded")


@contextlib.contextmanager
def _told(where: Callable[[], str | None]) -> Iterator[None]:
    """Says where the work is when a signal ends the block, the first one or a second one."""
    signals.last_words.append(where)
    try:
        yield
    except signals.Stopped:
        if line := where():
            echo(f"showtell: {line}", err=True)
        raise
    finally:
        signals.last_words.remove(where)

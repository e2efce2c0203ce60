"""A bulk run: inputs that are still to be done go out, rows come in, and whatever ends it, the same command goes on.

    rows, written as they come -> on the disk -> a line in the ledger          every second, or thousand rows
    at the end: final files under temporary names -> a line -> renamed -> a line with the summary

A row counts when the ledger has it. What was written after the last line is cut off when the run goes on, and done
again, so that no row is missing or twice at whatever moment a process ends. Captions do not depend on their batch, and
so the output is that of a run without interruptions, byte for byte.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Final, NamedTuple

from showtell.bulk.ledger import CAPTIONED, SKIPPED, SUMMARY, Entry, Ledger, Retried, commit_line
from showtell.bulk.pending import Matching
from showtell.bulk.refusal import check_same_run
from showtell.bulk.rows import Record
from showtell.bulk.sinks import Sink
from showtell.bulk.storage import Storage, write_file
from showtell.core.sources import ImageInput
from showtell.errors import BadConfig, BadImage, OutputError, ShowtellError
from showtell.files import beside
from showtell.locks import Locked, locked
from showtell.records import CaptionRow

COMMIT_SECONDS: Final = 1.0
COMMIT_ROWS: Final = 1000
"""A commit waits for the disk; less often, more is done again after the process was killed."""


class _SkippedImage(BadImage):
    """In place of an input that is skipped, so that its row comes in its turn."""

    def __init__(self) -> None:
        super().__init__("missing", "skipped")


class _Task(NamedTuple):
    """An input that was given out; `entry` where it is tried again."""

    image: ImageInput
    entry: Entry | None


@dataclass(frozen=True)
class RunOptions:
    """How a run goes on from an earlier one."""

    overwrite: bool = False
    allow_changed: bool = False
    """Go on although model, settings or inputs are others."""
    skip_existing: bool = False
    retry_failed: bool = False


@dataclass
class Summary:
    """What became of the inputs of an output, over all runs."""

    inputs: int
    captioned: int
    failed: int
    skipped: int
    gone: int
    """Rows of inputs that are not there any more, a part of the others."""
    by_code: dict[str, int] = field(default_factory=dict)

    def check(self) -> None:
        """Raises ShowtellError unless every input is one of the three."""
        done = self.captioned + self.failed + self.skipped
        if self.inputs + self.gone != done or sum(self.by_code.values()) != self.failed:
            raise ShowtellError(
                f"found {self.inputs} inputs, and {self.gone} that are gone, with {done} rows; expected a row for each"
            )


class Run:
    """Within a `with` block no other run has the same output."""

    def __init__(
        self,
        sink: Sink,
        name: str,
        options: RunOptions | None = None,
        storage: Storage | None = None,
        hold: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`name`: the output as the user gave it. `hold`: a block that signals do not interrupt."""
        self.sink, self.name, self.options = sink, name, options or RunOptions()
        self._storage, self._hold, self._clock = storage or Storage(), hold, clock
        self._header: Mapping[str, Any] = {}
        self._tasks: deque[_Task] = deque()
        self._entries: list[tuple[str, str, str | None]] = []
        self._retried: list[Retried] = []
        self._is_started = self._is_broken = False
        self._matching: Matching | None = None
        self._committed_at = clock()
        self._stack = contextlib.ExitStack()
        self.has_locks = True

    def __enter__(self) -> Run:
        """Raises BadConfig when another run has the output, it cannot be written, or it is not of an earlier run."""
        target = self.sink.target
        is_hidden = target.name.startswith(".")
        try:
            if self.sink.one_file_each:
                self._storage.make_folder(target.parent)
            self.has_locks = self._stack.enter_context(locked(beside(target, ".lock", "" if is_hidden else ".")))
            self._ledger = Ledger(self._storage, beside(target, ".ledger"))
            self._stack.callback(self.sink.close)
            self._stack.callback(self._ledger.close)
            self._goes_on = self.sink.check(self._ledger.known, self.options.overwrite) and not self.options.overwrite
        except Locked as error:
            raise BadConfig(
                f"--output {self.name}: another run is writing it; wait until it ends, or give another name"
            ) from error
        except OSError as error:
            self._stack.close()
            raise BadConfig(
                f"--output {self.name}: cannot be written ({error.strerror}); give another place"
            ) from error
        except BaseException:
            self._stack.close()
            raise
        return self

    def begin(self, header: Mapping[str, Any]) -> int:
        """`header`: of `run_header`. Returns the number of inputs that are done already. Changes no file.

        Raises BadConfig when the earlier rows depend on other things.
        """
        known = self._ledger.known
        if not known.entries and known.header != {**header, "overwrite": self.options.overwrite}:
            self._goes_on = False  # no row depends on the other things
        if not self._goes_on or known.header is None:
            self._header = {**header, "overwrite": self.options.overwrite}
            return 0
        self._header = {**header, "overwrite": known.header["overwrite"]}
        check_same_run(self.name, known.header, header, self.options.allow_changed)
        return known.entries

    def pending(
        self, images: Iterable[ImageInput], when_done: Callable[[Entry], None] | None = None
    ) -> Iterator[ImageInput]:
        """The inputs that are to be captioned, lazily; rows for all of them must come to `add`, in this order.

        `when_done`: called with each entry that is done already.
        """
        self._matching = Matching(images, self._ledger.entries() if self._goes_on else iter(()))
        for image, entry in self._matching:
            if entry is not None and not (self.options.retry_failed and entry.outcome not in (CAPTIONED, SKIPPED)):
                if when_done is not None:
                    when_done(entry)
                continue
            if self.options.skip_existing and self.sink.exists(image):
                image = replace(image, error=_SkippedImage())
            self._tasks.append(_Task(image, entry))
            yield image

    def is_skipped(self, row: CaptionRow) -> bool:
        return isinstance(row.source, ImageInput) and isinstance(row.source.error, _SkippedImage)

    def add(self, row: CaptionRow, record: Record) -> None:
        """Take the row of the next input. Raises OutputError when the disk takes no more, with the place of the rows so
        far."""
        task = self._tasks.popleft()
        if row.source is not task.image:
            raise ValueError(f"found the row of {row.source!r}; expected that of {task.image!r}")
        is_skipped = self.is_skipped(row)
        outcome = SKIPPED if is_skipped else CAPTIONED if row.ok else str(row.error)
        with self._translated(), self._hold():
            self._start()
            merged_later = task.entry is not None and not self.sink.one_file_each
            if not (is_skipped or merged_later):
                self.sink.add(task.image, record)
            if task.entry is None:
                self._entries.append((task.image.path, outcome, record.get("attention")))
            else:
                kept = {} if self.sink.one_file_each else record
                self._retried.append(Retried(task.entry.number, task.entry.key, outcome, task.entry.outcome, kept))
            waiting = len(self._entries) + len(self._retried)
            is_due = self._clock() - self._committed_at >= COMMIT_SECONDS or waiting >= COMMIT_ROWS
            if self.sink.is_full or is_due:
                self._commit()

    def finish(self) -> Summary:
        """Complete the output. Call it when the iterator of `pending` has ended. Raises OutputError as `add` does, and
        ShowtellError when the numbers of inputs and rows differ."""
        assert self._matching is not None
        with self._translated(), self._hold():
            if self._is_started or not self.is_finished():
                self._start()
                self._commit()
                unmerged = iter(()) if self.sink.one_file_each else self._ledger.unmerged()
                state = self.sink.prepare(unmerged)
                self._ledger.append({"publishing": state})
                self.sink.publish()
                summary = self._summary()
                data = json.dumps(summary.__dict__, indent=2).encode() + b"\n"
                write_file(self._storage, self._ledger.folder / SUMMARY, data)
                self._ledger.append({"finished": summary.__dict__, "state": state})
            self.sink.clean()  # also where an earlier run ended before it could
        return self._summary()

    def is_finished(self) -> bool:
        return self._goes_on and self._ledger.known.is_finished

    def kept(self) -> str | None:
        """Where the rows so far are; None when there are none, or this run has not added to them."""
        has_rows = self._is_started and (self._ledger.known.entries or self._entries)
        return f"the rows so far are in {self.sink.where()}" if has_rows else None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """After an error or a signal: what has come is committed."""
        try:
            if kind is not None and self._is_started and not self._is_broken:
                with contextlib.suppress(OutputError), self._translated(), self._hold():
                    self._commit()
        finally:
            self._stack.close()

    def _start(self) -> None:
        if self._is_started:
            return
        if not self._goes_on:
            self._ledger.start_anew(self._header)
        elif self._header != self._ledger.known.header:  # with --allow-changed
            self._ledger.append({"header": self._header, "publishing": self._ledger.known.publishing})
        self._is_started = True
        state = self.sink.start(self._ledger.known)
        if self._ledger.known.state != state and self._ledger.known.entries:
            # Else a state that was about to be published would be forgotten with the next line.
            self._ledger.append({"state": state})
        self._goes_on = True

    def _commit(self) -> None:
        if self._entries or self._retried:
            if self.sink.one_file_each:
                keys = [key for key, outcome, _ in self._entries if outcome == CAPTIONED]
                keys += [item.key for item in self._retried if item.outcome == CAPTIONED]
                self._ledger.append({"writing": keys})
            state = self.sink.flush()
            if self._entries:
                self._ledger.append(commit_line(self._entries, state))
            if self._retried:
                self._ledger.append({"retried": self._retried, "state": state})
            self._entries, self._retried = [], []
        self._committed_at = self._clock()

    def _summary(self) -> Summary:
        assert self._matching is not None
        counts = +self._ledger.known.outcomes
        captioned, skipped = counts.pop(CAPTIONED, 0), counts.pop(SKIPPED, 0)
        codes = dict(sorted(counts.items()))
        summary = Summary(
            self._matching.seen, captioned, sum(codes.values()), skipped, self._matching.gone, by_code=codes
        )
        summary.check()
        return summary

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors of the system as OutputError. What the ledger has is safe; nothing more is written in this run."""
        try:
            yield
        except OSError as error:
            self._is_broken = True
            try:
                where = self.kept() or ""
            except OSError:  # no room for a copy either
                where = ""
            raise OutputError.of(f"--output {self.name}", error, where) from error

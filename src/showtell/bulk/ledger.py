"""What a run has committed: a file beside the output to which one line is added per batch, after its rows.

    HEADER      what the rows depend on: model, settings, inputs
    KEYS        the inputs of a batch, in order, with the codes of those that failed, and the sink's state after it
    RETRIED     rows that replace earlier ones; they are merged into the output at the end
    WRITING     keys of which the sink is about to write files of their own
    PUBLISHING  the sink's state once its files have their final names
    FINISHED    the same, when they have them, with the summary

Every line begins with the checksum of the rest. The first one that does not fit is where the process, or the machine,
ended: it and all after it are cut off, and the sink cuts its rows off at the state of the last line. Rejected: SQLite,
whose journal and the rows could not become durable together either; a set of keys in memory, which grows with the run.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from showtell.bulk.rows import Record
from showtell.bulk.storage import AppendedFile, Storage

FILE: Final = "ledger.jsonl"
SUMMARY: Final = "summary.json"
CAPTIONED: Final = "captioned"
SKIPPED: Final = "skipped"
"""What an input became, where that is no code of an error."""
State = dict[str, int]


class Entry(NamedTuple):
    """One input that is done."""

    number: int
    key: str
    outcome: str
    picture: str | None


class Retried(NamedTuple):
    """A row that takes the place of that of the entry `number`."""

    number: int
    key: str
    outcome: str
    before: str
    record: Record


@dataclass
class Known:
    """What a ledger says; its size does not grow with the number of entries, only with that of retried ones."""

    header: dict[str, Any] | None = None
    outcomes: Counter[str] = field(default_factory=Counter)
    state: State = field(default_factory=dict)
    publishing: State | None = None
    is_finished: bool = False
    writing: frozenset[str] = frozenset()
    """Keys whose files may be there although they are not committed."""
    retried_outcomes: dict[int, str] = field(default_factory=dict)
    unmerged: dict[int, int] = field(default_factory=dict)
    """Entry -> where the line of its retried row is."""
    size: int = 0
    """Bytes of the file up to the end of its last whole line."""

    @property
    def entries(self) -> int:
        return self.outcomes.total()

    def take(self, line: Mapping[str, Any], begin: int) -> None:
        if "header" in line:
            self.header = line["header"]
        elif "keys" in line:
            failed = line["codes"]
            self.outcomes.update(failed.values())
            self.outcomes[CAPTIONED] += len(line["keys"]) - len(failed)
        elif "retried" in line:
            for item in map(Retried._make, line["retried"]):
                self.outcomes[item.before] -= 1
                self.outcomes[item.outcome] += 1
                self.retried_outcomes[item.number] = item.outcome
                self.unmerged[item.number] = begin
        self.state = line.get("state", self.state)
        self.publishing = line.get("publishing")
        self.writing = frozenset(line.get("writing", ()))
        self.is_finished = "finished" in line
        if self.is_finished:
            self.unmerged = {}


class Ledger:
    """The ledger in `folder`. Opening it changes nothing; the first line that is added makes the folder."""

    def __init__(self, storage: Storage, folder: Path) -> None:
        """Raises OSError when it is there and cannot be read."""
        self.folder, self.path, self._storage = folder, folder / FILE, storage
        self._file: AppendedFile | None = None
        self.known = Known()
        for begin, end, line in self._lines():
            self.known.take(line, begin)
            self.known.size = end

    def start_anew(self, header: Mapping[str, Any]) -> None:
        """Forget everything. Raises OSError."""
        self.close()
        self.known = Known()
        self.append({"header": header})

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line; it is on the disk then. Raises OSError."""
        if self._file is None:
            self._storage.make_folder(self.folder)
            self._file = AppendedFile(self._storage, self.path, self.known.size)
            self._storage.sync_folder(self.folder)
            self._storage.sync_folder(self.folder.parent)
        begin = self._file.size
        text = json.dumps(line, separators=(",", ":")).encode()
        self._file.append(b"%08x " % zlib.crc32(text) + text + b"\n")
        self._file.sync()
        self.known.take(line, begin)
        self.known.size = self._file.size

    def entries(self) -> Iterator[Entry]:
        """All that is committed, in order, read from the file as it is asked for."""
        index = 0
        for _, _, line in self._lines():
            for position, key in enumerate(line.get("keys", ())):
                outcome = line["codes"].get(str(position), CAPTIONED)
                outcome = self.known.retried_outcomes.get(index, outcome)
                yield Entry(index, key, outcome, line.get("pictures", {}).get(str(position)))
                index += 1

    def unmerged(self) -> Iterator[tuple[int, Record]]:
        """Retried rows that the output does not have yet, by their place in it."""
        if not self.known.unmerged:
            return
        with self.path.open("rb") as file:
            for index, begin in sorted(self.known.unmerged.items()):
                file.seek(begin)
                line = _parsed(file.readline()) or {}
                yield next((index, item[4]) for item in reversed(line["retried"]) if item[0] == index)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def _lines(self) -> Iterator[tuple[int, int, dict[str, Any]]]:
        begin = 0
        try:
            file = self.path.open("rb")
        except (FileNotFoundError, NotADirectoryError):
            return
        with file:
            for raw in file:
                line = _parsed(raw)
                if line is None:
                    return
                yield begin, begin + len(raw), line
                begin += len(raw)


def commit_line(entries: Sequence[tuple[str, str, str | None]], state: State) -> dict[str, Any]:
    """`entries`: key, outcome and picture of each."""
    pictures = {str(n): picture for n, (_, _, picture) in enumerate(entries) if picture is not None}
    line = {
        "keys": [key for key, _, _ in entries],
        "codes": {str(n): outcome for n, (_, outcome, _) in enumerate(entries) if outcome != CAPTIONED},
        "state": state,
    }
    return {**line, "pictures": pictures} if pictures else line


def _parsed(raw: bytes) -> dict[str, Any] | None:
    """None for what is no whole line."""
    checksum, _, text = raw.rstrip(b"\n").partition(b" ")
    if not raw.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    line: dict[str, Any] = json.loads(text)
    return line

"""What is known of the downloads in a folder: `.showtell-data.json` beside them.

The validator of an unfinished download has to outlive the process, so that the rest is never that of another file.
Checksums that nobody publishes, and the bytes of unpacked photos, are compared with those of the first download.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Final

from showtell.files import write_text

NAME: Final = ".showtell-data.json"


class Record:
    """Notes by the name of a file or folder of the data set. Each change is on the disk before it is used."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._notes: dict[str, dict[str, str | int]] = {}
        with contextlib.suppress(OSError, ValueError, AttributeError):  # none yet, or damaged: all is checked anew
            notes = json.loads(self.path.read_text(encoding="utf-8"))
            self._notes = {str(name): dict(fields) for name, fields in notes.items()}

    def text(self, name: str, field: str) -> str | None:
        value = self._notes.get(name, {}).get(field)
        return value if isinstance(value, str) else None

    def number(self, name: str, field: str) -> int | None:
        value = self._notes.get(name, {}).get(field)
        return value if isinstance(value, int) else None

    def note(self, name: str, **fields: str | int) -> None:
        """Raises OutputError when the disk takes no more."""
        self._notes[name] = {**self._notes.get(name, {}), **fields}
        write_text(self.path, json.dumps(self._notes, indent=2, sort_keys=True) + "\n")

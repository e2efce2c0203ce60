"""Every error that showtell raises on purpose.

    ShowtellError
    ├── BadImage        one image cannot be captioned; `code` is stable (see `IMAGE_CODES`)
    ├── BadData         a caption file or folder cannot be parsed; names file and line
    │   └── MissingImages   photos that it names do not exist; `names` has them all
    ├── BadConfig       a recipe, a setting or a command line is wrong
    ├── BadBundle       a model folder is missing, damaged or does not fit together
    ├── BadWeights      encoder weights are not available or do not fit
    ├── ExportMismatch  ONNX and torch disagree; the bundle was not written
    ├── Diverged        training gives loss, gradients or weights that are not finite
    ├── MissingExtra    an optional package is not installed; names the extra
    ├── StorageUnreachable  inputs or data cannot be read now; the same command goes on
    └── OutputError     a result cannot be written: full disk, quota, I/O error, closed stdout
        └── OutputClosed    whoever read the output has gone, as `head` does

A message is one line: what was found, what was expected, what to do next. Foreign exceptions are translated where they
occur, with `raise ... from error`, so that the cause is never lost.
"""

import errno
import os
from collections.abc import Sequence
from typing import Final

from showtell.install import install_hint

IMAGE_CODES: Final = {
    "missing": "no such file",
    "unreadable": "the file or folder cannot be read",
    "empty": "the file has no bytes",
    "truncated": "the image ends before it is complete",
    "not_an_image": "the bytes are no image",
    "too_large": "more bytes, pixels or parts than the limit",
    "too_small": "fewer pixels than the limit",
    "unsupported": "an image format that is not decoded here (such as SVG)",
    "url_refused": "a URL that is not fetched: its scheme, port, host or address",
    "url_failed": "a URL that gave no image: no answer in time, or an error status",
    "crashed": "captioning it raised an error, or ended its process, on Ray",
}


_ADVICE: Final = {
    "ENOSPC": "make room",
    "EDQUOT": "make room within the quota",
    "EFBIG": "raise the limit on file sizes (ulimit -f)",
    "EIO": "check the disk or its connection",
    "EROFS": "make the disk writable",
    "ESTALE": "check the connection to the disk",
}
OUTPUT_ERRNOS: Final = {getattr(errno, name): advice for name, advice in _ADVICE.items() if hasattr(errno, name)}
"""Failures of writing that no other command line avoids, with what to do before the same one is tried again."""


class ShowtellError(Exception):
    """Base of all errors meant for a user; `str(error)` is one line."""

    exit_code: int = 2


class BadImage(ShowtellError):
    """One image cannot be used. `code` is one of `IMAGE_CODES` and never changes its meaning."""

    def __init__(self, code: str, detail: str) -> None:
        if code not in IMAGE_CODES:
            raise ValueError(f"unknown image error code {code!r}")
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class BadData(ShowtellError):
    """A data set cannot be read. The message begins with the file, and the line where there is one."""

    def __init__(self, file: object, found: str, expected: str, line: int | None = None) -> None:
        where = f"{file}, line {line}" if line is not None else f"{file}"
        super().__init__(f"{where}: found {found}; expected {expected}")


class MissingImages(BadData):
    """Photos that a caption file names do not exist. The message has the first of them, `names` has all."""

    def __init__(self, file: object, first: object, names: Sequence[str], line: int | None = None) -> None:
        others = len(names) - 1
        more = f", nor {others} other{'s' if others > 1 else ''}" if others else ""
        super().__init__(file, f"captions of {names[0]!r}, but no file {first}{more}", "image files", line)
        self.names = tuple(names)


class BadConfig(ShowtellError):
    """A recipe, a setting or a command line that cannot be followed."""


class BadBundle(ShowtellError):
    """A model folder that cannot be loaded; the message names the first thing that is wrong."""


class BadWeights(ShowtellError):
    """Encoder weights that are absent or do not fit the encoder."""


class ExportMismatch(ShowtellError):
    """The exported network does not compute what the trained one computes."""


class Diverged(ShowtellError):
    """Training gives numbers that are not finite. The state from before is kept."""

    exit_code = 4


class MissingExtra(ShowtellError):
    """An optional package is not installed; the message has the command that adds the extra to this installation."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs {package}, which is not installed; {install_hint(extra)}")


class StorageUnreachable(ShowtellError):
    """A part of the inputs cannot be listed or read now. Nothing is lost: the same command goes on."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


class OutputError(ShowtellError):
    """A result cannot be written, through no fault of the command line; what was written before is kept and named."""

    exit_code = 3

    @classmethod
    def of(cls, place: object, error: OSError, kept: str = "") -> "OutputError":
        """`kept`: where the results so far are."""
        reason = error.strerror or os.strerror(error.errno or errno.EIO)
        advice = OUTPUT_ERRNOS.get(error.errno or errno.EIO, "give another place")
        again = "run the command again" if error.errno in OUTPUT_ERRNOS else ""
        parts = (f"{place}: cannot be written ({reason})", kept, " and ".join(filter(None, (advice, again))))
        return cls("; ".join(filter(None, parts)))


class OutputClosed(OutputError):
    """Nobody reads the output any more. That is no fault: the command ends quietly, as if killed by SIGPIPE."""

    exit_code = 128 + 13

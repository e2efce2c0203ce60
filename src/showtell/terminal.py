"""Everything that showtell prints.

A name or a caption can hold any character. Printed as it is, a line break makes two rows of one, an escape sequence
commands the terminal, a bidirectional override makes it show another name, and a character that the stream's encoding
lacks ends the program. So all output goes through `echo` (one line of text) and `echo_row` (fields, with tabs between
them), which escape such characters as JSON does.

In a row the escapes can be undone. A field that contains such a character stands in double quotes, as a JSON string;
any other field stands as it is, backslashes included. `unquote` reads both. This is git's rule (core.quotePath).
Rejected: backslash escapes without quotes, which would either change every Windows path or be ambiguous in it.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import re
import select
import stat
import sys
from collections.abc import Iterator
from typing import Final, TextIO

from showtell.errors import OutputClosed, OutputError

UNPRINTABLE: Final = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
"""Control characters (with C1, of which U+009B begins escape sequences), line and paragraph separators, bidirectional
embeddings, overrides and isolates, and the byte order mark, which readers drop at the beginning of a file. Not the
marks U+200E and U+200F and the joiners U+200C and U+200D: ordinary Arabic, Hebrew and Persian names have them."""
_BYTES: Final = re.compile("[\udc80-\udcff]+")
"""Bytes of file names that are not text, as Python represents them."""
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPE_ALL: Final = "showtell.escape"
_KEEP_BYTES: Final = "showtell.keep-bytes"

_Stream = TextIO | None
_reserved: list[_Stream] = []
"""The real standard output while `reserved_stdout` is active."""


def escape(text: str) -> str:
    """The text without UNPRINTABLE characters: each becomes \\n, \\r, \\t or \\uXXXX, as in JSON."""
    return UNPRINTABLE.sub(lambda match: _escaped(match[0]), text)


def quote(text: str, stream: _Stream = None) -> str:
    """The text as a field of a row: unchanged, or a JSON string if it has characters that are UNPRINTABLE or that
    `stream` (default: UTF-8) cannot show, or if `unquote` would change it."""
    # In a locale without UTF-8, the bytes of such a character are surrogates, which a pipe would pass on.
    as_utf8 = _BYTES.sub(lambda match: os.fsencode(match[0]).decode("utf-8", "replace"), text)
    if not UNPRINTABLE.search(as_utf8) and unquote(text) == text and _encodes(text, stream):
        return text
    escaped = escape(json.dumps(text, ensure_ascii=False))
    return "".join(c if _encodes(c, stream) else _escaped(c) for c in escaped)


def unquote(field: str) -> str:
    """Undoes `quote`: the string if the field is a JSON string, else the field itself."""
    if len(field) > 1 and field.startswith('"') and field.endswith('"'):
        with contextlib.suppress(ValueError):
            return str(json.loads(field))
    return field


def echo(text: str = "", *, err: bool = False) -> None:
    """Print one line to stdout, or to stderr.

    Raises OutputError when stdout cannot be written, OutputClosed when nobody reads it any more. A message that stderr
    does not take is lost: there is no other place for it, and the work is worth more.
    """
    line = escape(text) + "\n"
    if not err:
        _write(stdout(), line)
    else:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(line)
            sys.stderr.flush()


def echo_row(*fields: str) -> None:
    """Print fields with tabs between them, one row, to stdout. Raises as `echo` does."""
    stream = stdout()
    _write(stream, "\t".join(quote(field, stream) for field in fields) + "\n")


def echo_bytes(data: bytes) -> None:
    """Write a whole document to stdout, whatever its encoding. Raises as `echo` does."""
    stream = stdout()
    if stream is not None:
        stream.flush()
    _write(stream, data)


def stdout() -> _Stream:
    """Where `echo` prints; None if the process was started without."""
    return _reserved[-1] if _reserved else sys.stdout


@contextlib.contextmanager
def reserved_stdout() -> Iterator[None]:
    """Within the block only this module writes to stdout: what libraries print goes to stderr and never mixes with
    captions.

    Rejected: the same for descriptor 1, which would catch C libraries as well. They keep to stderr, and /dev/stdout as
    an output would be another file than the one that the user means.
    """
    _reserved.append(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _reserved.pop()


def prepare_streams() -> None:
    """At the start of a process: no character stops a stream, and a closed one is never mistaken for a file.

    Where the encoding lacks a character, stdout and stderr get its escape; but bytes of file names that are not text go
    through a pipe unchanged, as `find` and `xargs` need them.
    """
    with contextlib.suppress(OSError):
        # Otherwise the next file to be opened would get number 1, and C libraries would print into it.
        while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:
            os.set_inheritable(descriptor, True)
        os.close(descriptor)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 (for the rest of the process)
    codecs.register_error(_ESCAPE_ALL, _escape_all)
    codecs.register_error(_KEEP_BYTES, _keep_bytes)
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    handlers = (
        (sys.stdin, "surrogateescape"),
        (sys.stdout, _ESCAPE_ALL if is_terminal else _KEEP_BYTES),
        (sys.stderr, _ESCAPE_ALL),
    )
    for stream, errors in handlers:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=errors)


def finish_streams() -> None:
    """At the end of a process: whatever was printed otherwise, such as help, is out. Raises as `echo` does.

    After this the interpreter has nothing to flush; it would fail with a traceback and exit code 120.
    """
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        _discard(sys.stderr, None)
    if sys.stdout is not None:
        _write(sys.stdout, "")


def _write(stream: _Stream, content: str | bytes) -> None:
    if stream is None:
        raise OutputError("standard output is closed; expected a terminal, a file or a pipe, or --output FILE")
    begin = None
    try:
        stream.flush()
        begin = _position(stream)
        if isinstance(content, str):
            content = _encoded(content, stream)
        if isinstance(content, str):
            stream.write(content)
            stream.flush()
        elif (descriptor := _descriptor(stream)) is None:
            stream.buffer.write(content)
            stream.flush()
        else:
            write_all(descriptor, content)
    except BrokenPipeError as error:
        _discard(stream, None)
        raise OutputClosed("standard output was closed by its reader") from error
    except OSError as error:
        _discard(stream, begin)
        raise OutputError.of("standard output", error) from error


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a file, or to a pipe that another process may have made non-blocking. Raises OSError."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def _encoded(text: str, stream: TextIO) -> str | bytes:
    """The bytes, for a stream of which the part that was written must be known; else the text for its own `write`."""
    encoding = stream.encoding or "utf-8"
    if _descriptor(stream) is None or os.linesep != "\n" or "".encode(encoding):  # a byte order mark
        return text
    return text.encode(encoding, stream.errors or "strict")


def _position(stream: TextIO) -> int | None:
    """Where in a file of its own `stream` writes next; None for all else. A file that is appended to may be shared, and
    what others wrote to it must not be cut off."""
    descriptor = _descriptor(stream)
    try:
        if descriptor is None or not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        import fcntl

        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
            return None
        return os.lseek(descriptor, 0, os.SEEK_CUR)
    except (OSError, ImportError):
        return None


def _discard(stream: TextIO, begin: int | None) -> None:
    """Cut off the line that did not fit, and drop what `stream` still holds, so that closing it does not fail again."""
    descriptor = _descriptor(stream)
    if descriptor is None:
        return
    with contextlib.suppress(OSError):
        if begin is not None:
            os.ftruncate(descriptor, begin)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, descriptor)
        os.close(null)
        stream.flush()


def _descriptor(stream: _Stream) -> int | None:
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None  # no file, as in tests, or closed


def _encodes(text: str, stream: _Stream) -> bool:
    if stream is None or not stream.encoding:
        encoding, errors = "utf-8", "strict"
    else:
        encoding, errors = stream.encoding, "strict" if stream.isatty() else "surrogateescape"
    try:
        text.encode(encoding, errors)
    except UnicodeEncodeError:
        return False
    return True


def _escaped(text: str) -> str:
    """JSON escapes; two for a character above U+FFFF."""
    return "".join(_SHORT.get(c) or json.dumps(c)[1:-1] if c != "\x7f" else "\\u007f" for c in text)


def _escape_all(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return _escaped(error.object[error.start : error.end]), error.end


def _keep_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    end = error.start + 1
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00]), end
    return _escaped(character), end

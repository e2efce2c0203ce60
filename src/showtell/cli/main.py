"""The `showtell` process: turns errors and signals into one line and an exit code; docs/command_line.md lists them."""

from __future__ import annotations

# Little, and the rest in functions: until the handlers are installed, Ctrl-C shows a traceback.
import signal
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn

from showtell.cli import signals

if TYPE_CHECKING:
    from showtell.errors import OutputError, ShowtellError


HANGUP_SECONDS: Final = 0.2
"""How long after the first error of a closed terminal its SIGHUP may come."""


def main() -> NoReturn:
    """Runs the command in `sys.argv` and ends the process: signals are not handled afterwards."""
    try:
        with signals.handled():
            code = _run()
    except signals.Stopped as stopped:  # while the handlers were installed or removed
        code = stopped.exit_code
    sys.exit(code)


def __getattr__(name: str) -> Any:
    if name == "app":
        from showtell.cli.app import app

        return app
    raise AttributeError(f"module 'showtell.cli.main' has no attribute {name!r}")


def _run() -> int:
    import time

    from showtell.errors import OutputClosed, OutputError, ShowtellError
    from showtell.terminal import echo, finish_streams, prepare_streams

    code = 0
    prepare_streams()
    try:
        try:
            from showtell.cli.app import app

            app()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        signals.raise_due()
        finish_streams()
    except OutputClosed as error:
        return error.exit_code
    except OutputError as error:
        if _may_be_closed_terminal(error):
            time.sleep(HANGUP_SECONDS)  # where its signal raises Stopped
            if (stopped := signals.received()) is not None:
                return stopped.exit_code
        echo(f"showtell: {error}", err=True)
        return error.exit_code
    except BaseException as error:
        # A package that a signal interrupts while it is imported raises an ImportError of its own.
        if (stopped := signals.received()) is not None:
            sent = "" if stopped.number == signal.SIGINT else f" by {signal.Signals(stopped.number).name}"
            echo(f"showtell: interrupted{sent}", err=True)
            return stopped.exit_code
        if isinstance(error, OSError) and error.errno is not None:
            error = _described(error)
        if not isinstance(error, ShowtellError):
            raise
        echo(f"showtell: {error}", err=True)
        return error.exit_code
    return code


def _may_be_closed_terminal(error: OutputError) -> bool:
    """Whether the cause is an I/O error, which a failing disk has as well."""
    import errno

    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EIO


def _described(error: OSError) -> ShowtellError:
    """An error of the system that no part of the program expected, with the file that it names."""
    from showtell.errors import OUTPUT_ERRNOS, OutputError, ShowtellError

    place = error.filename if error.filename is not None else "the output"
    if error.errno in OUTPUT_ERRNOS:
        return OutputError.of(place, error)
    return ShowtellError(f"{place}: {error.strerror}; check that it exists and that you have permission, and try again")

"""The `showtell` process: turns errors and signals into one line and an exit code; docs/command_line.md lists them."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from showtell.cli import signals
from showtell.errors import OUTPUT_ERRNOS, OutputClosed, OutputError, ShowtellError
from showtell.terminal import echo, finish_streams, prepare_streams


def main() -> NoReturn:
    """Runs the command in `sys.argv` and ends the process: signals are not handled afterwards."""
    prepare_streams()
    try:
        with signals.handled():
            code = _run()
    except signals.Stopped as stopped:  # while the handlers were installed or removed
        code = stopped.exit_code
    sys.exit(code)


def __getattr__(name: str) -> Any:
    # Imported when asked for: it takes a moment, in which Ctrl-C must not show a traceback.
    if name == "app":
        from showtell.cli.app import app

        return app
    raise AttributeError(f"module 'showtell.cli.main' has no attribute {name!r}")


def _run() -> int:
    code = 0
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
    except ShowtellError as error:
        echo(f"showtell: {error}", err=True)
        return error.exit_code
    except OSError as error:
        if error.errno is None:
            raise
        problem = _described(error)
        echo(f"showtell: {problem}", err=True)
        return problem.exit_code
    except (signals.Stopped, KeyboardInterrupt) as stop:
        echo("showtell: interrupted", err=True)
        return stop.exit_code if isinstance(stop, signals.Stopped) else 130
    return code


def _described(error: OSError) -> ShowtellError:
    """An error of the system that no part of the program expected, with the file that it names."""
    place = error.filename if error.filename is not None else "a file"
    if error.errno in OUTPUT_ERRNOS:
        return OutputError.of(place, error)
    return ShowtellError(f"{place}: {error.strerror}; check that it exists and that you have permission, and try again")

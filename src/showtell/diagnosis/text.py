"""What text can be printed, and what letters pictures can have."""

from __future__ import annotations

import locale
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Final

from showtell.diagnosis.findings import Findings
from showtell.terminal import stdout

PROBE: Final = "été Straße كلب 狗"
FONT_SECONDS: Final = 3.0
"""After which no further script is looked for: some machines have thousands of fonts."""
INSTALL_FONTS: Final = "apt-get install fonts-noto-core fonts-noto-cjk"


def examine_encoding() -> Findings:
    stream = stdout()
    encoding = getattr(stream, "encoding", None)
    findings = Findings(
        {
            "locale": _locale(),
            "stdout": encoding,
            "file_system": sys.getfilesystemencoding(),
            "utf8_mode": bool(sys.flags.utf8_mode),
        }
    )
    if encoding is not None and not _encodes(encoding):
        findings.problem(
            f"stdout is {encoding}: letters that it lacks are printed as escapes, such as \\u0643",
            "run: unset PYTHONIOENCODING" if "PYTHONIOENCODING" in os.environ else "run: export PYTHONUTF8=1",
        )
    return findings


def examine_fonts(
    languages: Iterable[str] | None = None, clock: Callable[[], float] = time.process_time, limit: float = FONT_SECONDS
) -> Findings:
    """By script, from the names that languages have for themselves: who draws it in pictures. `own`: the package's
    font; `system`; `no font`, or `no layout engine`: boxes are drawn."""
    from showtell.languages import known_languages, language_info
    from showtell.languages.scripts import scripts_of
    from showtell.view.typefaces import OWN, book

    scripts: dict[str, str] = {}
    unknown: set[str] = set()
    begin = clock()
    for language in known_languages() if languages is None else languages:
        name = language_info(language).name
        # Some languages have letters that the package's font lacks, though most of their script's are in it.
        written = {script for script in map(_script_name, scripts_of(name)) if scripts.get(script) != "own"}
        if clock() - begin > limit:
            unknown |= written
            continue
        for script in written:
            pieces = [piece for word in name.split() for piece in book().pieces(word, language)]
            problem = next((piece.problem for piece in pieces if piece.problem), "")
            is_own = all(piece.file == OWN for piece in pieces)
            boxes = {"font": "no font", "layout": "no layout engine"}
            found = boxes[problem] if problem else "own" if is_own else "system"
            scripts[script] = found if found == "own" else scripts.get(script, found)
    facts = {"scripts": scripts, "not_examined": sorted(unknown - scripts.keys()), "install": INSTALL_FONTS}
    return Findings(facts)


def _script_name(code: str) -> str:
    from showtell.languages.scripts import script_name

    return script_name(code)


def _locale() -> str:
    """The name as the system has it; `locale.getlocale` makes another one of C.UTF-8."""
    return locale.setlocale(locale.LC_CTYPE)


def _encodes(encoding: str) -> bool:
    try:
        PROBE.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True

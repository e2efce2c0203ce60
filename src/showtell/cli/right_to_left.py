"""Arabic captions on a terminal. Files and pipes get the caption in logical order, unchanged.

Terminals differ in their support for bidirectional text, do not report it, and few can be switched:

    order      the terminal                                                         receives
    logical    reorders lines and joins letters: VTE (GNOME Terminal and            the caption
               others), Konsole, mlterm, mintty, Terminal of macOS; any unknown
    words      joins letters and reorders within words, but not words: kitty        the words in reverse order
    visual     does neither: xterm, Alacritty, foot, Ghostty, WezTerm,              the letters in visual order,
               Windows Terminal, xterm.js (VS Code)                                 in joined forms

An unknown terminal gets the caption unchanged. If it is of the last kind, Arabic looks there as it does from any other
program, and copied text is the caption. The opposite mistake reverses correct text, and copied text cannot be searched.

Rejected: directional isolates (U+2067 ... U+2069) around the caption, which would order a caption with Latin words or a
number. VTE 0.70 ignores them and leaves U+2069 in copied text, Konsole 22.12 drops the gap after the path, mlterm 3.9
draws boxes. Rejected: the escape sequences of the BiDi working group, which only VTE and mintty know. Without any of
these the path and the tab keep their place, since a line that begins with a path in Latin letters runs from left to
right.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, Literal, TextIO

from showtell.errors import BadConfig
from showtell.view.shaping import has_right_to_left, visual_order, visual_text

Order = Literal["logical", "words", "visual"]

VARIABLE: Final = "SHOWTELL_BIDI"
ASKED: Final[dict[str, Order]] = {"terminal": "logical", "showtell": "visual"}
"""Values of the variable: which program reorders the letters."""

TERMS: Final[dict[str, Order]] = {
    "mlterm": "logical",
    "xterm-kitty": "words",
    "alacritty": "visual",
    "foot": "visual",
    "xterm-ghostty": "visual",
    "wezterm": "visual",
    "rxvt": "visual",
    "st": "visual",
    "linux": "visual",
}
"""By $TERM, which the innermost terminal sets and ssh passes on. `rxvt` is also `rxvt-unicode`, and so on."""

PROGRAMS: Final[dict[str, Order]] = {
    "Apple_Terminal": "logical",
    "mintty": "logical",
    "vscode": "visual",
    "WezTerm": "visual",
    "ghostty": "visual",
    "Hyper": "visual",
    "Tabby": "visual",
}
"""By $TERM_PROGRAM. iTerm2 is missing: it reorders lines or not, depending on its settings. VS Code reorders lines when
it renders without a GPU, which cannot be detected."""

MARKS: Final[tuple[tuple[str, Order], ...]] = (
    ("VTE_VERSION", "logical"),
    ("KONSOLE_VERSION", "logical"),
    ("KITTY_WINDOW_ID", "words"),
    ("XTERM_VERSION", "visual"),
    ("ALACRITTY_WINDOW_ID", "visual"),
    ("WT_SESSION", "visual"),
)
"""Variables that a terminal sets and that its child processes inherit, also another terminal. If variables of two kinds
are set, the first in this list decides: that mistake does less harm."""


def shown(caption: str, stream: TextIO | None, environment: Mapping[str, str] = os.environ) -> str:
    """The caption as `stream` gets it: unchanged, unless that is a terminal without support for Arabic.

    Raises BadConfig when $SHOWTELL_BIDI is neither `terminal` nor `showtell`.
    """
    if stream is None or not stream.isatty() or not has_right_to_left(caption):
        return caption
    order = order_for(environment)
    if order == "words":
        words = caption.split()
        return " ".join(words[n] for n in visual_order(words))
    return visual_text(caption) if order == "visual" else caption


def order_for(environment: Mapping[str, str]) -> Order:
    """What the terminal behind these variables needs. Raises BadConfig as `shown` does."""
    asked = environment.get(VARIABLE, "")
    if asked:
        if asked not in ASKED:
            raise BadConfig(f"{VARIABLE}={asked}: expected {' or '.join(ASKED)}; without it, the terminal is looked at")
        return ASKED[asked]
    term = environment.get("TERM", "")
    for name, order in TERMS.items():
        if term == name or term.startswith(f"{name}-"):
            return order
    program = environment.get("TERM_PROGRAM", "")
    if program in PROGRAMS:
        return PROGRAMS[program]
    return next((order for mark, order in MARKS if environment.get(mark)), "logical")

"""What of an Arabic caption goes to a terminal. A file or a pipe gets it as it is: letters, in the order of reading.

Terminals differ in what they do with such letters, none says which it does, and few obey when asked:

    order      the terminal                                                         what it is sent
    logical    puts lines in order and joins letters: VTE (GNOME Terminal and       the caption
               others), Konsole, mlterm, mintty, Terminal of macOS; any unknown
    words      joins letters and turns each word, but not the words: kitty          the words, last one first
    visual     puts character beside character, from the left: xterm, Alacritty,    the letters, last one first,
               foot, Ghostty, WezTerm, Windows Terminal, xterm.js (VS Code)         as the forms that join

A terminal that nobody knows gets the caption as it is. Should it be one of the last kind, then Arabic looks there as it
does from any other program, and what is copied from it is the caption. The opposite mistake turns good text around, and
what is copied is neither the caption nor anything that can be searched.

Directional isolates (U+2067 ... U+2069) around the caption would order one with Latin words or a number in it. They are
left out because of what terminals make of them: VTE 0.70 orders by none and leaves U+2069 in what is copied, Konsole
22.12 loses the gap after the path, mlterm 3.9 draws boxes. The escape sequences of the BiDi working group are known to
VTE and mintty alone. Without any of them the path and the tab keep their place, since a line that begins with a path in
Latin letters runs from left to right.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, Literal, TextIO

from showtell.errors import BadConfig
from showtell.view.shaping import letters_in_order, runs_right_to_left, words_in_order

Order = Literal["logical", "words", "visual"]

VARIABLE: Final = "SHOWTELL_BIDI"
ASKED: Final[dict[str, Order]] = {"terminal": "logical", "showtell": "visual"}
"""What a user can put into the variable: who puts the letters in order."""

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
"""By $TERM_PROGRAM. Not here: iTerm2, which puts lines in order or not as it is set. VS Code puts them in order where
it has no graphics card, and does not say so."""

MARKS: Final[tuple[tuple[str, Order], ...]] = (
    ("VTE_VERSION", "logical"),
    ("KONSOLE_VERSION", "logical"),
    ("KITTY_WINDOW_ID", "words"),
    ("XTERM_VERSION", "visual"),
    ("ALACRITTY_WINDOW_ID", "visual"),
    ("WT_SESSION", "visual"),
)
"""Variables that a terminal sets and its children inherit, another terminal among them. Where two kinds are set, the
first of this list decides: the mistake that does less harm."""


def shown(caption: str, stream: TextIO, environment: Mapping[str, str] = os.environ) -> str:
    """The caption as `stream` is to get it: itself, unless that is a terminal that needs help with Arabic.

    Raises BadConfig when $SHOWTELL_BIDI is neither `terminal` nor `showtell`.
    """
    if not stream.isatty() or not runs_right_to_left(caption):
        return caption
    order = order_for(environment)
    if order == "words":
        words = caption.split()
        return " ".join(words[n] for n in words_in_order(words))
    return letters_in_order(caption) if order == "visual" else caption


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

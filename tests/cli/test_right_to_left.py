"""Arabic captions as a terminal, a pipe and a file get them."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from showtell import Captioner
from showtell.cli.right_to_left import MARKS, order_for, shown
from showtell.errors import BadConfig

DOG = str(Path(__file__).parents[2] / "examples" / "dog.jpg")
BROWN_DOG = "\u0643\u0644\u0628 \u0628\u0646\u064a"  # kaf lam beh, beh noon yeh
LAST_LETTER_FIRST = "\ufef2\ufee8\ufe91 \ufe90\ufee0\ufedb"  # yeh noon beh, beh lam kaf: final, medial, initial forms
MIXED = "\u0631\u062c\u0644 \u0639\u0644\u0649 bmx 12 \u0641\u064a"  # reh jeem lam, ain lam alef-maksura, ..., feh yeh

XTERM = {"TERM": "xterm-256color", "XTERM_VERSION": "XTerm(379)"}
GNOME = {"TERM": "xterm-256color", "VTE_VERSION": "7006"}
KITTY = {"TERM": "xterm-kitty"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        (BROWN_DOG, LAST_LETTER_FIRST),
        # "3 dogs": lam with alef after kaf is one character, and beh stands alone after it.
        ("3 \u0643\u0644\u0627\u0628", "\ufe8f\ufefc\ufedb 3"),
        ("12 \u0628", "\ufe8f 12"),
        ("\u0661\u0662 \u0628", "\ufe8f \u0661\u0662"),  # Arabic digits, too, are read from the left
        # Latin words and the number after them stay in their order; jeem joins lam, and not reh before it.
        (MIXED, "\ufef2\ufed3 bmx 12 \ufef0\ufee0\ufecb \ufede\ufe9f\ufead"),
        # Alef lam lam heh, each letter in its cell.
        ("\u0627\u0644\u0644\u0647", "\ufeea\ufee0\ufedf\ufe8d"),
        ("a dog, 2 cats", "a dog, 2 cats"),
        ("", ""),
    ],
)
def test_a_terminal_that_orders_nothing_gets_joined_letters_last_one_first(caption: str, expected: str) -> None:
    assert shown(caption, Terminal(), XTERM) == expected


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        (BROWN_DOG, "\u0628\u0646\u064a \u0643\u0644\u0628"),
        (MIXED, "\u0641\u064a bmx 12 \u0639\u0644\u0649 \u0631\u062c\u0644"),
        ("12 bmx \u0628", "\u0628 bmx 12"),  # a number before Latin words is read before them: from the right
        ("a dog", "a dog"),
    ],
)
def test_kitty_gets_words_last_one_first(caption: str, expected: str) -> None:
    assert shown(caption, Terminal(), KITTY) == expected


@given(st.lists(st.sampled_from("\u0628\u062f\u0648ab78\u0663\u0664"), min_size=1, max_size=9))
def test_words_are_ordered_as_the_bidirectional_algorithm_does(letters: list[str]) -> None:
    """With words of one letter there is nothing within a word to order."""
    from bidi import get_display

    caption = " ".join(["\u0628", *letters])
    assert shown(caption, Terminal(), KITTY) == get_display(caption, base_dir="R")


@pytest.mark.parametrize(
    ("environment", "order"),
    [
        (GNOME, "logical"),
        ({"TERM": "xterm-256color", "KONSOLE_VERSION": "221203"}, "logical"),
        ({"TERM": "mlterm"}, "logical"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, "logical"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "logical"),
        ({"TERM": "xterm-256color"}, "logical"),  # over ssh: any terminal
        ({"TERM": "dumb"}, "logical"),
        ({}, "logical"),
        (KITTY, "words"),
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}, "words"),
        (XTERM, "visual"),
        ({"TERM": "linux"}, "visual"),
        ({"TERM": "foot-extra"}, "visual"),
        ({"TERM": "rxvt-unicode-256color"}, "visual"),
        ({"TERM": "xterm-256color", "WT_SESSION": "6f1d"}, "visual"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode"}, "visual"),
        # One terminal started from another: $TERM and $TERM_PROGRAM are of the inner one.
        ({**GNOME, "TERM": "alacritty"}, "visual"),
        ({**GNOME, "TERM_PROGRAM": "vscode"}, "visual"),
        # And where both only left a mark, the mistake that does less harm.
        ({**XTERM, "VTE_VERSION": "7006"}, "logical"),
        ({"TERM": "xterm-256color", "WT_SESSION": "6f1d", "VTE_VERSION": "7006"}, "logical"),
        ({**GNOME, "SHOWTELL_BIDI": "showtell"}, "visual"),
        ({**XTERM, "SHOWTELL_BIDI": "terminal"}, "logical"),
        ({**KITTY, "SHOWTELL_BIDI": "showtell"}, "visual"),
        ({**XTERM, "SHOWTELL_BIDI": ""}, "visual"),
    ],
    ids=str,
)
def test_what_a_terminal_needs(environment: dict[str, str], order: str) -> None:
    assert order_for(environment) == order


def test_a_wrong_wish_is_said() -> None:
    with pytest.raises(BadConfig, match="SHOWTELL_BIDI=yes: expected terminal or showtell"):
        shown(BROWN_DOG, Terminal(), {"SHOWTELL_BIDI": "yes"})


def test_a_stream_that_is_no_terminal_gets_the_caption() -> None:
    assert shown(BROWN_DOG, io.StringIO(), {**XTERM, "SHOWTELL_BIDI": "showtell"}) == BROWN_DOG


# --- the command, with the built-in model

ARABIC = ("--lang", "ar")


@pytest.fixture(scope="module")
def caption() -> str:
    """What the model says of the dog."""
    text = Captioner.load().caption(DOG, language="ar").text
    assert "كلب" in text
    return text


def run(*arguments: object) -> bytes:
    command = [sys.executable, "-m", "showtell", *map(str, arguments)]
    return subprocess.run(command, env=environment(XTERM), capture_output=True, check=True).stdout


def environment(terminal: dict[str, str]) -> dict[str, str]:
    """This process's, with the variables of one terminal and of no other."""
    others = {"TERM", "TERM_PROGRAM", "SHOWTELL_BIDI", *(mark for mark, _ in MARKS)}
    return {**{name: value for name, value in os.environ.items() if name not in others}, **terminal}


def on_a_terminal(terminal: dict[str, str], *arguments: object) -> tuple[int, str]:
    """Exit code and what the terminal received."""
    command = [sys.executable, "-m", "showtell", *map(str, arguments)]
    controller, end = pty.openpty()
    done = subprocess.run(command, env=environment(terminal), stdout=end, stderr=end, stdin=end, check=False)
    os.close(end)
    received = os.read(controller, 100_000).decode()
    os.close(controller)
    return done.returncode, received


def test_a_pipe_gets_letters_in_the_order_of_reading(caption: str) -> None:
    assert run("caption", DOG, *ARABIC) == f"{DOG}\t{caption}\n".encode()


@pytest.mark.parametrize(
    ("terminal", "expected"),
    [(XTERM, "visual"), (GNOME, "logical"), (KITTY, "words"), ({"TERM": "xterm"}, "logical")],
    ids=["xterm", "gnome", "kitty", "unknown"],
)
def test_a_terminal_gets_what_it_can_show(caption: str, terminal: dict[str, str], expected: str) -> None:
    from arabic_reshaper import reshape

    returncode, received = on_a_terminal(terminal, "caption", DOG, *ARABIC)
    words = {
        "logical": caption,
        "words": " ".join(reversed(caption.split())),
        "visual": reshape(caption)[::-1],  # nothing but Arabic letters: the other end first
    }
    assert (returncode, received) == (0, f"{DOG}\t{words[expected]}\r\n")


def test_a_terminal_hears_of_a_wrong_wish() -> None:
    returncode, received = on_a_terminal({**XTERM, "SHOWTELL_BIDI": "yes"}, "caption", DOG, *ARABIC)
    assert returncode == 2 and received.startswith("showtell: SHOWTELL_BIDI=yes: expected terminal or showtell")
    assert received.count("\n") == 1


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_files_get_letters_in_the_order_of_reading(caption: str, tmp_path: Path, ending: str) -> None:
    output = tmp_path / f"rows.{ending}"
    on_a_terminal(XTERM, "caption", DOG, *ARABIC, "--output", output)
    content = output.read_bytes()
    assert caption.encode() in content  # readable as it is, without escapes
    text = content.decode()
    (row,) = csv.DictReader(io.StringIO(text)) if ending == "csv" else map(json.loads, text.splitlines())
    assert row["caption"] == caption and row["language"] == "ar"
    assert not any(mark in text for mark in "\u200e\u200f\u2066\u2067\u2068\u2069\ufeff")

"""The terminal recording of the README: commands typed and answered, as an animated SVG.

    python docs/terminal.py     # writes docs/terminal.svg, with what the commands print now

The picture loads nothing from elsewhere; where animations are off, as in print, all lines are shown.
"""

from __future__ import annotations

import subprocess
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMANDS = (
    "showtell caption examples",
    "showtell caption examples/dog.jpg --num 3",
    "showtell caption examples/dog.jpg --lang ar",
    "showtell caption examples/dog.jpg --lang de",
)
WIDTH, LINE, MARGIN, FONT = 860, 22, 20, 15
TYPING, ANSWER, PAUSE = 0.03, 0.12, 1.2
"""Seconds: for each character of a command, between lines of its answer, and after it."""


def answer(command: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=True
    )
    return [line.replace("\t", "   ") for line in done.stdout.splitlines()]


def record() -> list[tuple[float, bool, str]]:
    """Every line: the second at which it appears, whether it is a command, and its text."""
    lines: list[tuple[float, bool, str]] = []
    now = 0.5
    for command in COMMANDS:
        lines.append((now, True, command))
        now += TYPING * len(command) + 0.4
        for text in answer(command):
            lines.append((now, False, text))
            now += ANSWER
        now += PAUSE
    return lines


def draw(lines: list[tuple[float, bool, str]]) -> str:
    height = 2 * MARGIN + LINE * len(lines)
    rows = []
    for number, (second, is_command, text) in enumerate(lines):
        y = MARGIN + LINE * number + FONT
        mark = '<tspan class="mark">$ </tspan>' if is_command else ""
        kind = "command" if is_command else "answer"
        rows.append(
            f'<text x="{MARGIN}" y="{y}" class="{kind}" style="animation-delay:{second:.2f}s" xml:space="preserve">'
            f"{mark}{escape(text)}</text>"
        )
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">
<title>showtell on a terminal</title>
<style>
text {{ font: {FONT}px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #d5dbe3; opacity: 0;
  animation: appear 0.01s forwards; }}
.command {{ fill: #ffffff; font-weight: 600; }}
.mark {{ fill: #7ee787; }}
@keyframes appear {{ to {{ opacity: 1; }} }}
@media (prefers-reduced-motion: reduce), print {{ text {{ opacity: 1; animation: none; }} }}
</style>
<rect width="{WIDTH}" height="{height}" rx="10" fill="#161b22"/>
{chr(10).join(rows)}
</svg>
"""


if __name__ == "__main__":
    (ROOT / "docs" / "terminal.svg").write_text(draw(record()), encoding="utf-8")

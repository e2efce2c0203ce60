"""docs/languages.md: its commands exist, and its example is the file that it speaks of."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from tests.cli.in_process import showtell

from showtell.languages.registry import LanguageInfo

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "languages.md").read_text(encoding="utf-8")
LINES = PAGE.replace("\\\n", " ").splitlines()
COMMANDS = [line for line in LINES if line.startswith("showtell ")]


def test_the_way_from_captions_to_a_served_model_is_ten_commands() -> None:
    block = next(block for block in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL) if "showtell" in block)
    assert len(block.splitlines()) == 10
    assert set(block.splitlines()) - set(COMMANDS) == {"pip install '.[train,serve]'"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_exists(command: str) -> None:
    words = shlex.split(command)[1:]
    name = words[:2] if words[0] == "data" else words[:1]
    shown = showtell(*name, "--help", COLUMNS="200").stdout
    assert "Usage" in shown
    assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[\w-]+", shown))


def test_the_example_is_the_registry_s_and_every_field_is_described() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example == (ROOT / "src/showtell/languages/data/sw.yaml").read_text(encoding="utf-8")
    section = PAGE[PAGE.index("## Better results") :]
    assert {field.name for field in fields(LanguageInfo)} - {"tag"} <= set(re.findall(r"`(\w+)`", section))

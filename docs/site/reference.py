"""The reference pages, which no file in docs/ has: commands from the command line itself, settings from their classes,
the Python API from docstrings."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

from mkdocs.structure.files import File
from pydantic.fields import FieldInfo
from typer.main import get_command

from showtell.cli.app import app
from showtell.settings import DECODER_KINDS, Recipe
from showtell.settings.base import Settings

API = {
    "captioner": (
        "Captioner",
        "`from showtell import Captioner`. What a photo can be, threads and processes: [Python](../../python.md).",
        [("showtell.core.captioner.Captioner", PUBLIC := ["!^_"])],
    ),
    "captions": (
        "Captions and rows",
        "`from showtell import Caption, CaptionRow, Word`: what a `Captioner` gives.",
        [(f"showtell.records.{name}", PUBLIC) for name in ("Caption", "CaptionRow", "Word")],
    ),
    "errors": (
        "Errors",
        "`showtell.errors`: every error that a user's mistake causes has a message of one line.",
        [("showtell.errors", PUBLIC)],
    ),
    "metrics": (
        "Metrics",
        "`from showtell.metrics import score, Evaluation`: what they measure is in [Metrics](../../metrics.md).",
        [
            ("showtell.metrics.evaluation.score", PUBLIC),
            ("showtell.metrics.evaluation.Evaluation", PUBLIC),
            ("showtell.metrics.intervals.Estimate", PUBLIC),
            ("showtell.metrics.intervals.Difference", PUBLIC),
            ("showtell.metrics.reward.CiderReward", ["!^_(?!_call__)"]),
        ],
    ),
    "terminal": (
        "Rows on stdout",
        "Reading what `showtell caption` prints: [Output and exit codes](../../command_line.md#rows-on-stdout).",
        [("showtell.terminal.unquote", PUBLIC)],
    ),
}
"""By page: title, introduction, and the objects with the filters of their members."""


def on_files(files: Any, config: Any) -> Any:
    pages = {"reference/commands.md": commands_page(), "reference/settings.md": settings_page()}
    pages |= {f"reference/python/{name}.md": api_page(*parts) for name, parts in API.items()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def api_page(title: str, introduction: str, objects: list[tuple[str, list[str]]]) -> str:
    parts = [f"# {title}\n\n{introduction}\n"]
    for name, filters in objects:
        parts.append(f"::: {name}\n    options:\n      filters: {filters}\n")
    return "\n".join(parts)


def commands_page() -> str:
    root = get_command(app)
    text = "# Commands\n\nEvery command with its arguments and options, as `--help` prints them; what they print and "
    text += "exit with: [Output and exit codes](../command_line.md).\n\n"
    return text + "\n".join(_command("showtell", root))


def _command(name: str, command: Any) -> Iterator[str]:
    """A section for the command, and those of its subcommands."""
    context = command.make_context(name, [], resilient_parsing=True)
    if not hasattr(command, "commands"):
        usage = command.get_usage(context).removeprefix("Usage: ")
        yield f"## {name}\n\n```\n{usage}\n```\n\n{_prose(command.help or '')}\n"
        records = [record for param in command.params if (record := param.get_help_record(context))]
        rows = [f"| `{_cell(names)}` | {_cell(_prose(meaning))} |" for names, meaning in records]
        yield "\n".join(["| argument or option | meaning |", "|---|---|", *rows, ""])
    for child, subcommand in getattr(command, "commands", {}).items():
        yield from _command(f"{name} {child}", subcommand)


def settings_page() -> str:
    text = "# Settings of recipes\n\nEvery `section.key` of a recipe, with its default; `showtell train RECIPE "
    text += "section.key=value` overrides it. The values of a recipe: `showtell recipes NAME`, and "
    text += "[Recipes](../recipes.md).\n\n"
    parts = [text, _settings_table(Recipe, "")]
    for kind, settings in DECODER_KINDS.items():
        parts += [f"## Decoder `{kind}`\n", _settings_table(settings, "model.decoder.")]
    return "\n".join(parts)


def _settings_table(settings: type[Settings], prefix: str) -> str:
    rows, sections = [], []
    for name, field in settings.model_fields.items():
        if section := _section(field):
            if name != "decoder":
                sections.append((f"{prefix}{name}", section))
        else:
            rows.append(f"| `{prefix}{name}` | {_type(field)} | {_default(field)} | {_setting_meaning(field)} |")
    table = "\n".join(["| setting | type | default | meaning |", "|---|---|---|---|", *rows, ""])
    below = [f"## `{name}`\n\n{_settings_table(section, name + '.')}" for name, section in sections]
    return "\n".join([*([table] if rows else []), *below])


def _section(field: FieldInfo) -> type[Settings] | None:
    """The class of the settings below a key; None for a value."""
    choices = (field.annotation, *typing.get_args(field.annotation))
    return next((c for c in choices if isinstance(c, type) and issubclass(c, Settings)), None)


def _type(field: FieldInfo) -> str:
    return f"`{_cell(_type_name(field.annotation))}`"


def _type_name(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Annotated:
        return _type_name(typing.get_args(annotation)[0])
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return " | ".join(map(_type_name, typing.get_args(annotation)))
    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(map(str, typing.get_args(annotation)))
    if arguments := typing.get_args(annotation):
        name = typing.get_origin(annotation).__name__
        return f"{name}[{', '.join('...' if a is ... else _type_name(a) for a in arguments)}]"
    return "null" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    shown = list(value) if isinstance(value, tuple) else value
    words = {None: "null", True: "true", False: "false", "": "''"}
    return f"`{_cell(words[value] if value is None or isinstance(value, bool) or value == '' else str(shown))}`"


def _setting_meaning(field: FieldInfo) -> str:
    return _cell(_prose(field.description or ""))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _prose(text: str) -> str:
    """Text for a terminal as Markdown: its paragraphs, with nothing but code spans that is markup."""
    spans = text.replace("\b", "").split("`")
    for i in range(0, len(spans), 2):
        for mark in ("\\", "*", "_", "[", "]", "<"):
            spans[i] = spans[i].replace(mark, "&lt;" if mark == "<" else "\\" + mark)
    return "`".join(spans)

import ast
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import showtell
from showtell import terminal
from showtell.errors import OutputClosed, OutputError
from showtell.terminal import echo, echo_row, escape, quote, unquote

TRICKY = st.text(
    st.one_of(st.characters(), st.sampled_from('\n\r\t\x1b\x7f\x85\x9b\u2028\u202e\u2066\ufeff"\\\udcff\ud800ab'))
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 犬 كلب 👩‍👩‍👧", "plain ü 犬 كلب 👩‍👩‍👧"),
        ("C:\\temp\\new.jpg", "C:\\temp\\new.jpg"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\x1b[31mred\x1b[0m", "\\u001b[31mred\\u001b[0m"),
        ("\x07\x00\x7f\x9b", "\\u0007\\u0000\\u007f\\u009b"),
        ("\u202egpj\u2069", "\\u202egpj\\u2069"),
        ("\u2028\u2029\x85\ufeff", "\\u2028\\u2029\\u0085\\ufeff"),
        ("\u200eשלום\u200f می\u200cخواهم", "\u200eשלום\u200f می\u200cخواهم"),  # marks and joiners are ordinary text
    ],
)
def test_what_commands_a_terminal_or_breaks_a_line_is_escaped(text: str, shown: str) -> None:
    assert escape(text) == shown


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("C:\\temp\\new.jpg", "C:\\temp\\new.jpg"),
        ('"no smoking" on a wall', '"no smoking" on a wall'),
        ('"all of it"', '"\\"all of it\\""'),
        ("a\tb\\c", '"a\\tb\\\\c"'),
        ("\x1b[0m", '"\\u001b[0m"'),
        ("\x7f", '"\\u007f"'),
    ],
)
def test_a_field_is_as_it_is_or_a_json_string(text: str, field: str) -> None:
    assert quote(text) == field and unquote(field) == text


@given(TRICKY, st.sampled_from(["utf-8", "ascii", "latin-1", "cp1252", "cp932", "utf-16"]))
def test_a_row_is_one_line_that_reads_back_in_any_encoding(text: str, encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    field = quote(text, stream)
    assert unquote(field) == text
    assert len(f"{field}|".splitlines()) == 1 and "\t" not in field
    field.encode(encoding, "surrogateescape")
    if field != text:
        assert json.loads(field) == text


def test_in_a_locale_without_utf8_hidden_characters_are_found_in_the_bytes() -> None:
    assert quote("a\udce2\udc80\udcaegpj") == '"a\\udce2\\udc80\\udcaegpj"'  # U+202E
    assert quote("a\udcff") != quote("a\udcff", io.TextIOWrapper(io.BytesIO(), "utf-8")) == "a\udcff"


class _Failing(io.StringIO):
    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(28, "No space left on device"), OutputError),
        (OSError(122, "Disk quota exceeded"), OutputError),
        (OSError(5, "Input/output error"), OutputError),
        (BrokenPipeError(32, "Broken pipe"), OutputClosed),
    ],
)
def test_stdout_that_fails_is_an_error_with_its_reason(
    error: OSError, expected: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout", _Failing(error))
    with pytest.raises(expected) as raised:
        echo_row("photo.jpg", "a dog")
    assert type(raised.value) is expected and raised.value.__cause__ is error
    if expected is OutputError:
        assert f"standard output: cannot be written ({error.strerror}); " in str(raised.value)


def test_stderr_that_fails_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", _Failing(OSError(28, "No space left on device")))
    echo("showtell: 3 failed", err=True)


def test_what_libraries_print_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.reserved_stdout():
        print("loading...")
        echo("a dog")
    print("afterwards")
    assert capsys.readouterr() == ("a dog\nafterwards\n", "loading...\n")


def test_everything_is_printed_by_one_module() -> None:
    """While a command runs, other prints go to stderr, and no other escapes."""
    found = []
    for file in Path(showtell.__file__).parent.rglob("*.py"):
        if file.name == "terminal.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "typer.echo", "typer.secho"):
                found.append(f"{file.name}: {ast.unparse(node)}")
    # Before a command runs, and in a process of its own whose stdout is read.
    assert [line.partition(":")[0] for line in found] == ["app.py", "trial.py", "trial.py"]

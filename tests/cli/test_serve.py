import subprocess
import sys
from pathlib import Path

import pytest
from tests.clocks import HANG_SECONDS

from showtell.cli.serve import VARIABLE, _key
from showtell.errors import BadConfig
from showtell.install import install_hint


def serve(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "showtell", "serve", "--no-page", "--port", "0", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG_SECONDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--api-key-file", "none.txt"],
            "showtell: --api-key-file none.txt: cannot be read (No such file or directory)\n",
        ),
        (["--model", "none"], "showtell: none: no such model folder"),
        (["--host", "192.0.2.1"], "showtell: 192.0.2.1:0 cannot be listened at (Cannot assign requested address)"),
        (["--host", "no-such-name.invalid"], "showtell: no-such-name.invalid:0 cannot be listened at ("),
        (["--url-host", "https://example.org/"], "showtell: allowed host "),
        (["--host-name", "https://example.org"], "showtell: --host-name https://example.org: expected a name such as "),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], message: str) -> None:
    done = serve(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "value"), [("--wait", "inf"), ("--deadline", "nan"), ("--max-body", "inf"), ("--threads", "100000")]
)
def test_a_number_that_is_none(option: str, value: str) -> None:
    done = serve(option, value)
    assert done.returncode == 2 and f"Invalid value for '{option}'" in done.stderr and "Traceback" not in done.stderr


def test_the_key_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "from the environment")
    file = tmp_path / "key"
    file.write_text("from the file\n")
    assert _key(file) == "from the file"
    assert _key(None) == "from the environment"
    monkeypatch.setenv(VARIABLE, "")
    assert _key(None) is None, "as compose.yaml sets it where there is none"
    monkeypatch.setenv(VARIABLE, " key\n")
    assert _key(None) == "key"
    monkeypatch.setenv(VARIABLE, "سمسم")
    with pytest.raises(BadConfig, match="expected ASCII"):
        _key(None)
    file.write_text("\n")
    with pytest.raises(BadConfig, match="found nothing; expected a key"):
        _key(file)


def test_a_missing_extra_says_which_to_install() -> None:
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'starlette', 'fastapi', 'anyio', 'uvicorn'}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "sys.argv = ['showtell', 'serve']\n"
        "from showtell.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.returncode == 2
    assert done.stderr.endswith(f"which is not installed; {install_hint('serve')}\n")
    assert done.stderr.count("\n") == 1

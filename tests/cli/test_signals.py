"""Signals and streams that fail, as the shell and the system see them: exit codes, and what is said."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.clocks import HANG_SECONDS, until

DOG = str(Path(__file__).parents[2] / "examples" / "dog.jpg")
SHOWTELL = [sys.executable, "-m", "showtell"]
SIGNALS = [signal.SIGINT, signal.SIGTERM]  # SIGHUP: test_a_terminal_that_is_closed


def started(output: Path, **options: object) -> "subprocess.Popen[bytes]":
    """A run that has written two rows or more and waits for another path."""
    process = subprocess.Popen(
        [*SHOWTELL, "caption", "-", "--batch-size", "1", "--output", str(output)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,  # type: ignore[call-overload]
    )
    assert process.stdin is not None
    process.stdin.write(f"{DOG}\n".encode() * 4)
    process.stdin.flush()
    until(
        lambda: (
            process.poll() is not None or Path(f"{output}.partial").read_bytes().count(b"\n") >= 2
            if Path(f"{output}.partial").exists()
            else False
        )
    )
    return process


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_tells_where_the_rows_are(number: signal.Signals, tmp_path: Path) -> None:
    output = tmp_path / "rows.jsonl"
    process = started(output)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=HANG_SECONDS)
    sent = "" if number == signal.SIGINT else f" by {number.name}"
    assert process.returncode == 128 + number
    assert stderr.decode() == (
        f"showtell: the rows so far are in {output}.partial; the same command goes on\nshowtell: interrupted{sent}\n"
    )
    rows = [json.loads(line) for line in Path(f"{output}.partial").read_text().splitlines()]
    assert len(rows) >= 2 and {row["image"] for row in rows} == {DOG}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rows.jsonl.ledger", "rows.jsonl.partial"]
    done = subprocess.run(
        [*SHOWTELL, "caption", "-", "--output", str(output)], input=f"{DOG}\n".encode() * 4, capture_output=True
    )
    assert done.returncode == 0 and f"{len(rows)} photos are done already".encode() in done.stderr
    assert [json.loads(line)["image"] for line in output.read_text().splitlines()] == [DOG] * 4
    assert output.read_text().startswith("".join(json.dumps(row) + "\n" for row in rows))


def test_an_ignored_signal_stays_ignored(tmp_path: Path) -> None:
    """As under `nohup`."""
    process = started(tmp_path / "rows.jsonl", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    _, stderr = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == 0 and b"4 captioned" in stderr


def test_a_terminal_that_is_closed(tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    output = tmp_path / "rows.csv"
    process = subprocess.Popen(
        [*SHOWTELL, "caption", "-", "--batch-size", "1", "--output", str(output)],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )
    os.close(terminal)
    os.write(controller, f"{DOG}\n".encode() * 4)
    until(lambda: Path(f"{output}.partial").exists() and Path(f"{output}.partial").read_bytes().count(b"\n") >= 3)
    os.close(controller)
    assert process.wait(HANG_SECONDS) == 128 + signal.SIGHUP
    assert Path(f"{output}.partial").read_bytes().endswith(b"\r\n")


def test_a_closed_terminal_whose_signal_comes_after_its_error() -> None:
    """The system refuses what is written to it first, and sends SIGHUP then."""
    program = (
        "import errno, os, signal, sys, threading\n"
        "from showtell import terminal\n"
        "from showtell.errors import OutputError\n"
        "def finish():\n"
        "    threading.Timer(0.01, lambda: os.kill(os.getpid(), signal.SIGHUP)).start()\n"
        "    error = OSError(errno.EIO, os.strerror(errno.EIO))\n"
        "    raise OutputError.of('standard output', error) from error\n"
        "terminal.finish_streams = finish\n"
        "sys.argv = ['showtell', 'recipes']\n"
        "from showtell.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=HANG_SECONDS)
    assert (done.returncode, done.stderr) == (128 + signal.SIGHUP, "")
    # And an error of a disk, which no signal follows, is what it was.
    alone = program.replace("threading.Timer(0.01, lambda: os.kill(os.getpid(), signal.SIGHUP)).start()", "pass")
    done = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.returncode == 3 and "standard output: cannot be written" in done.stderr


FINDER = "sys.meta_path.insert(0, type('Finder', (), {{'find_spec': lambda self, name, *rest: {act} if name == {at!r} "
FINDER += "else None}})())"
STAGES = {
    "importing": FINDER.format(at="showtell.core.captioner", act="stop()"),
    "importing an extension": FINDER.format(at="onnxruntime", act="wrapped()"),
    "loading the model": "import showtell.core.captioner as m; m.Captioner.load = lambda *rest: stop()",
    "in a loader thread": "import showtell.core.captioner as m; m.load_image = lambda *rest, **more: stop()",
    "deleting an object": "import showtell.core.captioner as m; load = m.Captioner.load; "
    "m.Captioner.load = lambda *rest: (lose(), load(*rest))[1]",
    "writing a row": "import showtell.bulk.storage as m; write = m.write_all; "
    "m.write_all = lambda *rest: (stop(), write(*rest))",
}


@pytest.mark.parametrize("stage", STAGES)
def test_there_is_no_traceback_at_any_moment(stage: str, tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\n"
        # Once, also where two loader threads get here: a second signal would end the process without a word.
        "calls = iter([lambda: os.kill(os.getpid(), signal.SIGTERM)])\n"
        "def stop(): next(calls, lambda: None)()\n"
        "def wrapped():\n"
        "    try: stop()\n"
        "    except BaseException as error: raise ImportError('initialization failed') from error\n"
        "class Doomed:\n"
        "    def __del__(self): stop()\n"
        "def lose(): Doomed()\n"
        f"{STAGES[stage]}\n"
        f"sys.argv = ['showtell', 'caption', {DOG!r}, {DOG!r}, '--output', {str(tmp_path / 'rows.jsonl')!r}]\n"
        "from showtell.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.returncode == 143
    assert [line for line in done.stderr.splitlines() if "rows so far" not in line] == [
        "showtell: interrupted by SIGTERM"
    ]
    for file in tmp_path.rglob("*.*l*"):
        assert file.is_dir() or file.read_bytes().endswith(b"}\n")


def sleeps(pid: int) -> bool:
    """Whether the main thread of a process waits for something, and goes on waiting."""
    for _ in range(5):
        if Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            return False
        time.sleep(0.01)
    return True


def stuck(program: str) -> "subprocess.Popen[bytes]":
    """A process that has said that it is ready, and waits for a mutex."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    until(lambda: sleeps(process.pid))  # within the call, not on its way there
    return process


@pytest.mark.skipif(sys.platform != "linux", reason="the size of a mutex of the C library")
def test_a_second_signal_ends_at_once_even_within_a_long_call_of_a_library() -> None:
    """Here a mutex that is never free. Python's own handlers would wait for it."""
    program = (
        "import ctypes\n"
        "from showtell.cli import signals\n"
        "signals.last_words.append(lambda: 'the rows so far are in rows.partial')\n"
        "libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)\n"
        "with signals.handled():\n"
        "    libc.pthread_mutex_lock(mutex)\n"
        "    print('ready', flush=True)\n"
        "    libc.pthread_mutex_lock(mutex)\n"
    )
    process = stuck(program)
    # Two kinds: two of a kind could arrive as one.
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode in (130, 143)
    assert stderr == b"showtell: the rows so far are in rows.partial\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the size of a mutex of the C library")
@pytest.mark.parametrize("repeats_late", [True, False])
def test_training_that_is_stuck_in_a_library_ends_with_a_later_signal(repeats_late: bool) -> None:
    """Where the first one only asks for the state to be saved: a wait for another process, or a long backward pass. One
    that comes with the first is none of its own; then the mutex becomes free, and the run stops as usual."""
    program = (
        "import ctypes, sys, threading, time\n"
        "from showtell.cli import signals\n"
        "from showtell.train import stop_signal\n"
        f"stop_signal.REPEAT_SECONDS = {0.0 if repeats_late else 1000.0}\n"
        "signals.last_words.append(lambda: 'last words')\n"
        "libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)\n"
        "def release():\n"
        "    sys.stdin.read()\n"
        "    libc.pthread_mutex_unlock(mutex)\n"
        "with signals.handled(), stop_signal.catch_stop_signal() as should_stop:\n"
        "    libc.pthread_mutex_lock(mutex)\n"
        "    threading.Thread(target=release, daemon=True).start()\n"
        "    print('ready', flush=True)\n"
        "    libc.pthread_mutex_lock(mutex)\n"
        "    sys.exit(7 if should_stop() else 8)\n"
    )
    process = stuck(program)
    process.send_signal(signal.SIGINT)
    time.sleep(0.05)  # the two are read one after the other
    process.send_signal(signal.SIGTERM)
    if not repeats_late:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.0)
        process.stdin.close()
    process.wait(HANG_SECONDS)
    said = process.stderr.read()
    assert (process.returncode, said) == ((143, b"showtell: last words\n") if repeats_late else (7, b""))


@pytest.mark.skipif(sys.platform != "linux", reason="the size of a mutex of the C library")
def test_training_that_is_in_python_code_stops_in_order_at_a_later_signal() -> None:
    """Or will be in a moment, so that a sweep writes its table, and no process is left behind."""
    program = (
        "import ctypes, time\n"
        "from showtell.cli import main, signals\n"
        "from showtell.train import stop_signal\n"
        "stop_signal.REPEAT_SECONDS = 0.0\n"
        "libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)\n"
        "libc.pthread_mutex_lock(mutex)\n"
        "def run():\n"
        "    with stop_signal.catch_stop_signal() as should_stop:\n"
        "        print('ready', flush=True)\n"
        "        while not should_stop(): time.sleep(0.01)\n"
        "        try:\n"
        "            nanoseconds = time.time_ns() + 200_000_000\n"
        "            print('stopping', flush=True)\n"
        "            libc.pthread_mutex_timedlock(mutex, (ctypes.c_long * 2)(*divmod(nanoseconds, 1_000_000_000)))\n"
        "            time.sleep(1000)\n"
        "        finally:\n"
        "            time.sleep(0.7)\n"
        "            print('tidied', flush=True)\n"
        "import showtell.cli.app as app\n"
        "app.app = run\n"
        "main.main()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    for line in (b"ready\n", b"stopping\n"):
        assert process.stdout.readline() == line
        time.sleep(0.05)  # so that it waits for the mutex
        process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=HANG_SECONDS)
    assert (process.returncode, *said) == (143, b"tidied\n", b"showtell: interrupted by SIGTERM\n")


def shell(command: str) -> "subprocess.CompletedProcess[str]":
    line = command.replace("showtell", f"{sys.executable} -m showtell")
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    return subprocess.run([bash, "-c", line], capture_output=True, text=True, timeout=HANG_SECONDS)


def test_a_reader_that_goes_ends_the_command_quietly() -> None:
    done = shell(f"showtell caption {DOG} {DOG} {DOG} --batch-size 1 | head -1; echo ${{PIPESTATUS[0]}}")
    row, code = done.stdout.splitlines()
    assert row.startswith(DOG) and (code, done.stderr) == ("141", "")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (f"showtell caption {DOG} >&-", "standard output is closed"),
        (f"showtell caption {DOG} > /dev/full", "standard output: cannot be written (No space left on device)"),
        ("showtell recipes default > /dev/full", "standard output: cannot be written (No space left on device)"),
        ("showtell --help > /dev/full", "cannot be written (No space left on device)"),
        ("showtell data stats shapes:9 > /dev/full", "standard output: cannot be written (No space left on device)"),
    ],
)
def test_stdout_that_takes_nothing_is_one_line_and_code_3(command: str, reason: str) -> None:
    done = shell(command)
    assert done.returncode == 3
    assert reason in done.stderr and done.stderr.count("\n") == 1 and done.stderr.startswith("showtell: ")


def test_no_stderr_loses_no_caption() -> None:
    for place in ("/dev/full", "&-"):
        done = shell(f"showtell caption {DOG} gone.jpg 2>{place}")
        assert done.returncode == 1 and done.stdout.startswith(DOG) and done.stdout.count("\n") == 1


def test_rows_on_stdout_are_whole_when_the_disk_is_full(tmp_path: Path) -> None:
    many = " ".join([DOG] * 30)
    done = shell(f"ulimit -f 1; showtell caption {many} > {tmp_path}/rows.tsv")
    text = (tmp_path / "rows.tsv").read_text(encoding="utf-8")
    assert done.returncode == 3 and "File too large" in done.stderr
    assert text.endswith("\n") and 3 < text.count("\n") < 30
    assert all(line.startswith(f"{DOG}\ta ") for line in text.splitlines())

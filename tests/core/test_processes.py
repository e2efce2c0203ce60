"""A captioner in other processes and threads, and at the end of its own; in real processes, which must end."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests import skips
from tests.clocks import HANG_SECONDS

from showtell.core.bundle import builtin

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.jpg"))[2:4]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

# Two threads, so that ONNX Runtime has one of its own, which a forked child lacks.
PRELUDE = """
import os, sys, threading
from showtell import Captioner

PHOTOS = sys.argv[1:]
TEXTS = []


def load():
    global captioner, greedy
    captioner = Captioner.load(threads=2)
    greedy = captioner.settings(beam_size=1)
    TEXTS.extend(row.captions[0].text for row in captioner.caption_many(PHOTOS, decode=greedy))
    assert "shepherd" in TEXTS[0] and len(set(TEXTS)) > 1


def texts(photos=PHOTOS):
    return [row.captions[0].text for row in captioner.caption_many(photos, decode=greedy)]


def in_child(function):
    child = os.fork()
    if not child:
        function()
        sys.exit(0)  # the interpreter ends as usual, and destroys what it has
    return child


def exit_code(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

"""


def run(folder: Path, program: str, *arguments: object) -> str:
    """What a program prints. It and its children are killed when they hang."""
    file = folder / "program.py"
    file.write_text(PRELUDE + textwrap.dedent(program), encoding="utf-8")
    # Python 3.12 warns of every fork of a process with threads.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(file), *map(str, arguments or EXAMPLES)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        output, errors = process.communicate(timeout=HANG_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        pytest.fail(f"hangs after {output!r}, {errors!r}")
    assert (process.returncode, errors) == (0, "")
    return output


@needs_fork
def test_a_forked_child_captions_and_ends(tmp_path: Path) -> None:
    program = """
        load()
        def caption():
            assert texts() == TEXTS
        def in_threads():
            found = []
            threads = [threading.Thread(target=lambda: found.append(texts())) for _ in range(3)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            assert found == [TEXTS] * 3
        def caption_and_fork():
            caption()
            assert exit_code(in_child(caption)) == 0
        def drop():
            global captioner
            del captioner
        def load_another():
            assert Captioner.load(threads=2).caption(PHOTOS[0], decode=greedy).text == TEXTS[0]
        for what in (lambda: None, in_threads, caption_and_fork, drop, load_another):
            assert exit_code(in_child(what)) == 0, what
        assert exit_code(in_child(lambda: caption() or os._exit(3))) == 3
        assert exit_code(in_child(lambda: sys.exit(4))) == 4
        children = [in_child(caption) for _ in range(2)]  # at once
        assert [exit_code(child) for child in children] == [0, 0]
        caption()
        print("done")
    """
    assert run(tmp_path, program) == "done\n"


@needs_fork
def test_a_fork_while_a_thread_is_captioning(tmp_path: Path) -> None:
    program = """
        load()
        stop, begun = threading.Event(), threading.Event()
        def go_on():
            while not stop.is_set():
                assert texts(PHOTOS[:1]) == TEXTS[:1]
                begun.set()
        thread = threading.Thread(target=go_on)
        thread.start()
        begun.wait()
        def caption():
            assert texts(PHOTOS[1:2]) == TEXTS[1:2]
        codes = [exit_code(in_child(what)) for what in (caption, lambda: None, caption)]
        stop.set()
        thread.join()
        print(codes)
    """
    assert run(tmp_path, program) == "[0, 0, 0]\n"


@needs_fork
def test_a_fork_amid_the_rows(tmp_path: Path) -> None:
    """The child has none of the threads that load photos. Both go on with the same photos."""
    program = """
        load()
        rows = captioner.caption_many(PHOTOS * 3, batch_size=2, decode=greedy)
        found = [next(rows).captions[0].text for _ in range(3)]
        def go_on():
            assert found + [row.captions[0].text for row in rows] == TEXTS * 3
        def close():
            rows.close()
        def forget():
            global rows
            del rows
        codes = [exit_code(in_child(what)) for what in (go_on, close, forget, lambda: None, lambda: os._exit(0))]
        go_on()
        print(codes)
    """
    assert run(tmp_path, program) == "[0, 0, 0, 0, 0]\n"


@needs_fork
def test_a_child_does_not_caption_with_a_network_that_has_changed(tmp_path: Path) -> None:
    program = """
        model = PHOTOS[0]
        captioner = Captioner.load(model, threads=2)
        os.chdir("/")
        def caption():
            captioner.caption(PHOTOS[1])
        assert exit_code(in_child(caption)) == 0
        with open(f"{model}/encoder.onnx", "ab") as file:
            file.write(b"more")
        def refuse():
            try:
                caption()
            except Exception as error:
                print(type(error).__name__, str(error).removeprefix(model), flush=True)
        assert exit_code(in_child(refuse)) == 0
        caption()
    """
    model = shutil.copytree(builtin(), tmp_path / "model")
    expected = "BadBundle /encoder.onnx: has changed since the captioner was loaded; load it again\n"
    assert run(tmp_path, program, model, EXAMPLES[0]) == expected


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_worker_processes(tmp_path: Path, method: str) -> None:
    """As a global of forked workers, as an argument of a process, and as one of each task."""
    program = """
        import multiprocessing
        def caption(photo):
            return captioner.caption(photo, decode=greedy).text
        def caption_with(argument):
            own, photo = argument
            return own.caption(photo, decode=own.settings(beam_size=1)).text
        def main(own, photo, queue):
            queue.put(caption_with((own, photo)))
        if __name__ == "__main__":
            load()
            context = multiprocessing.get_context(METHOD)
            with context.Pool(2) as pool:
                if METHOD == "fork":
                    assert pool.map(caption, PHOTOS) == TEXTS
                assert pool.map(caption_with, [(captioner, photo) for photo in PHOTOS[:2]]) == TEXTS[:2]
                pool.close()
                pool.join()
            queue = context.Queue()
            process = context.Process(target=main, args=(captioner, PHOTOS[0], queue))
            process.start()
            print(queue.get() == TEXTS[0])
            process.join()
            print(process.exitcode)
    """
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    assert run(tmp_path, program.replace("METHOD", repr(method))) == "True\n0\n"


@needs_fork
def test_workers_of_a_torch_data_loader(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason=skips.PACKAGES)
    program = """
        from torch.utils.data import DataLoader, Dataset
        class Captions(Dataset):
            def __len__(self):
                return len(PHOTOS)
            def __getitem__(self, index):
                return captioner.caption(PHOTOS[index], decode=greedy).text
        load()
        loader = DataLoader(Captions(), batch_size=1, num_workers=2)
        print([text for batch in loader for text in batch] == TEXTS)
    """
    assert run(tmp_path, program) == "True\n"


def test_the_interpreter_ends_with_rows_unread(tmp_path: Path) -> None:
    """And does not load first what was queued: these photos never come."""
    program = """
        load()
        def never():
            threading.Event().wait()
        rows = captioner.caption_many([PHOTOS[0], *[never] * 20], batch_size=1, decode=greedy)
        print(next(rows).captions[0].text == TEXTS[0])
        cycle = [rows]
        cycle.append(cycle)
    """
    assert run(tmp_path, program) == "True\n"


def test_a_thread_goes_on_after_the_main_thread(tmp_path: Path) -> None:
    program = """
        load()
        def go_on():
            threading.main_thread().join()
            print(texts() == TEXTS)
        threading.Thread(target=go_on).start()
    """
    assert run(tmp_path, program) == "True\n"


def test_a_function_that_ends_the_program_ends_it(tmp_path: Path) -> None:
    program = """
        load()
        try:
            texts([PHOTOS[0], lambda: sys.exit(3), PHOTOS[1]])
        except SystemExit as error:
            print(error.code)
    """
    assert run(tmp_path, program) == "3\n"

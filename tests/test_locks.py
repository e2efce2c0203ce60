import subprocess
import sys
from pathlib import Path

import pytest

from showtell.locks import Locked, locked


def test_one_holder_at_a_time_and_no_litter(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    for _ in range(2):
        with locked(lock) as is_locked:
            assert is_locked
            with pytest.raises(Locked), locked(lock):
                pass
            assert lock.exists()
        assert not lock.exists()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    program = (
        "import sys\nfrom pathlib import Path\nfrom showtell.locks import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(Locked), locked(lock):
        pass
    process.kill()
    process.communicate()
    assert lock.exists()
    with locked(lock):
        pass
    assert not lock.exists()


def test_a_lock_that_its_holder_removes_meanwhile_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening the file and locking it, its holder may remove it: that lock would exclude nobody."""
    lock = tmp_path / ".lock"
    import showtell.locks as module

    opened, real = [], module._open

    def open_then_lose(path: Path) -> int:
        descriptor = real(path)
        if not opened:
            path.unlink()
        opened.append(descriptor)
        return descriptor

    monkeypatch.setattr(module, "_open", open_then_lose)
    with locked(lock):
        assert len(opened) == 2 and lock.exists()


def test_a_file_system_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(descriptor: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("showtell.locks._lock", unsupported)
    with locked(tmp_path / ".lock") as is_locked:
        assert not is_locked
    assert list(tmp_path.iterdir()) == []

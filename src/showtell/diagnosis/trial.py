"""A caption, written by another process: a library that does not fit the processor ends it, and not the examination.

`COMMAND` is that process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Final

from showtell.diagnosis.findings import Findings
from showtell.install import install_hint

SECONDS: Final = 300.0
"""After which it hangs; it takes one."""
_PROGRAM: Final = "import sys; sys.path[:] = filter(None, sys.path); from showtell.diagnosis.trial import main; main()"
"""Without the current folder, in which a module may have the name of one of Python's."""
COMMAND: Final = (sys.executable, "-c", _PROGRAM)


def examine_captioning(command: Sequence[str] = COMMAND, limit: float = SECONDS) -> Findings:
    """Whether the built-in model captions a photo here, in how many seconds, and by which of ONNX Runtime's
    providers."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=limit, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return _failed(f"no caption within {limit:g} s")
    except OSError as error:
        return _failed(f"{command[0]} cannot be started ({error.strerror})")
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    try:
        result = json.loads(lines[-1])
    except (LookupError, ValueError):
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        ended = f"ended by signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        return _failed(", ".join([ended, *last]))
    if "error" in result:
        return _failed(result["error"])
    return Findings({"works": True, **result})


def _failed(reason: str) -> Findings:
    findings = Findings({"works": False, "error": reason})
    findings.problem(f"captioning fails: {reason}", install_hint())
    return findings


def main() -> None:
    """Prints one JSON object, whose `error` says why there is no caption."""
    try:
        print(json.dumps(_caption()))
    except Exception as error:  # noqa: BLE001 (whatever it is, it is the answer)
        print(json.dumps({"error": " ".join(f"{type(error).__name__}: {error}".split())}))


def _caption() -> dict[str, Any]:
    import io
    import time

    from PIL import Image

    from showtell.core.captioner import Captioner
    from showtell.core.runtimes.onnx_runtime import available_providers

    photo = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(photo, "JPEG")
    begin = time.perf_counter()
    text = Captioner.load().caption(photo.getvalue()).text
    if not text:
        raise RuntimeError("the caption is empty")
    return {"seconds": round(time.perf_counter() - begin, 2), "providers": available_providers()}


if __name__ == "__main__":
    main()

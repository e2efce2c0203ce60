"""`showtell --version`"""

from __future__ import annotations

from collections.abc import Iterator

from showtell import __version__

HASH_DIGITS = 12


def version_lines() -> Iterator[str]:
    """Of showtell, the built-in model, and the runtimes that are installed. A damaged model is said to be one."""
    from showtell.diagnosis.packages import RUNTIMES, version

    yield f"showtell {__version__}"
    yield _model()
    for name in RUNTIMES:
        if found := version(name):
            yield f"{name} {found}"


def _model() -> str:
    try:
        from showtell.core.bundle import builtin
        from showtell.diagnosis.model import identity

        found = identity(builtin())
    except Exception:  # noqa: BLE001 (a broken package or a damaged file; the other versions are printed)
        return "built-in model: cannot be read; run: showtell doctor"
    return f"built-in model {found['name']}: {', '.join(found['languages'])}; sha256 {found['sha256'][:HASH_DIGITS]}"

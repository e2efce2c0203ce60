"""A bulk run in a process of its own, `stub_process.py OUTPUT COUNT [ROW]`, which kills itself after that row."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

from tests.bulk import stub

from showtell.bulk import run
from showtell.core.sources import ImageInput
from showtell.records import CaptionRow


def main(output: str, count: int, last: int | None = None) -> None:
    run.COMMIT_ROWS = 7  # type: ignore[misc]
    inner = stub.engine(lambda key: key.endswith("7.jpg"))

    def rows(images: Iterator[ImageInput]) -> Iterator[CaptionRow]:
        for number, row in enumerate(inner(images)):
            yield row
            if number == last:
                os.kill(os.getpid(), signal.SIGKILL)

    stub.caption(output, stub.photos(*range(count)), rows=rows)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))

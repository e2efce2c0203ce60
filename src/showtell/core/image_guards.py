"""What the guards of all formats share. A guard is checked before Pillow, or another library, parses a file.

Parsers keep all metadata, and some of it more than once: Pillow copies the value of every entry of a TIFF directory,
also where thousands of them point to the same bytes, and appends the pieces of a comment one by one, which is
quadratic. So a file of 300 KB can take 2 GB, and one of 4 MB a minute.

Each guard walks over the segments, chunks, blocks, boxes or directory entries of a file without reading their content,
and raises BadImage: `too_large` when it would cost far more than its size, `unsupported` for a kind that is not
decoded. The limits are far above what cameras and programs write. Most truncated or broken files pass: the decoder
reports them.

Rejected: decoding in a child process with limits. It would stop every such file, but pixels would be copied between
processes, memory limits exist on Unix only, and a library that starts processes needs `if __name__ == "__main__"` in
every script that calls it.
"""

from __future__ import annotations

from typing import Final

from showtell.errors import BadImage

SLACK_BYTES: Final = 1 << 16


def too_large(found: str, expected: str) -> BadImage:
    return BadImage("too_large", f"found {found}; expected at most {expected}")


def damaged(found: str) -> BadImage:
    return BadImage("truncated", f"{found}; copy or download it again")


def unsupported(found: str, expected: str) -> BadImage:
    return BadImage("unsupported", f"found {found}; expected {expected}")

"""Training that is killed, and saves that fail: the part that `make torture` runs last.

Not here yet. Its tests are in tests/train; this module is where a run of a thousand kills goes.
"""

from __future__ import annotations

import sys


def main() -> int:
    print("training: not yet a part of the torture", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

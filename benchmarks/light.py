"""The light install: its size on disk, the time of --help and of the first caption, the memory of 1,000 photos.

    python benchmarks/light.py FOLDER_OF_PHOTOS

Makes a new environment in a temporary folder and installs this checkout into it, without extras.
"""

import itertools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNS = 9


def seconds(command: list[str]) -> float:
    """Median wall time of a whole process, after one run that warms the disk's cache."""
    times = []
    for _ in range(RUNS + 1):
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:])


def size(folder: Path) -> int:
    """Bytes on disk, in blocks, as `du` counts."""
    return sum(os.lstat(Path(at) / name).st_blocks * 512 for at, _, names in os.walk(folder) for name in names)


def main(photos: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        environment = Path(name)
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        bare = size(environment)
        subprocess.run([str(environment / "bin/pip"), "install", "-q", str(ROOT)], check=True)
        command = str(environment / "bin/showtell")
        added = size(environment) - bare
        print(f"installed           {added / 1e6:8.0f} MB, beside {bare / 1e6:.0f} MB of empty environment")
        print(f"showtell --help     {seconds([command, '--help']):8.2f} s")
        print(f"first caption, cold {seconds([command, 'caption', str(ROOT / 'examples/dog.jpg')]):8.2f} s")
        paths = itertools.islice(itertools.cycle(sorted(Path(photos).glob("*.jpg"))), 1000)
        output = Path(name) / "rows.jsonl"
        subprocess.run(
            [command, "caption", "-", "--output", str(output)], input="\n".join(map(str, paths)), text=True, check=True
        )
        assert len(output.read_text(encoding="utf-8").splitlines()) == 1000
        # The largest of all child processes; pip's is smaller.
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        print(f"1,000 photos        {peak / 1e3:8.0f} MB at most")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])

"""Photos per second, end to end and the encoder alone, interleaved in one process.

    python benchmarks/throughput.py FOLDER_OF_PHOTOS

Beam search with the built-in model's settings, batch 32, all cores; medians over the rounds.
"""

import itertools
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from showtell import Captioner
from showtell.core.image import load_image
from showtell.core.pixels import to_pixels

BATCH, BATCHES, ROUNDS = 32, 4, 5


def main(folder: str) -> None:
    captioner = Captioner.load()
    photos = list(itertools.islice(itertools.cycle(sorted(Path(folder).glob("*.jpg"))), BATCH * BATCHES))
    pixels = np.stack([to_pixels(load_image(p), captioner.bundle.manifest.pixels) for p in photos])
    whole, encoder = [], []
    for _ in range(ROUNDS + 1):
        begun = time.perf_counter()
        for n in range(0, len(photos), BATCH):
            captioner.stepper.encode(pixels[n : n + BATCH])
        encoder.append(len(photos) / (time.perf_counter() - begun))
        begun = time.perf_counter()
        assert all(row.ok for row in captioner.caption_many(photos, batch_size=BATCH))
        whole.append(len(photos) / (time.perf_counter() - begun))
    ratios = [w / e for w, e in zip(whole[1:], encoder[1:], strict=True)]
    settings = captioner.settings()
    print(f"beam {settings.beam_size}, batch {BATCH}, {len(photos)} photos a round, median of {ROUNDS} rounds")
    print(f"end to end   {statistics.median(whole[1:]):7.2f} photos/s")
    print(f"encoder only {statistics.median(encoder[1:]):7.2f} photos/s")
    print(f"ratio        {statistics.median(ratios):7.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])

"""Time per photo of each stage, from the file to the row: as CPU time and as wall time.

    python benchmarks/stages.py FOLDER_OF_PHOTOS

Medians over 200 photos of the folder (JPEGs), then over photos of 12 megapixels that are made of them, in one thread;
then the same photos loaded by 1, 2 and 4 threads. The stages are those of `load_image`, `Captioner.preprocess` and
`Captioner.caption_preprocessed`, called one by one with the built-in model's settings. CPU time of encoder and search
is that of all threads.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from showtell import Captioner
from showtell.bulk.rows import as_record
from showtell.core.decode import decode
from showtell.core.image import MAX_PIXELS, MIN_SIDE, _check_jpeg_size, _to_rgb
from showtell.core.image_jpeg import Jpeg, check_jpeg
from showtell.core.pixels import normalise, resize, resized_side
from showtell.core.to_caption import to_caption
from showtell.records import CaptionRow

PHOTOS, BATCH, LARGE = 200, 32, 12


class Stages:
    """Milliseconds per photo, by stage: one pair of CPU time and wall time for each call."""

    def __init__(self) -> None:
        self.times: dict[str, list[tuple[float, float]]] = defaultdict(list)

    @contextmanager
    def stage(self, name: str, photos: int = 1, cpu: Callable[[], float] = time.thread_time) -> Iterator[None]:
        cpu_begun, begun = cpu(), time.perf_counter()
        yield
        took = cpu() - cpu_begun, time.perf_counter() - begun
        self.times[name].append((1000 * took[0] / photos, 1000 * took[1] / photos))

    def report(self, title: str) -> None:
        print(f"\n{title}\n| stage | CPU ms | wall ms |\n|---|---|---|")
        rows = {
            name: [statistics.median(column) for column in zip(*times, strict=True)]
            for name, times in self.times.items()
        }
        for name, (cpu, wall) in rows.items():
            print(f"| {name} | {cpu:.3f} | {wall:.3f} |")
        print(f"| sum | {sum(cpu for cpu, _ in rows.values()):.2f} | {sum(wall for _, wall in rows.values()):.2f} |")


def load(path: Path, stages: Stages, captioner: Captioner) -> np.ndarray:
    """`Captioner.preprocess` of a JPEG, stage by stage."""
    pixels = captioner.bundle.manifest.pixels
    with stages.stage("read"):
        data = path.read_bytes()
    with stages.stage("guard"):
        check_jpeg(BytesIO(data))
    with stages.stage("parse"):
        image = Jpeg(BytesIO(data))
        _check_jpeg_size(image, MAX_PIXELS, MIN_SIDE, resized_side(pixels))
    with stages.stage("decode"):
        image.load()
    with stages.stage("orientation, convert"):
        rgb = _to_rgb(image)
    with stages.stage("resize"):
        return resize(rgb, pixels)


def caption(photos: list[np.ndarray], paths: list[Path], stages: Stages, captioner: Captioner) -> None:
    """`Captioner.caption_preprocessed`, stage by stage, and its rows as JSON."""
    bundle, options, count = captioner.bundle, captioner.generation_options(), len(photos)
    prompt = bundle.tokenizer.prompt_ids(options.language)
    with stages.stage("stack, normalise", count):
        pixels = normalise(np.stack(photos), bundle.manifest.pixels)
    with stages.stage("encode", count, time.process_time):
        memory = captioner.stepper.encode(pixels)
    with stages.stage("search", count, time.process_time):
        search = captioner.stepper, memory, count, bundle.tokenizer, options.language, options.decode
        found = decode(*search, reranker=captioner.reranker)
    with stages.stage("write", count):
        for path, (best, *_) in zip(paths, found, strict=True):
            row = CaptionRow(path, (to_caption(best, bundle, options.language, prompt, None),))
            json.dumps(as_record(row, 0.0), ensure_ascii=False)


def enlarge(paths: list[Path], folder: Path) -> list[Path]:
    """Photos of 12 megapixels, half of them turned on their side with an orientation that says so."""
    large = []
    for n, path in enumerate(paths):
        with Image.open(path) as image:
            photo = image.resize((4000, 3000), Image.Resampling.BICUBIC)
        grain = np.random.default_rng(n).normal(0, 4, (3000, 4000, 1))
        photo = Image.fromarray(np.clip(np.asarray(photo) + grain, 0, 255).astype(np.uint8))
        exif = Image.Exif()
        exif[0x0112] = 6 if n % 2 else 1
        large.append(folder / path.name)
        photo.save(large[-1], quality=90, exif=exif)
    return large


def threads(paths: list[Path], captioner: Captioner) -> None:
    print("\n| loader threads | CPU ms per photo | wall ms per photo |\n|---|---|---|")
    for count in (1, 2, 4):
        with ThreadPoolExecutor(count) as pool:
            cpu, begun = time.process_time(), time.perf_counter()
            list(pool.map(captioner.preprocess, paths))
            took = time.process_time() - cpu, time.perf_counter() - begun
        print(f"| {count} | {1000 * took[0] / len(paths):.2f} | {1000 * took[1] / len(paths):.2f} |")


def main(folder: str) -> None:
    captioner = Captioner.load()
    small = sorted(Path(folder).glob("*.jpg"))[:PHOTOS]
    with tempfile.TemporaryDirectory() as name:
        for title, paths in ("Photos of the folder", small), ("12 megapixels", enlarge(small[:LARGE], Path(name))):
            stages = Stages()
            for n in range(0, len(paths), BATCH):
                batch = paths[n : n + BATCH]
                caption([load(path, stages, captioner) for path in batch], batch, stages, captioner)
            stages.report(f"{title}: {len(paths)}, batch {BATCH}, beam size {captioner.settings().beam_size}")
            threads(paths, captioner)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])

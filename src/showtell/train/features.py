"""The feature cache: the output of the encoder's frozen stages for each photo, computed once and memory-mapped.

With a frozen encoder these are its regions; with some trainable stages, the output of the last frozen one; with none
frozen, the resized pixels as bytes. The cache's folder is named by a hash of everything that they depend on, so that a
stale one is never used. Interrupted extraction resumes, and of several runs that need the same features one extracts
while the others wait.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from torch import Tensor, nn

from showtell import files
from showtell.cache_folder import cache_folder
from showtell.core.pixels import normalise
from showtell.disk_space import free_bytes, size_in_words
from showtell.files import allocate, sha256, write_text
from showtell.nets.companion import Companion, noun_lines
from showtell.nets.encoder import Encoder
from showtell.records import Sample
from showtell.settings import CompanionSettings, EncoderSettings, PixelSettings
from showtell.train.augment import OFF, RandAugment
from showtell.train.batch_source import Wanted
from showtell.train.frozen_graph import RunFrozen, frozen_stages, pays
from showtell.train.photo_views import PhotoViews

BATCH = 32
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Features:
    """The cached output of the frozen stages for N photos in several views."""

    views: list[NDArray[Any]]
    """One memory map `[N, *shape]` per view: float16 features, or uint8 pixels `[N, H, W, 3]` when nothing is
    frozen."""
    pixels: PixelSettings | None = None
    """How to normalise, where the views are pixels."""
    rows: NDArray[np.int64] | None = None
    """The row of each photo in the maps, if not its own index."""

    def __len__(self) -> int:
        return len(self.views[0] if self.rows is None else self.rows)

    def batch(self, images: np.ndarray, views: np.ndarray | int = 0) -> Tensor:
        """`images` `[B]`, `views` `[B]` -> the input of `Encoder.forward_trainable`, float32 `[B, ...]`."""
        rows = images if self.rows is None else self.rows[images]
        view = np.broadcast_to(views, images.shape)
        stored = np.stack([self.views[v][i] for i, v in zip(rows, view, strict=True)])
        if stored.dtype == np.uint8 and self.pixels is not None:
            return torch.from_numpy(normalise(stored, self.pixels))
        return torch.from_numpy(stored.astype(np.float32))

    def ahead(self, plan: Iterable[Wanted]) -> contextlib.AbstractContextManager[None]:
        """Nothing to do: a batch of the memory map is copied in two milliseconds."""
        return contextlib.nullcontext()


def unique_photos(samples: Sequence[Sample]) -> list[Sample]:
    """One sample per photo, in order of first occurrence, whatever the number of languages."""
    first: dict[str, Sample] = {}
    for sample in samples:
        first.setdefault(sample.name, sample)
    return list(first.values())


def extract_features(
    encoder: Encoder,
    settings: EncoderSettings,
    samples: Sequence[Sample],
    views: int,
    seed: int,
    advance: Advance,
    folder: Path | None = None,
    rand: RandAugment = OFF,
    say: Callable[[str], None] = lambda message: None,
    mirror: bool = True,
    bfloat16: bool = False,
) -> Features:
    """The features of `samples`, from the cache or computed now; `advance(n)` is called for every n photos, `say` for
    the size of new ones, and when another process is computing them and this one waits. Without `mirror` no view is
    mirrored. `bfloat16`: see `frozen_graph.uses_bfloat16`.

    Raises BadData, naming the photo, for one that cannot be read, StorageUnreachable for one that does not arrive, and
    OutputError when the disk is full or fails.
    """
    if views == 1:  # the photo itself: nothing is drawn, and runs with any seed share it
        seed, rand, mirror = 0, OFF, True
    by_graph = pays(encoder, views * len(samples))
    bfloat16 = bfloat16 and by_graph
    cache = (folder or cache_folder()) / "features" / _key(encoder, settings, samples, seed, rand, mirror, bfloat16)
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache, say):
        missing = sum(not (cache / f"view-{view}.npy").exists() for view in range(views))
        if missing:
            shape, dtype = _stored(encoder, missing * len(samples))
            size, free = math.prod(shape) * np.dtype(dtype).itemsize, free_bytes(cache)
            say(f"features: {size_in_words(size)} to write in {cache} ({size_in_words(free)} free)")
        with frozen_stages(encoder, missing > 0 and by_graph, bfloat16) as run_frozen:
            maps = [
                _view(cache, encoder, samples, view, seed, rand, mirror, advance, run_frozen) for view in range(views)
            ]
    return Features(maps, encoder.pixels)


@contextlib.contextmanager
def _locked(cache: Path, say: Callable[[str], None]) -> Iterator[None]:
    """An exclusive lock on the folder; the system releases it when its holder dies."""
    lock = FileLock(cache / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another process is computing these features ({cache}); waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _key(
    encoder: Encoder,
    settings: EncoderSettings,
    samples: Sequence[Sample],
    seed: int,
    rand: RandAugment,
    mirror: bool,
    bfloat16: bool,
) -> str:
    companion = encoder.companion
    description = {
        "format": 2,
        **_describe(encoder, settings),
        **({} if companion is None else {"companion": describe_companion(companion, settings.companion)}),
        "seed": seed,
        **({"rand augment": rand} if rand.num_ops else {}),
        **({} if mirror else {"mirror": False}),
        **({"precision": "bf16"} if bfloat16 else {}),
        "photos": [[s.name, *_stamp(s)] for s in samples],
    }
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:24]


def _describe(encoder: Encoder, settings: EncoderSettings) -> dict[str, object]:
    own = settings.model_dump(mode="json", include={"name", "pretrained", "remove_blocks", "timm_kwargs"})
    # Left out where they are the defaults: caches from before these settings remain valid.
    later = settings.model_dump(mode="json", include={"layer", "norm_eps", "prefix_regions"}, exclude_defaults=True)
    return {
        "encoder": {**own, **later, "pixels": encoder.pixels.model_dump(mode="json", exclude_none=True)},
        "weights": None if settings.weights is None or not settings.pretrained else sha256(settings.weights),
        "frozen stages": len(encoder.frozen),
        "random weights": None if settings.pretrained else fingerprint(encoder.frozen),
    }


def describe_companion(companion: Companion, settings: CompanionSettings | None) -> dict[str, object]:
    """Everything that its features depend on; no paths."""
    assert settings is not None
    return {
        "settings": settings.model_dump(mode="json", exclude={"weights", "tags"}),
        "weights": None if settings.weights is None or not settings.pretrained else sha256(settings.weights),
        "random weights": None if settings.pretrained else fingerprint(companion.backbone),
        "nouns": None if settings.tags is None else noun_lines(settings.tags.nouns),
    }


def _stamp(sample: Sample) -> list[object]:
    if isinstance(sample.image, Path):
        stat = sample.image.stat()
        return [str(sample.image.resolve()), stat.st_size, stat.st_mtime_ns]
    return [repr(sample.image)]


def fingerprint(module: nn.Module) -> str:
    """A hash of its weights."""
    digest = hashlib.sha256()
    for tensor in module.state_dict().values():
        digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def _view(
    cache: Path,
    encoder: Encoder,
    samples: Sequence[Sample],
    view: int,
    seed: int,
    rand: RandAugment,
    mirror: bool,
    advance: Advance,
    run_frozen: RunFrozen,
) -> NDArray[Any]:
    """One view's memory map. Until it is complete it is called `.part`, with the number of finished photos in a file
    beside it."""
    path, part, progress = (cache / f"view-{view}{suffix}" for suffix in (".npy", ".part.npy", ".done"))
    if path.exists():
        advance(len(samples))
        return _open(path)
    shape, dtype = _stored(encoder, len(samples))
    done = int(progress.read_text()) if progress.exists() and part.exists() else 0
    store = np.lib.format.open_memmap(part, mode="r+" if done else "w+", dtype=dtype, shape=None if done else shape)
    if not done:
        allocate(part, part.stat().st_size)
    advance(done)

    photos = PhotoViews(samples, encoder.pixels, seed, rand, mirror)
    with contextlib.closing(photos.ahead(((i, view) for i in range(done, len(samples))), BATCH)) as batches:
        begin = done
        for pixels in batches:
            images, stop = np.stack(pixels), begin + len(pixels)
            if len(encoder.frozen):
                store[begin:stop] = run_frozen(normalise(images, encoder.pixels))
            else:
                store[begin:stop] = images
            store.flush()
            write_text(progress, str(stop))
            advance(stop - begin)
            begin = stop
    del store
    files.disk.rename(part, path)
    files.disk.sync_folder(cache)
    progress.unlink(missing_ok=True)
    return _open(path)


def _stored(encoder: Encoder, rows: int) -> tuple[tuple[int, ...], type[np.float16] | type[np.uint8]]:
    """Shape and type of the features of `rows` photos, or of their pixels where no stage is frozen."""
    if len(encoder.frozen):
        return (rows, *encoder.cached_shape), np.float16
    return (rows, encoder.pixels.size, encoder.pixels.size, 3), np.uint8


def _open(path: Path) -> NDArray[Any]:
    view: NDArray[Any] = np.load(path, mmap_mode="r")
    return view

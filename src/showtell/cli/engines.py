"""What captions: this process, or workers on Ray (`--engine ray`)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from showtell.errors import BadConfig

if TYPE_CHECKING:
    from showtell.core.captioner import Captioner
    from showtell.core.sources import ImageInput
    from showtell.records import CaptionRow

DEFAULT_THREADS: Final = 2
"""Cores of a worker. With more, fewer copies of the model are in memory; with fewer, less of them waits for others."""
BATCHES_PER_BLOCK: Final = 2
"""While the network works on one, the photos of the next are loaded."""


class EngineName(str, Enum):
    local = "local"
    ray = "ray"


RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT|auto",
        help="The Ray cluster that this machine belongs to; else RAY_ADDRESS, or workers on this machine alone.",
    ),
]
WorkerCount = Annotated[
    int,
    typer.Option(min=0, max=100_000, help="Workers on Ray, each with a model and --threads; 0: as many as find room."),
]


def check_engine(engine: EngineName, ray_address: str | None, workers: int) -> None:
    """Raises BadConfig for options of the other engine."""
    if engine is not EngineName.ray and (ray_address is not None or workers):
        raise BadConfig("found --ray-address or --workers without --engine ray; add it, or leave them out")


@contextlib.contextmanager
def open_engine(
    engine: EngineName,
    captioner: Captioner,
    options: Mapping[str, Any],
    ray_address: str | None,
    workers: int,
    threads: int,
) -> Iterator[Callable[[Iterator[ImageInput]], Iterator[CaptionRow]]]:
    """From images to rows, in order. `options`: of `caption_many`. Raises BadConfig, BadBundle, MissingExtra."""
    if engine is EngineName.local:
        yield lambda images: captioner.caption_many(images, **options)
        return
    # Before a worker starts: else the first mistake in the options would be that of all of them.
    captioner.generation_options(**{key: value for key, value in options.items() if key != "batch_size"})
    with _on_ray(captioner, options, ray_address, workers, threads) as on_ray:
        yield on_ray


@contextlib.contextmanager
def _on_ray(
    captioner: Captioner, options: Mapping[str, Any], ray_address: str | None, workers: int, threads: int
) -> Iterator[Callable[[Iterator[ImageInput]], Iterator[CaptionRow]]]:
    from showtell.bulk.ray_cluster import connected
    from showtell.bulk.ray_model import shipped
    from showtell.bulk.ray_worker import CaptionerLoader
    from showtell.cli import signals
    from showtell.terminal import echo

    address = ray_address or os.environ.get("RAY_ADDRESS") or None
    # More workers than cores are what the user asked for; Ray on this machine would wait for more cores.
    cpus = workers * (threads or DEFAULT_THREADS) if workers else None
    with connected(address, cpus) as cluster:
        from showtell.bulk.ray_engine import RayEngine, Workers
        from showtell.core.runtimes.registry import CUDA

        # Chosen here once: a faster one on some of the machines would write other words there.
        runtime = captioner.runtime
        # A cluster whose machines come when they are asked for has none at first.
        cores = threads or min(DEFAULT_THREADS, max(cluster.cpus) or DEFAULT_THREADS)
        if cluster.is_local and cores > max(cluster.cpus):
            raise BadConfig(
                f"--threads {cores}: this machine has {max(cluster.cpus)} cores for Ray; expected at most so many, or "
                "--workers with the number of workers"
            )
        models = [shipped(bundle, cluster.is_local) for bundle in captioner.bundles]
        yield RayEngine(
            CaptionerLoader(models, cores, captioner.max_pixels, runtime, dict(options)),
            Workers(
                workers or cluster.workers(cores),
                cores,
                gpus=int(runtime == CUDA),
                block_size=BATCHES_PER_BLOCK * options["batch_size"],
            ),
            check=signals.raise_due,
            say=lambda line: echo(f"showtell: --engine ray: {line}", err=True),
        )

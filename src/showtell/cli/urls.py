"""URLs among the photos that a command line names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

from showtell.core.sources import Found, is_url


def with_urls(images: Iterable[Found]) -> Iterator[Found]:
    """The same, where each URL is fetched when its photo is loaded; one that is refused becomes a row of its own."""
    fetcher = None
    for image in images:
        if is_url(image.path):
            if fetcher is None:
                # Not before there is a URL: it loads TLS and this machine's list of authorities.
                from showtell.fetch.fetch import Fetcher

                fetcher = Fetcher()
            image = replace(image, read=partial(fetcher.fetch, image.path))
        yield image

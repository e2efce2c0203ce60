"""URLs among the photos that a command line names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

from showtell.core.sources import ImageInput
from showtell.urls import is_url


def with_urls(images: Iterable[ImageInput]) -> Iterator[ImageInput]:
    """The same images; a URL is downloaded when its photo is loaded, and a refused one becomes a row with an error."""
    fetcher = None
    for image in images:
        url = image.file or image.path  # a table at a URL may name it by the end of it
        if image.error is None and image.read is None and is_url(url):
            if fetcher is None:
                # Only when there is a URL: it loads TLS and the machine's certificate authorities.
                from showtell.fetch.fetch import Fetcher

                fetcher = Fetcher()
            image = replace(image, read=partial(fetcher.fetch, url))
        yield image

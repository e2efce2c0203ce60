"""Why the batcher does not take a request."""

from __future__ import annotations

from showtell.errors import ShowtellError


class QueueFull(ShowtellError):
    """`retry_after`: seconds after which there is likely to be room."""

    def __init__(self, why: str, retry_after: int) -> None:
        super().__init__(f"{why}; try again in {retry_after} s")
        self.retry_after = retry_after


class TooManyImages(ShowtellError):
    """Of one request: they could not be captioned in time, even if nobody else asked for anything."""

    def __init__(self, images: int, possible: int, seconds: float) -> None:
        photos = "1 photo" if possible == 1 else f"{possible} photos"
        super().__init__(f"found {images} photos, which take longer here than {seconds:.0f} s; send {photos} at a time")


class ShuttingDown(ShowtellError):
    """The server completes what it has admitted and admits nothing new."""

    def __init__(self) -> None:
        super().__init__("the server is stopping; try again later")

"""The server's limits and their defaults; each has a row in docs/serving.md."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from showtell.settings import Settings

MIB = 2**20
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Limits(Settings):
    """Timeouts are seconds. Raises pydantic's ValidationError for limits that contradict each other."""

    body_bytes: Count = Field(20 * MIB, description="of one request, by Content-Length and by what is read")
    image_pixels: Count = Field(50_000_000, description="of one image, read from its header before decoding")
    images: Count = Field(32, description="in one request")
    beam_size: Count = Field(10, description="largest beam of a request, and most captions of an image")
    caption_length: Count = Field(100, description="most words that a request may ask for")
    queue_size: Count = Field(64, description="images waiting before new requests are refused")
    batch_size: Count = Field(16, description="images that the model captions together")
    batch_delay: Annotated[float, Field(ge=0)] = Field(0.005, description="seconds an image waits for a batch to fill")
    concurrent_requests: Count = Field(64, description="requests in flight whose bodies are complete")
    inflight_bytes: Count = Field(512 * MIB, description="of all request bodies together")
    connections: Count = Field(512, description="open connections")
    connections_per_client: Count = Field(256, description="of these from one IPv4 address or IPv6 /64 network")
    header_timeout: Seconds = Field(5.0, description="until the head of a request is complete")
    body_timeout: Seconds = Field(20.0, description="spent on waiting for the body of a request")
    request_timeout: Seconds = Field(30.0, description="from the head of a request to the end of its response")
    shutdown_timeout: Seconds = Field(15.0, description="for admitted requests after SIGTERM")
    url_timeout: Seconds = Field(10.0, description="for the download of one image, where URLs are allowed")

    @model_validator(mode="after")
    def _check_timeouts(self) -> Limits:
        if self.body_timeout > self.request_timeout:
            raise ValueError(f"body_timeout {self.body_timeout} is more than request_timeout {self.request_timeout}")
        return self

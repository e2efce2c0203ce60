"""How much of everything the server gives; each limit has its one default here, and its row in docs/serving.md."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from showtell.settings import Settings

MIB = 2**20
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Limits(Settings):
    """Raises pydantic's ValidationError for limits that contradict each other."""

    body_bytes: Count = Field(20 * MIB, description="of one request, by its header and by what is read")
    pixels: Count = Field(50_000_000, description="of one photo, read from its header before it is decoded")
    images: Count = Field(32, description="in one request")
    beam: Count = Field(10, description="widest beam that may be asked for, and most captions of a photo")
    length: Count = Field(100, description="most words that may be asked for")
    queue: Count = Field(64, description="photos that may be waiting before new requests are turned away")
    batch: Count = Field(16, description="photos that the network captions together")
    wait: Annotated[float, Field(ge=0)] = Field(0.005, description="seconds a photo waits for others to join it")
    requests: Count = Field(64, description="requests in work at once, once their bodies are there; streams apart")
    bytes_in_work: Count = Field(512 * MIB, description="of all requests' bodies together")
    streams: Count = Field(128, description="event streams of open pages")
    connections: Count = Field(512, description="open connections")
    address_connections: Count = Field(256, description="of these from one address, or IPv6 network of 64 bits")
    header_seconds: Seconds = Field(5.0, description="in which the head of a request must be complete")
    upload_seconds: Seconds = Field(20.0, description="spent on waiting for its body")
    deadline: Seconds = Field(30.0, description="seconds in which a request must be answered, all in all")
    stop_seconds: Seconds = Field(15.0, description="in which admitted requests are finished after SIGTERM")
    url_seconds: Seconds = Field(10.0, description="in which a photo must come from its URL, where URLs are allowed")
    page_bytes: Count = Field(256 * MIB, description="of photos of the page in work")

    @model_validator(mode="after")
    def _fit_together(self) -> Limits:
        if self.upload_seconds > self.deadline:
            raise ValueError(f"upload_seconds {self.upload_seconds} is more than deadline {self.deadline}")
        return self

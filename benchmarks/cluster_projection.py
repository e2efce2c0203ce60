"""A very large run on paper: what follows from measured figures and stated assumptions by multiplication alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

HOUR, GB, LIST_PAGE = 3600, 10**9, 1000


def _assumed(default: float, text: str) -> float:
    value: float = field(default=default, metadata={"help": text})
    return value


@dataclass(frozen=True)
class Assumptions:
    """Each is an option of the command; money is in whatever currency the prices are."""

    photos: float = _assumed(100e6, "photos")
    photos_per_second_per_core: float = _assumed(21.95, "measured: 43.9 on 2 cores, benchmarks/README.md")
    cores: float = _assumed(160, "cores of the workers together, as in deploy/rayjob.yaml")
    share_of_ideal: float = _assumed(0.95, "what slow and lost workers leave, by the simulation")
    price_per_core_hour: float = _assumed(0.04, "an assumption, not a quote: set your own")
    bytes_per_photo: float = _assumed(100e3, "an assumption: a JPEG of some 0.5 megapixels")
    bytes_per_shard: float = _assumed(1e9, "an assumption: WebDataset's usual size")
    bytes_per_request: float = _assumed(8 * 2**20, "a shard is read in pieces of this size, remote/range_file.py")
    requests_per_piece: float = _assumed(2, "the bytes, and whether the shard is still the same")
    price_per_1000_requests: float = _assumed(0.0004, "an assumption, not a quote: set your own")
    price_per_gb_out: float = _assumed(0.0, "0 within a region, by an assumption; set your own for another region")
    row_bytes: float = _assumed(400, "an assumption; the made-up rows of benchmarks/bulk.py have 346 as JSON lines")
    ledger_bytes: float = _assumed(42, "measured with keys such as s3://bucket/photos/00000/000000001.jpg")
    rows_per_second: float = _assumed(3633, "measured: one driver into Parquet on a busy machine, docs/bulk.md")
    seconds_per_list: float = _assumed(0.1, "an assumption: a list request for 1,000 names")
    driver_gbits: float = _assumed(10, "an assumption: Gbit/s of the driver's network")
    passed_over_per_second: float = _assumed(60000, "measured: inputs that are done already, docs/bulk.md")


@dataclass(frozen=True)
class Line:
    what: str
    value: str
    how: str


def project(given: Assumptions) -> list[Line]:
    workers_rate = given.cores * given.photos_per_second_per_core * given.share_of_ideal
    drivers = math.ceil(workers_rate / given.rows_per_second)
    hours = given.photos / workers_rate / HOUR
    core_hours = hours * given.cores
    gigabytes = given.photos * given.bytes_per_photo / GB
    shards = math.ceil(given.photos * given.bytes_per_photo / given.bytes_per_shard)
    shard_requests = shards * math.ceil(given.bytes_per_shard / given.bytes_per_request) * given.requests_per_piece
    object_requests = given.photos + given.photos / LIST_PAGE
    price = given.price_per_1000_requests / 1000
    compute, traffic = core_hours * given.price_per_core_hour, gigabytes * given.price_per_gb_out
    per_driver = min(workers_rate, given.rows_per_second * drivers) / drivers
    listed = max(given.seconds_per_list / LIST_PAGE, 1 / given.passed_over_per_second)
    fetched = max(given.bytes_per_photo * 8 / GB / given.driver_gbits, 1 / given.passed_over_per_second)

    def resume(seconds_per_photo: float) -> str:
        return f"{given.photos / drivers * seconds_per_photo / 60:,.0f}"

    return [
        Line("photos per second", f"{workers_rate:,.0f}", "cores x photos per second and core x share of ideal"),
        Line("time", f"{hours:,.1f} hours", "photos / photos per second"),
        Line("core hours", f"{core_hours:,.0f}", "time x cores"),
        Line("cost of the cores", f"{compute:,.2f}", "core hours x price"),
        Line("drivers", f"{drivers}", "photos per second / rows per second of one driver, rounded up"),
        Line("bytes read", f"{gigabytes:,.0f} GB", "photos x bytes per photo"),
        Line(
            "network, workers together",
            f"{workers_rate * given.bytes_per_photo * 8 / GB:.2f} Gbit/s",
            "the same / time",
        ),
        Line(
            "network, one driver",
            f"{per_driver * given.bytes_per_photo * 8 / GB:.2f} Gbit/s",
            "where it reads the shards; as much again to the workers",
        ),
        Line("cost of traffic", f"{traffic:,.2f}", "bytes x price per GB"),
        Line("requests, shards", f"{shard_requests:,.0f}", f"{shards:,} shards, each in pieces, two for each"),
        Line("cost of requests, shards", f"{shard_requests * price:,.2f}", "requests x price"),
        Line("requests, single objects", f"{object_requests:,.0f}", "one a photo, and one list per 1,000 names"),
        Line("cost of requests, single objects", f"{object_requests * price:,.2f}", "requests x price"),
        Line("output as JSON lines", f"{given.photos * given.row_bytes / GB:,.1f} GB", "photos x bytes per row"),
        Line("ledger", f"{given.photos * given.ledger_bytes / GB:,.1f} GB", "photos x bytes per key"),
        Line(
            "goes on after 100 %, names in a file",
            f"{resume(1 / given.passed_over_per_second)} minutes",
            "inputs passed over",
        ),
        Line("goes on after 100 %, single objects", f"{resume(listed)} minutes", "their names are listed again"),
        Line(
            "goes on after 100 %, shards",
            f"{resume(fetched)} minutes",
            "their headers are read again, and so all bytes",
        ),
    ]


def tables(given: Assumptions) -> str:
    """Two tables in Markdown: what is assumed, and what follows."""
    lines = ["| assumption | value | source |", "|---|---|---|"]
    for item in fields(given):
        lines.append(
            f"| `--{item.name.replace('_', '-')}` | {getattr(given, item.name):,.12g} | {item.metadata['help']} |"
        )
    lines += ["", "| what follows | value | how |", "|---|---|---|"]
    lines += [f"| {line.what} | {line.value} | {line.how} |" for line in project(given)]
    return "\n".join(lines)

"""`showtell serve`"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from showtell.cli.runtime import RuntimeOption, say_runtime
from showtell.errors import BadConfig

VARIABLE = "SHOWTELL_API_KEY"


def serve(
    model: Annotated[
        list[Path] | None,
        typer.Option(help="A folder that `showtell export` wrote; else the built-in model. Repeated: an ensemble."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to bind to. The default accepts local clients only; 0.0.0.0: every network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to bind to; 0: any free port.")] = 7860,
    page: Annotated[bool, typer.Option(help="Serve the web page as well as the API.")] = True,
    api_key_file: Annotated[
        Path | None, typer.Option(help=f"A file with the key that clients need; or set {VARIABLE}. Default: no key.")
    ] = None,
    host_name: Annotated[
        list[str] | None,
        typer.Option(help="An accepted Host header besides localhost, as behind a proxy. Repeatable."),
    ] = None,
    cors: Annotated[
        list[str] | None, typer.Option(help="A site whose scripts may use the API: https://example.org. Repeatable.")
    ] = None,
    frame_ancestor: Annotated[
        list[str] | None,
        typer.Option(help="A site that may show the page in a frame: https://example.org. Repeatable."),
    ] = None,
    allow_urls: Annotated[
        bool, typer.Option("--allow-urls", help="Fetch images by URL for clients, from public addresses.")
    ] = False,
    url_host: Annotated[
        list[str] | None,
        typer.Option(help="Fetch from this host only: example.org, *.example.org. Repeatable. Implies --allow-urls."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Largest number of photos per batch.")] = 16,
    wait: Annotated[
        float, typer.Option(min=0, max=60_000, help="Milliseconds that a photo waits for others to fill its batch.")
    ] = 5.0,
    queue: Annotated[int, typer.Option(min=1, help="Queued photos from which on requests are rejected.")] = 64,
    max_body: Annotated[float, typer.Option(min=0.01, max=4096, help="MiB in a request.")] = 20.0,
    deadline: Annotated[
        float, typer.Option(min=1, max=3600, help="Seconds within which a request must be answered.")
    ] = 30.0,
    threads: Annotated[int, typer.Option(min=0, max=256, help="Threads of the network; 0: all cores.")] = 0,
    runtime: RuntimeOption = "onnxruntime",
) -> None:
    """Serve a web page and an HTTP API: docs/serving.md.

    On Ctrl-C or SIGTERM, admitted requests are finished first.
    """
    from showtell.cli.extras import needs

    key = _key(api_key_file)
    with needs("serve"):
        from showtell.serve.limits import MIB, Limits
        from showtell.serve.server import ServerConfig
        from showtell.serve.server import serve as run
    from showtell.core.captioner import Captioner

    limits = Limits(
        batch_size=batch,
        batch_delay=wait / 1000,
        queue_size=queue,
        body_bytes=int(max_body * MIB),
        request_timeout=deadline,
        body_timeout=min(Limits().body_timeout, deadline),
    )
    config = ServerConfig(
        host=host,
        port=port,
        api_key=key,
        host_names=tuple(host_name or ()),
        cors_origins=tuple(cors or ()),
        frame_ancestors=tuple(frame_ancestor or ()),
        allowed_url_hosts=tuple(url_host or ()) if allow_urls or url_host else None,
        page=page,
    )
    captioner = Captioner.load(model or None, threads, runtime=runtime)
    say_runtime(captioner)
    run(captioner, limits, config)


def _key(file: Path | None) -> str | None:
    """The key from the file or the environment. Rejected: an option with the key, which other users of the machine
    could read in the command line."""
    if file is None:
        return _checked(os.environ.get(VARIABLE, ""), VARIABLE)
    try:
        key = _checked(file.read_text(encoding="utf-8"), f"--api-key-file {file}")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise BadConfig(f"--api-key-file {file}: cannot be read ({why})") from error
    if key is None:
        raise BadConfig(f"--api-key-file {file}: found nothing; expected a key")
    return key


def _checked(key: str, place: str) -> str | None:
    """The key without surrounding blanks; None if it is empty."""
    if not key.isascii():
        raise BadConfig(f"{place}: found letters that do not pass through an HTTP header; expected ASCII")
    return key.strip() or None

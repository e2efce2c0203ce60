"""`showtell serve`"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from showtell.errors import BadConfig

VARIABLE = "SHOWTELL_API_KEY"


def serve(
    model: Annotated[
        list[Path] | None,
        typer.Option(
            help="A folder that `showtell export` wrote; else the built-in model. Repeated: they write together."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at. The default is this machine alone; 0.0.0.0: every network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0: any that is free.")] = 7860,
    page: Annotated[bool, typer.Option(help="Offer the web page beside the API.")] = True,
    api_key_file: Annotated[
        Path | None, typer.Option(help=f"A file with the key that clients need; or set {VARIABLE}. Else: none.")
    ] = None,
    host_name: Annotated[
        list[str] | None,
        typer.Option(help="A name that clients call the server by, beside localhost, as behind a proxy. Repeatable."),
    ] = None,
    cors: Annotated[
        list[str] | None, typer.Option(help="A site whose scripts may use the API: https://example.org. Repeatable.")
    ] = None,
    allow_urls: Annotated[
        bool, typer.Option("--allow-urls", help="Fetch images by URL for clients, from public addresses.")
    ] = False,
    url_host: Annotated[
        list[str] | None,
        typer.Option(help="Fetch from this host alone: example.org, *.example.org. Repeatable. Implies --allow-urls."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Photos that are captioned together.")] = 16,
    wait: Annotated[
        float, typer.Option(min=0, max=60_000, help="Milliseconds a photo waits for others to join it.")
    ] = 5.0,
    queue: Annotated[int, typer.Option(min=1, help="Photos that may wait before clients are turned away.")] = 64,
    max_body: Annotated[float, typer.Option(min=0.01, max=4096, help="MiB in a request.")] = 20.0,
    deadline: Annotated[
        float, typer.Option(min=1, max=3600, help="Seconds in which a request must be answered.")
    ] = 30.0,
    threads: Annotated[int, typer.Option(min=0, max=256, help="Threads of the network; 0: all cores.")] = 0,
) -> None:
    """Serve a web page and an HTTP API: docs/serving.md.

    Ctrl-C or SIGTERM: what was admitted is finished first.
    """
    from showtell.cli.extras import needs

    key = _key(api_key_file)
    with needs("serve"):
        from showtell.serve.limits import MIB, Limits
        from showtell.serve.server import Access
        from showtell.serve.server import serve as run
    from showtell.core.captioner import Captioner

    limits = Limits(
        batch=batch,
        wait=wait / 1000,
        queue=queue,
        body_bytes=int(max_body * MIB),
        deadline=deadline,
        upload_seconds=min(Limits().upload_seconds, deadline),
    )
    access = Access(
        host=host,
        port=port,
        key=key,
        names=tuple(host_name or ()),
        origins=tuple(cors or ()),
        url_hosts=tuple(url_host or ()) if allow_urls or url_host else None,
        page=page,
    )
    run(Captioner.load(model or None, threads), limits, access)


def _key(file: Path | None) -> str | None:
    """Not an option of its own: other users of the machine see the command line."""
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
    """Without the blanks around it; None if nothing is left."""
    if not key.isascii():
        raise BadConfig(f"{place}: found letters that do not pass through an HTTP header; expected ASCII")
    return key.strip() or None

"""`vdsr serve`: a web page and an API."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from vdsr.cli.console import say
from vdsr.cli.options import Backend, Model, Precision, Threads
from vdsr.errors import UsageError, VdsrError
from vdsr.extras import require


def serve(
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Where it listens.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", help="Where it listens; 0 for any.")
    ] = 8000,
    model: Model = "auto",
    backend: Backend = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            metavar="N",
            help="Pictures processed at once, each in a process. (default: 3 for each core)",
        ),
    ] = None,
    max_queue: Annotated[
        int, typer.Option("--max-queue", metavar="N", help="Pictures that may wait.")
    ] = 64,
    max_pixels: Annotated[
        int,
        typer.Option(
            "--max-pixels", metavar="N", help="Largest picture, and largest result, in px."
        ),
    ] = 150_000_000,
    max_body: Annotated[
        str, typer.Option("--max-body", metavar="SIZE", help="Largest upload.")
    ] = "256MiB",
    max_memory: Annotated[
        str, typer.Option("--max-memory", metavar="SIZE", help="That one picture may take.")
    ] = "1GiB",
    max_disk: Annotated[
        str, typer.Option("--max-disk", metavar="SIZE", help="That pictures and results may take.")
    ] = "10GiB",
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="FOLDER",
            help="Where pictures and results lie. (default: vdsr-serve in the state folder)",
        ),
    ] = None,
    expiry: Annotated[
        float, typer.Option("--expiry", metavar="SECONDS", help="How long results are kept.")
    ] = 3600.0,
    rate: Annotated[
        float,
        typer.Option(
            "--rate", metavar="N", help="Requests a second of one client; 0 for no limit."
        ),
    ] = 20.0,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="Tokens that are let in, one a line."),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option("--cors", metavar="ORIGIN", help="Pages elsewhere that may call the API."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="ADDRESS",
            help="Have the pictures done on a Ray cluster: HOST:PORT of its head, auto, or local"
            " for this machine.",
        ),
    ] = None,
    replicas: Annotated[
        str | None,
        typer.Option(
            "--replicas",
            metavar="MIN..MAX",
            help="On a cluster: open models, by how many pictures wait. (default: 1..4)",
        ),
    ] = None,
    replica_cpus: Annotated[
        int | None,
        typer.Option("--replica-cpus", metavar="N", help="CPUs of each. (default: 1)"),
    ] = None,
) -> None:
    """Give people a page and programs an API, over one open model, until it is ended.

    Example: vdsr serve --port 8000
    """
    require("fastapi", "uvicorn", "python_multipart", "sse_starlette", "prometheus_client")
    from vdsr.cluster.options import ClusterOptions
    from vdsr.cluster.serving import Replicas, serve_on_cluster
    from vdsr.inference.memory import parse_size
    from vdsr.server.run import serve as run
    from vdsr.server.settings import ServerSettings, read_tokens

    place = None if cluster is None else ClusterOptions(address=cluster)
    if place is None and (replicas, replica_cpus) != (None, None):
        raise UsageError("--replicas and --replica-cpus are of a cluster: name it: --cluster")
    if place is not None:
        require("ray", "grpc_reflection")
    count = Replicas.parse(replicas or "1..4", 1 if replica_cpus is None else replica_cpus)
    tokens: tuple[bytes, ...] = ()
    if token_file is not None:
        try:
            tokens = read_tokens(token_file)
        except VdsrError as error:
            text = str(error)
            raise type(error)(
                text if text.startswith(str(token_file)) else f"{token_file}: {text}"
            ) from error
    settings = ServerSettings(
        folder=folder or _state_folder(),
        host=host,
        port=port,
        model=model,
        backend=backend,
        precision=precision,
        threads=threads,
        workers=workers,
        max_queue=max_queue,
        max_pixels=max_pixels,
        max_body=parse_size(max_body),
        max_memory=parse_size(max_memory),
        max_disk=parse_size(max_disk),
        expiry=expiry,
        rate=rate or None,
        tokens=tokens,
        origins=tuple(cors or ()),
    )
    if not settings.is_local and not tokens:
        say(
            f"vdsr: warning: anyone who can reach {host} can use this server: --token-file limits"
            " it to those who have a token"
        )
    say(f"vdsr: http://{f'[{host}]' if ':' in host else host}:{port}/  (Ctrl-C ends it)")
    came_up = run(settings) if place is None else serve_on_cluster(settings, place, count)
    if not came_up:
        raise typer.Exit(1)


def _state_folder() -> Path:
    """Where programs keep what outlives them (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local/state") / "vdsr-serve"

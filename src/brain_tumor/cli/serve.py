"""`brain-tumor serve`: a registered model behind HTTP, with a page."""

from typing import Annotated

import typer

from brain_tumor.cli.options import Model, chosen
from brain_tumor.stages.paths import reporting_errors


def serve(
    model: Model = None,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            help="Address to listen on. Only this machine reaches the default. There is no "
            "password: put a proxy that asks for one in front to let others in.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes any free port."),
    ] = 8000,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            help="Number of worker processes; one per processor by default.",
            show_default=False,
        ),
    ] = None,
    max_mb: Annotated[
        float,
        typer.Option("--max-mb", min=0.001, help="Largest file; a request may have 4 x this."),
    ] = 64,
    timeout_s: Annotated[
        float,
        typer.Option("--timeout-s", min=0.001, help="Seconds after which a file is given up."),
    ] = 30,
) -> None:
    """Serve a model: a page to drop images on, and an HTTP API (its schema: /openapi.json).

    Research only, not for diagnosis. Files stay in memory while they are examined and are never
    written or logged. On SIGTERM or Ctrl-C the server answers the requests it has, then it ends.
    """
    with reporting_errors():
        from brain_tumor.imaging.workers import worker_count
        from brain_tumor.inference.http.app import ServedModel
        from brain_tumor.inference.http.limits import MEGABYTE, Limits
        from brain_tumor.inference.http.server import serve as serve_model
        from brain_tumor.tracking.download import find_model

        found = find_model(chosen(model))
        count = workers or worker_count()
        serve_model(
            ServedModel(found.bundle, found.name, found.facts, found.card),
            (host, port),
            count,
            Limits(file_bytes=round(max_mb * MEGABYTE), timeout_s=timeout_s),
            lambda url: typer.echo(
                f"{url} serves {found.name} (worker processes: {count}). Research only, not for "
                "diagnosis. Ctrl-C ends it."
            ),
        )

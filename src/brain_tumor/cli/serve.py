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
            help="The address to listen on; the default is reached from this machine only. There "
            "is no password: put a proxy with one before it to let others in.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port; 0 is any free one.")
    ] = 8000,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            help="Processes that look at files; by default one for each processor.",
            show_default=False,
        ),
    ] = None,
    max_mb: Annotated[
        float, typer.Option("--max-mb", min=0.001, help="Size of a file, at most; a request: 4 x.")
    ] = 64,
    timeout_s: Annotated[
        float,
        typer.Option(
            "--timeout-s", min=0.001, help="Seconds a file may take before it is given up."
        ),
    ] = 30,
) -> None:
    """Serve a model: a page to drop images on, and an HTTP API (its schema: /openapi.json).

    Research only, not for diagnosis. Files are kept in memory while they are looked at, never
    written or logged. SIGTERM or Ctrl-C: what is in flight is answered, then it ends.
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

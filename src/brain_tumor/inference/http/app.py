"""The HTTP API: predictions, health, the model, and the page."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request

from brain_tumor.inference.http import docs, openapi, page
from brain_tumor.inference.http.errors import add_error_handlers
from brain_tumor.inference.http.held import Held
from brain_tumor.inference.http.limits import MAX_SLICES, Limits
from brain_tumor.inference.http.middleware import Around
from brain_tumor.inference.http.pool import WorkerPool
from brain_tumor.inference.http.predictions import predictions
from brain_tumor.inference.http.problems import TAKEN, ApiError
from brain_tumor.inference.http.schema import NOTICE, Bounds, Health, ModelAnswer, Predictions
from brain_tumor.inference.http.uploads import read_uploads
from brain_tumor.model.saved import load_meta

_DESCRIPTION = f"""A classifier of brain MRI slices: how probable it is that a slice shows a tumour.

**{NOTICE}**"""


@dataclass(frozen=True)
class ServedModel:
    """A model to serve.

    Attributes:
        bundle: folder a classifier is loaded from.
        name: and version, as `brain-tumor-inceptionv3 version 3`.
        facts: of its card; may be empty.
        card: Markdown; may be empty.
    """

    bundle: Path
    name: str
    facts: Mapping[str, Any]
    card: str


def create_app(model: ServedModel, pool: WorkerPool, limits: Limits) -> FastAPI:
    """The application, for an ASGI server.

    Args:
        model: what is served.
        pool: its workers; who made it closes it.
        limits: of a request.
    """
    app = FastAPI(
        title="brain-tumor",
        version=version("brain-tumor"),
        description=_DESCRIPTION,
        docs_url=None,  # its pages load from a CDN; ours is `docs`
        redoc_url=None,
    )
    app.add_middleware(Around)
    add_error_handlers(app)
    page.add_page(app)
    docs.add_docs(app)
    about = _about(model, limits)
    held = Held(limits.held_bytes)

    @app.post(
        "/predict",
        response_model_exclude_none=True,
        responses=openapi.errors(400, 408, 413, 415, 422, 500, 503, 504),
        openapi_extra=openapi.BODY,
    )
    async def predict(
        request: Request,
        heatmap: Annotated[bool, Query(description="Whether to draw the heat map.")] = False,
        slices: Annotated[
            int, Query(ge=1, le=MAX_SLICES, description="Middle slices of a volume, at most.")
        ] = 3,
    ) -> Predictions:
        """Say for each slice of each file how probable a tumour is.

        Of several files a bad one has its own `error` and the others their `slices`; if there is
        only one, its error is that of the request.
        """
        pool.check_room()  # before anything is read
        with held.share() as share:
            uploads = await read_uploads(request, limits, share)
            return await predictions(request, pool, uploads, slices=slices, heatmap=heatmap)

    @app.get("/health", responses=openapi.errors(503))
    async def health() -> Health:
        """Whether files are taken; 503 if not."""
        workers = pool.ready
        if pool.stopping or not workers:
            raise ApiError(503, "not_ready", "no worker is ready", {"Retry-After": "5"})
        return Health(ready=True, workers=workers, queue=pool.waiting)

    @app.get("/model")
    async def about_model() -> ModelAnswer:
        """The model: its name, threshold, limits and card."""
        return about

    return app


def _about(model: ServedModel, limits: Limits) -> ModelAnswer:
    meta = load_meta(model.bundle)
    name, _, number = model.name.partition(" version ")
    return ModelAnswer(
        name=name,
        version=number or None,
        digest=model.facts.get("digest"),
        threshold=meta.threshold,
        temperature=meta.temperature,
        calibrated=meta.temperature is not None,
        engine="onnxruntime",
        limits=Bounds(
            max_file_bytes=limits.file_bytes,
            max_request_bytes=limits.request_bytes,
            max_files=limits.files,
            max_slices=MAX_SLICES,
            timeout_s=limits.timeout_s,
            types=TAKEN,
        ),
        facts=dict(model.facts),
        card=model.card,
    )

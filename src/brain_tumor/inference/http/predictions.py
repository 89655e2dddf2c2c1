"""Uploaded files to an answer, dropped if the client goes away."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from brain_tumor.inference.http import problems, schema
from brain_tumor.inference.http.pool import WorkerPool
from brain_tumor.inference.http.problems import ApiError
from brain_tumor.inference.http.uploads import Upload
from brain_tumor.inference.http.worker import Answer, Fault, Task

_log = logging.getLogger("brain_tumor.serve")
_OVER = "the file is larger than the limit; GET /model says how large a file may be"


async def predictions(
    request: Request, pool: WorkerPool, uploads: Sequence[Upload], *, slices: int, heatmap: bool
) -> schema.Predictions:
    """Let the workers look at files.

    Args:
        request: whose body is read.
        pool: the workers.
        uploads: one or more.
        slices: of a volume, at most.
        heatmap: whether pictures are wanted.

    Raises:
        ApiError: nothing can be queued, or the only file has this problem.
        ClientDisconnect: nobody waits for the answer.
    """
    tasks = [Task(bytes(upload.data), slices, heatmap) for upload in uploads if not upload.over]
    waiting = [asyncio.wrap_future(future) for future in pool.submit(tasks)]
    answers = asyncio.gather(*waiting, return_exceptions=True)
    gone = asyncio.ensure_future(_gone(request))
    try:
        waited: set[asyncio.Future[Any]] = {answers, gone}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not answers.done():
            raise ClientDisconnect
    finally:
        gone.cancel()
        answers.cancel()  # what still waits in the queue is not worked on
    told = iter(answers.result())
    each = [
        problems.too_large(_OVER) if upload.over else _checked(next(told)) for upload in uploads
    ]
    if len(each) == 1 and isinstance(each[0], ApiError):
        raise each[0]
    return schema.Predictions(
        files=[_file(upload.name, one) for upload, one in zip(uploads, each, strict=True)]
    )


async def _gone(request: Request) -> None:
    """Return when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _file(name: str, answer: Answer | BaseException) -> schema.FileAnswer:
    if isinstance(answer, ApiError):
        problem = schema.Problem(code=answer.code, message=answer.message)
        return schema.FileAnswer(name=name, error=problem)
    if isinstance(answer, list):
        slices = [schema.SliceAnswer.model_validate(one) for one in answer]
        return schema.FileAnswer(name=name, slices=slices)
    raise TypeError(f"a worker answered with {type(answer).__name__}")


def _checked(answer: Answer | BaseException) -> Answer | BaseException:
    """The answer; a worker's fault as what the client is told of it."""
    if not isinstance(answer, Fault):
        return answer
    if answer.kind == "unsupported":
        return problems.unsupported()
    if answer.kind == "undecodable":
        return problems.undecodable(answer.message)
    _log.error("a file could not be worked on: %s", answer.message)
    return problems.broken("the file could not be worked on")

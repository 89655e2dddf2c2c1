"""Every error of the API in one form: {"error": {"code", "message"}}."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from brain_tumor.inference.http.problems import ApiError, bad_request
from brain_tumor.inference.http.schema import ErrorAnswer, Problem

_CODES = {404: "not_found", 405: "method_not_allowed"}
_MESSAGES = {
    404: "there is nothing here; see /openapi.json",
    405: "this path does not take that method; see /openapi.json",
}


def add_error_handlers(app: FastAPI) -> None:
    """Answer what an application raises."""
    app.add_exception_handler(ApiError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def _problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    told = ErrorAnswer(error=Problem(code=error.code, message=error.message))
    return JSONResponse(told.model_dump(), error.status, error.headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return await _problem(request, bad_request(f"{first['loc'][-1]}: {first['msg']}"))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "http_error")
    message = _MESSAGES.get(error.status_code, error.detail)
    problem = ApiError(error.status_code, code, message, dict(error.headers or {}))
    return await _problem(request, problem)

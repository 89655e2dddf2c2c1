"""What OpenAPI says beyond the types: the multipart body and the errors."""

from typing import Any

from brain_tumor.inference.http.problems import TAKEN
from brain_tumor.inference.http.schema import ErrorAnswer
from brain_tumor.inference.http.uploads import FIELD

_ERRORS = {
    400: ("bad_request", "A parameter or the multipart body is not as described."),
    408: ("stalled", "The request stopped arriving."),
    413: ("too_large", "A file, the request or the number of files is over the limit."),
    415: ("unsupported_type", f"Not one of the kinds that are taken: {TAKEN}."),
    422: ("undecodable", "The only file is damaged, or holds no picture."),
    500: ("internal", "The server's fault."),
    503: ("busy", "Too much is waiting, or the server is stopping; `Retry-After` says how long."),
    504: ("too_slow", "The only file took longer than the time limit."),
}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {
                        FIELD: {
                            "type": "array",
                            "minItems": 1,
                            "items": {
                                "type": "string",
                                "contentMediaType": "application/octet-stream",
                            },
                            "description": f"One or more files: {TAKEN}.",
                        }
                    },
                }
            }
        },
    }
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an operation, with an example each."""
    return {status: _error(*_ERRORS[status]) for status in statuses}


def _error(code: str, description: str) -> dict[str, Any]:
    example = {"error": {"code": code, "message": description}}
    return {
        "model": ErrorAnswer,
        "description": description,
        "content": {"application/json": {"example": example}},
    }

"""What can go wrong, in one form: a status, a code for machines and a sentence for people."""

from collections.abc import Mapping

TAKEN = "JPEG, PNG, BMP, TIFF, DICOM and NIfTI (.nii, .nii.gz)"


class ApiError(Exception):
    """A request, or one file of it, that cannot be answered.

    Attributes:
        status: of HTTP.
        code: one word for machines.
        message: what is wrong and what to do; names nothing of the server's inside.
        headers: to send along.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Take what to answer."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


def bad_request(message: str) -> ApiError:
    """The request is not what `POST /predict` takes."""
    return ApiError(400, "bad_request", message)


def too_large(message: str) -> ApiError:
    """More bytes or files than the limits allow."""
    return ApiError(413, "too_large", message)


def busy(retry_after_s: int) -> ApiError:
    """More work waits than the server promises to do."""
    return ApiError(
        503,
        "busy",
        f"too many files are waiting; try again in {retry_after_s} s",
        {"Retry-After": str(retry_after_s)},
    )


def stopping() -> ApiError:
    """The server ends."""
    return ApiError(503, "stopping", "the server is stopping", {"Retry-After": "10"})


def too_slow(timeout_s: float) -> ApiError:
    """A file kept a worker too long."""
    return ApiError(504, "too_slow", f"the file took longer than {timeout_s:g} s and was given up")


def broken(what: str) -> ApiError:
    """The server's fault."""
    return ApiError(500, "internal", f"{what}; this is the server's fault, not the file's format")


def unsupported() -> ApiError:
    """Not a kind of file that is read."""
    return ApiError(415, "unsupported_type", f"not a kind of file that is taken; send {TAKEN}")


def undecodable(message: str) -> ApiError:
    """A kind that is read, but damaged, too large inside, or without a picture."""
    return ApiError(422, "undecodable", message)

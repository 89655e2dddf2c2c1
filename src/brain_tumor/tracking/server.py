"""An MLflow server: whether it is there, and one line that says so where it is not."""

import re
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LOOK_S = (5, 60)  # to be connected, and to be answered
_LOOKS = 2  # after the first: a server that restarts is back soon
_REFUSALS = (401, 403)
_REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED")
_LOGIN = re.compile(r"://[^/\s]*@")
_PROBE = "/api/2.0/mlflow/experiments/get-by-name"


class StoreError(OSError):
    """The MLflow server does not answer or lets nobody in; the message says which and why."""


def is_server(uri: str) -> bool:
    """Whether a store is one behind HTTP."""
    return uri.startswith(("http://", "https://"))


def shown(text: str) -> str:
    """A URI, or a text with URIs, without user and password."""
    return _LOGIN.sub("://", text)


def check(uri: str) -> None:
    """Ask the server for something small: seconds, where MLflow would try for minutes.

    Raises:
        StoreError: it does not answer, is no MLflow server, or refuses.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        answer = http_request(
            get_default_host_creds(uri),
            _PROBE,
            "GET",
            params={"experiment_name": "Default"},
            max_retries=_LOOKS,
            backoff_factor=1,
            timeout=_LOOK_S,
        )
    except MlflowException as error:
        raise _silent(uri, error) from None
    if answer.status_code in _REFUSALS:
        raise _refusing(uri, answer.text)
    if "json" not in answer.headers.get("Content-Type", ""):
        raise StoreError(f"{shown(uri)} (MLFLOW_TRACKING_URI): this is no MLflow server")


def explaining(client: "MlflowClient", uri: str) -> "MlflowClient":
    """A client that raises StoreError where the server is gone, and no secret in it."""
    return cast("MlflowClient", _Explaining(client, uri))


class _Explaining:
    def __init__(self, client: "MlflowClient", uri: str) -> None:
        self._client, self._uri = client, uri

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return self._wrapped(found) if callable(found) else found

    def _wrapped(self, method: Callable[..., Any]) -> Callable[..., Any]:
        from mlflow.exceptions import MlflowException
        from requests import RequestException

        @wraps(method)
        def call(*arguments: Any, **options: Any) -> Any:
            try:
                return method(*arguments, **options)
            except RequestException as error:
                raise _silent(self._uri, error) from None  # the first would show secrets
            except MlflowException as error:
                if error.error_code in _REFUSED:
                    raise _refusing(self._uri, str(error)) from None
                if str(error).startswith("API request to "):  # and no answer came
                    raise _silent(self._uri, error) from None  # the first would show secrets
                raise

        return call


def _silent(uri: str, error: BaseException) -> StoreError:
    return StoreError(
        f"{shown(uri)} (MLFLOW_TRACKING_URI): the MLflow server does not answer: "
        f"{shown(_reason(error))}. Start it or correct MLFLOW_TRACKING_URI; without "
        "MLFLOW_TRACKING_URI runs are kept in mlruns/mlflow.db"
    )


def _refusing(uri: str, answer: str) -> StoreError:
    return StoreError(
        f"{shown(uri)} (MLFLOW_TRACKING_URI): the MLflow server refuses: "
        f"{shown(' '.join(answer.split()))[:200]}. Set MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN; or have its --allowed-hosts name it"
    )


def _reason(error: BaseException) -> str:
    """What lies at the bottom of an error of requests, urllib3 and MLflow."""
    inner = error.__cause__ or error.__context__ or getattr(error, "reason", None)
    first = error.args[0] if error.args else None
    if isinstance(first, BaseException):
        inner = first
    if isinstance(inner, BaseException):
        return _reason(inner)
    return " ".join(str(error).split()) or type(error).__name__

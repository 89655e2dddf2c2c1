"""Which names a server on loopback answers to.

A web page anywhere can let its own name stand for 127.0.0.1 (DNS rebinding) and then read what a
server on this machine answers. The browser still sends that name, as `Host`.
"""

import re
from ipaddress import IPv6Address, ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from brain_tumor.serving.answers import response
from brain_tumor.serving.schema import ApiError

# A name or an address, in brackets with IPv6, then a port.
_HOST = re.compile(r"(?:\[(?P<ipv6>[^\]]*)\]|(?P<name>[^:\[\]]*))(?::\d{0,5})?")


def is_loopback(address: str) -> bool:
    """Whether an IP address is reached from its own machine only."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return (mapped or ip).is_loopback


def is_local(host: str, name: str) -> bool:
    """Whether a `Host` header means this machine: by `name`, an address, or as localhost."""
    parts = _HOST.fullmatch(host)
    if not parts:
        return False
    if parts["ipv6"] is not None:
        return is_loopback(parts["ipv6"])
    asked, name = (text.lower().removesuffix(".") for text in (parts["name"], name))
    return asked in ("localhost", name) or asked.endswith(".localhost") or is_loopback(asked)


class OnlyLocalHosts:
    """ASGI middleware: refuses requests to hosts of other names."""

    def __init__(self, app: ASGIApp, name: str) -> None:
        """Wrap an application; `name` is one more that is taken."""
        self._app, self._name = app, name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        app: ASGIApp = self._app
        if not is_local(Headers(scope=scope).get("host", ""), self._name):
            app = response(ApiError(400, "this is no name of this machine: use localhost"))
        await app(scope, receive, send)

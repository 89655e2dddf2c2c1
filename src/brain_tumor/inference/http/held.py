"""What the requests that are being answered hold in memory, together."""

from collections.abc import Iterator
from contextlib import contextmanager

from brain_tumor.inference.http import problems


class Held:
    """Bytes of all requests that are being answered, kept under a limit."""

    def __init__(self, limit: int) -> None:
        """Hold nothing."""
        self._limit, self._bytes = limit, 0

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """A request's share, given back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self._bytes -= share.bytes

    def add(self, count: int) -> None:
        """Hold more, or raise an `ApiError`."""
        if self._bytes + count > self._limit:
            raise problems.busy(5)
        self._bytes += count


class Share:
    """What one request holds."""

    def __init__(self, held: Held) -> None:
        """Hold nothing."""
        self._held, self.bytes = held, 0

    def add(self, count: int) -> None:
        """Hold more, or raise an `ApiError`."""
        self._held.add(count)
        self.bytes += count

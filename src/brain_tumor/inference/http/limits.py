"""What a client may ask for, so that no request can exhaust the machine."""

from dataclasses import dataclass

MEGABYTE = 1_000_000
MAX_SLICES = 16  # of a volume, in one answer


@dataclass(frozen=True)
class Limits:
    """Bounds of a server.

    Attributes:
        file_bytes: of one file.
        timeout_s: that one file may keep a worker; it is killed and replaced then.
        files: in one request.
        queue: files that wait for a worker.
        stall_s: that a client may pause while it sends.
    """

    file_bytes: int = 64 * MEGABYTE
    timeout_s: float = 30.0
    files: int = 32
    queue: int = 128
    stall_s: float = 30.0

    @property
    def request_bytes(self) -> int:
        """Of one request, all its files together."""
        return 4 * self.file_bytes

    @property
    def held_bytes(self) -> int:
        """Of all requests that are being answered, together."""
        return 2 * self.request_bytes

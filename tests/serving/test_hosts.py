"""Which `Host` a server on loopback answers to."""

import pytest

from brain_tumor.serving.hosts import is_local, is_loopback


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "localhost:8000", "LOCALHOST:8000", "localhost.", "localhost.:80",
        "brain.localhost:8000", "127.0.0.1", "127.0.0.1:8000", "127.8.9.10", "[::1]", "[::1]:8000",
        "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]:8000", "mri", "MRI:8000", "mri.:8000",
    ],
)  # fmt: skip
def test_names_of_this_machine_are_local(host: str) -> None:
    assert is_local(host, "Mri")


@pytest.mark.parametrize(
    "host",
    [
        "", ":8000", "evil.example", "evil.example:8000", "localhost.evil.example",
        "mri.evil.example",
        "evillocalhost", "127.0.0.1.evil.example", "127.0.0.1evil", "192.168.0.1", "[::2]",
        "[::ffff:192.168.0.1]", "[::1", "::1", "[localhost]", "localhost:port", "localhost:8000:1",
        "user@localhost", "localhost/", "localhost,evil.example", "localhost evil.example",
        "2130706433", "0x7f.1", "127.0.0.1:999999", "[::1%lo].evil.example", "..",
    ],
)  # fmt: skip
def test_other_names_are_not(host: str) -> None:
    assert not is_local(host, "mri")


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True), ("127.255.255.254", True), ("::1", True), ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("fe80::1%eth0", False),
        ("localhost", False),
    ],
)  # fmt: skip
def test_loopback_is_told_by_the_address(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback

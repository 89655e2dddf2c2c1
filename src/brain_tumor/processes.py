"""This machine: its processors, which process opened a run or trial, and whether it still runs."""

import hashlib
import os
import socket
from contextlib import suppress
from pathlib import Path

_INSTALLATION = Path("/etc/machine-id")  # machine-id(5); a machine without one has only its name


def processors() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def host() -> str:
    """Name of what process ids are counted in: this machine, or this container of it.

    Containers may share a host's name and not see one another's processes (pid_namespaces(7));
    the machines of a team may share a name, and all call the first such namespace the same.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        # Hashed, since machine-id(5) asks not to show it.
        parts.append(hashlib.sha256(_INSTALLATION.read_bytes()).hexdigest()[:12])
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def identify(pid: int) -> str | None:
    """An id that no later process shares; None when the process has ended.

    The pid and, on Linux, when it started (field 22 of /proc/PID/stat, see proc(5)).
    """
    stat = Path(f"/proc/{pid}/stat")
    if not stat.parent.parent.joinpath("self").exists():
        return str(pid) if _signal_reaches(pid) else None
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else f"{pid}:{fields[19]}"


def is_alive(process: str) -> bool:
    """Whether the process that `identify` gave this id to still runs."""
    pid = process.partition(":")[0]
    return pid.isdigit() and identify(int(pid)) == process


def _signal_reaches(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

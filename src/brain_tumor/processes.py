"""Processes of this machine: which one opened a run or trial, and whether it is still there."""

import os
import socket
from pathlib import Path


def host() -> str:
    """Name of what process ids are counted in: this machine, or this container of it.

    Containers may share a host's name and not see one another's processes (pid_namespaces(7)).
    """
    try:
        return f"{socket.gethostname()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return socket.gethostname()


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

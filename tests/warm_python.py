"""Python programs of the project in forks of a process that has its libraries already.

Each start of TensorFlow, MLflow and DVC costs seconds, and a run of the tests starts hundreds of
stages and commands. The first whole run of the small project starts all of them as a user does; in
its copies they are forks: a process each as before, with their own environment, folder and standard
streams.
"""

import gc
import json
import os
import runpy
import select
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

VARIABLE = "WARM_PYTHON"  # folder with the programs
SCRIPTS = ("brain-tumor", "dvc")
PROGRAM = """\
#!{python} -IS
import json, os, socket, sys
name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
if name == "python":
    option, program = (*arguments, "", "")[:2]
    is_module = option == "-m" and program.split(".")[0] in ("brain_tumor", "evidence", "dvc")
    if not is_module and not (option == "-P" and program.endswith("/alone.py")):
        os.execv({python!r}, [{python!r}, *arguments])
words = arguments[1:] if name == "python" else [name, *arguments]
request = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
    server.sendall(request)
    status = server.recv(1)
sys.exit(status[0] if status else 1)
"""


@contextmanager
def warm_python(folder: Path) -> Iterator[None]:
    """Have every project that is made meanwhile use the programs in `folder`."""
    address = str(folder / "socket")
    for name in ("python", *SCRIPTS):
        program = folder / name
        program.write_text(PROGRAM.format(python=sys.executable, address=address), "utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    command = [sys.executable, __file__, address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        os.environ[VARIABLE] = str(folder)
        try:
            yield
        finally:
            del os.environ[VARIABLE]
            server.stdin.close()  # which ends it


def serve(address: str) -> None:
    """Answer until standard input ends; comes back in a fork that is to run a program."""
    import dvc.cli.parser
    import dvc.repo.reproduce  # noqa: F401
    import keras  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import mlflow  # noqa: F401
    import pandas  # noqa: F401
    import sklearn.linear_model  # noqa: F401

    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                raise SystemExit(0)
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    answer(connection)
                    return
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


def answer(connection: socket.socket) -> None:
    """Become the program that is asked for; a fork stays to say how it ended."""
    size, streams, *_ = socket.recv_fds(connection, 8, 3)
    left, request = int.from_bytes(size, "big"), b""
    while len(request) < left:
        request += connection.recv(left - len(request))
    if program := os.fork():
        _, status = os.waitpid(program, 0)
        connection.sendall(bytes([os.waitstatus_to_exitcode(status) % 256]))
        os._exit(0)
    words, folder, environment = json.loads(request)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = words
    here = [] if words[0].endswith(".py") else [folder]  # a script runs with -P: without its folder
    sys.path[:1] = [*here, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    if VARIABLE in environment:  # what it starts, starts warm too
        sys.executable = f"{environment[VARIABLE]}/python"


if __name__ == "__main__":
    serve(sys.argv[1])
    if sys.argv[0] in SCRIPTS:
        [script] = entry_points(group="console_scripts", name=sys.argv[0])
        sys.exit(script.load()())
    if sys.argv[0].endswith(".py"):
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

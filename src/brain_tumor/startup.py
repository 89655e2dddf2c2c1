"""TensorFlow without what it says at its start; its errors are shown as ever."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

LEVEL_VARIABLE = "TF_CPP_MIN_LOG_LEVEL"
_ERRORS_ONLY = "2"
# Written by C++ straight to file descriptor 2, before any level that could be set is looked at.
_NOISE = r"absl::InitializeLog|oneDNN custom operations are on|cpu_feature_guard|To enable the foll"
_FILTER = """\
import re, sys
for line in sys.stdin.buffer:
    if not re.search(sys.argv[1].encode(), line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""


def quiet_tensorflow() -> None:
    """Keep notices out of standard error when TensorFlow is imported, whoever imports it."""
    os.environ.setdefault(LEVEL_VARIABLE, _ERRORS_ONLY)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


@contextmanager
def without_notices() -> Iterator[None]:
    """Leave the lines of `_NOISE` out of what the block writes to file descriptor 2.

    A process of its own passes the others on, so that even the last words of a crash are shown.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    command = [sys.executable, "-I", "-S", "-c", _FILTER, _NOISE]
    # In a session of its own: Ctrl-C is not for it.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdin is not None
        os.dup2(process.stdin.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            process.stdin.close()


class _Finder(MetaPathFinder):
    """Finds `tensorflow`, as others do, and has it loaded without notices."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Quietly(spec.loader)
        return spec


class _Quietly(Loader):
    """A loader that loads without notices."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        with without_notices():
            self._loader.exec_module(module)

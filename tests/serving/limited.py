"""Serve a model with other limits than the command has options for.

`python -m tests.serving.limited MODEL HOST WORKERS FIELD=VALUE...`, fields of `Limits`.
"""

import json
import sys

from brain_tumor.serving.schema import Limits
from brain_tumor.serving.server import serve
from brain_tumor.tracking.models import find_model


def main() -> None:
    """Serve until a signal."""
    model, host, workers, *fields = sys.argv[1:]
    pairs = (field.partition("=") for field in fields)
    limits = Limits(**{name: json.loads(value) for name, _, value in pairs})
    serve(find_model(model), (host, 0), int(workers), limits, print)


if __name__ == "__main__":
    main()

"""The two classes, under the names every file of the pipeline uses for them."""

from typing import Final

NEGATIVE: Final = "no"
POSITIVE: Final = "yes"
LABELS: Final = (NEGATIVE, POSITIVE)

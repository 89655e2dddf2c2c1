"""Images of the 253 whose label is doubted; figures are given with and without them."""

from typing import Final

# Drawn up by eye before any model; never to be extended from a model's errors. Paths are those of
# the manifest of Kaggle's `brain-mri-images-for-brain-tumor-detection`.
SUSPECTS: Final[tuple[str, ...]] = (
    "yes/Y248.JPG",  # an abdominal CT
    "no/N1.JPG",  # a head CT with a mass
    # `no`, with a lesion
    "no/N11.jpg",
    "no/N15.jpg",
    "no/N16.jpg",
    "no/N17.jpg",
    "no/N19.JPG",
    "no/N22.JPG",
    "no/32 no.jpg",
    # `yes`, without an obvious mass
    "yes/Y117.JPG",
    "yes/Y185.jpg",
    "yes/Y247.JPG",
    "yes/Y251.JPG",
)

"""The data folder compared with the data of a git revision."""

from collections.abc import Sequence
from pathlib import Path

from brain_tumor.dataset.fetch.fetch import has_files
from brain_tumor.dataset.growth.diff import DataDiff, compare
from brain_tumor.dataset.growth.listing import ListingError, at_revision, in_folder


def since(revision: str, data: Path, folders: Sequence[str]) -> DataDiff:
    """Compare what lies in the data folder with what a revision's data.dvc describes.

    Raises:
        ListingError: the folder is missing, or `listing.at_revision` has no answer.
    """
    if not has_files(data):
        raise ListingError(f"{data} is missing: `brain-tumor data ensure` brings it back")
    return compare(at_revision(data, revision), in_folder(data), folders)

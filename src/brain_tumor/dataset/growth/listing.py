"""The files of the data folder and their MD5: of a git revision, as on record, in the folder."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from brain_tumor.dataset.fetch import data_dvc
from brain_tumor.dataset.growth.repository import default_remote, opened
from brain_tumor.repository import GitError, git


class ListingError(ValueError):
    """It cannot be told which files a data folder holds, or held."""


def at_revision(data: Path, revision: str) -> dict[str, str]:
    """List the data of a git revision, from DVC's cache or else its remote; no image is fetched.

    Args:
        data: the data folder, as it is called now.
        revision: commit, branch, tag, `HEAD~1` ...

    Returns:
        MD5 of each file, by its path in the folder; nothing where the revision has no data.

    Raises:
        ListingError: git does not know the revision, or neither cache nor remote has the listing.
        DvcError: `data` is in no DVC repository.
    """
    data_dvc.require_repository(data)
    try:  # the folder, below the top of git
        prefix = git("rev-parse", "--show-prefix", folder=data.absolute().parent).strip()
    except GitError as error:
        raise ListingError(
            f"{data} is in no git repository, so there is no {revision!r}"
        ) from error
    return _listed(data, f"{prefix}{data.name}", revision)


def on_record(data: Path) -> dict[str, str]:
    """List the data that data.dvc, as it lies in the working folder, describes.

    Returns:
        As `at_revision`; nothing where there is no data.dvc.

    Raises:
        ListingError: neither cache nor remote has the listing.
        DvcError: `data` is in no DVC repository.
    """
    root = data_dvc.require_repository(data).parent
    return _listed(data, data.resolve().relative_to(root).as_posix())


def in_folder(data: Path) -> dict[str, str]:
    """List the files of the data folder that DVC would take (.dvcignore holds).

    Returns:
        MD5 of each file, by its path in the folder; nothing where there is no folder.

    Raises:
        DvcError: `data` is in no DVC repository.
    """
    with opened(data) as repo:
        files = [Path(file) for file in repo.dvcignore.find(repo.fs, str(data.absolute()))]
    with ThreadPoolExecutor() as pool:
        digests = pool.map(md5, files)
        names = (file.relative_to(data.absolute()).as_posix() for file in files)
        return dict(sorted(zip(names, digests, strict=True)))


def ignored(data: Path, paths: Iterable[str]) -> list[str]:
    """Tell which of `paths`, in the folder, .dvcignore keeps from DVC."""
    with opened(data) as repo:
        taken = repo.dvcignore.is_ignored
        return [path for path in paths if taken(repo.fs, str(data.absolute() / path))]


def md5(file: Path) -> str:
    """MD5 of a file's bytes, by which DVC knows it."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _listed(data: Path, path: str, revision: str | None = None) -> dict[str, str]:
    """The files of a data folder at `path` below the root of git (of DVC without a revision)."""
    from dvc.api import DVCFileSystem
    from dvc.scm import RevError

    dvc_file = data_dvc.pointer(data)
    try:
        folder = str(data.absolute().parent)
        with closing(DVCFileSystem(folder, rev=revision, subrepos=True)) as files:
            listing = files.find(path, detail=True, dvc_only=True)
    except RevError as error:
        if revision == "HEAD":  # before the first commit
            return {}
        raise ListingError(
            f"{revision!r} is no revision that git knows here: give a commit, branch or tag "
            f"(`git log --oneline -- {dvc_file}` lists those with other data)"
        ) from error
    except Exception as error:  # each kind of store raises its own
        reason = f"{error}" if default_remote(data) else "none is set"
        source = dvc_file.name if revision is None else f"{dvc_file.name} of {revision}"
        raise ListingError(
            f"the list of files that {source} stands for is neither in DVC's cache nor on its "
            f"default remote ({reason}): whoever has these data can `dvc push` them, with "
            "`--all-commits` for what they once were"
        ) from error
    return {name.removeprefix(f"{path}/"): listing[name]["md5"] for name in sorted(listing)}

"""The files of the data folder and their MD5: of a git revision, as on record, in the folder."""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from brain_tumor.dataset.fetch import data_dvc
from brain_tumor.dataset.growth.repository import opened, remote_store
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
    text = _shown(data, revision)
    return _listed(data, data_dvc.md5_in(text), f"{data_dvc.pointer(data).name} of {revision}")


def on_record(data: Path) -> dict[str, str]:
    """List the data that data.dvc, as it lies in the working folder, describes.

    Returns:
        As `at_revision`; nothing where there is no data.dvc.

    Raises:
        ListingError: neither cache nor remote has the listing.
        DvcError: `data` is in no DVC repository.
    """
    data_dvc.require_repository(data)
    return _listed(data, data_dvc.read_md5(data), data_dvc.pointer(data).name)


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


def _shown(data: Path, revision: str) -> str:
    """The text of a revision's data.dvc, "" if it has none."""
    if _git(data, "rev-parse", "--git-dir") is None:
        raise ListingError(f"{data} is in no git repository, so there is no {revision!r}")
    known = _git(data, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    if known is not None:
        return _git(data, "show", f"{known.strip()}:./{data_dvc.pointer(data).name}") or ""
    if revision == "HEAD":  # before the first commit
        return ""
    raise ListingError(
        f"{revision!r} is no revision that git knows here: give a commit, branch or tag "
        f"(`git log --oneline -- {data_dvc.pointer(data)}` lists those with other data)"
    )


def _git(data: Path, *arguments: str) -> str | None:
    """What git prints in the folder that holds `data`; None if it fails."""
    try:
        return git(*arguments, folder=data.absolute().parent)
    except GitError:
        return None


def _listed(data: Path, digest: str, source: str) -> dict[str, str]:
    """The files of the directory object `digest`, from the cache or else the remote."""
    if not digest:
        return {}
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    reasons = []
    with opened(data) as repo:
        for store in (lambda: repo.cache.local, lambda: remote_store(repo)):
            try:
                tree = Tree.load(store(), HashInfo("md5", digest))
            except Exception as error:  # each kind of store raises its own
                reasons.append(
                    "it is not there" if isinstance(error, FileNotFoundError) else f"{error}"
                )
            else:
                return {"/".join(key): oid.value for key, _, oid in sorted(tree)}
    raise ListingError(
        f"the list of files that {source} stands for is neither in DVC's cache nor on its default "
        f"remote ({reasons[-1]}): whoever has these data can `dvc push` them, with "
        "`--all-commits` for what they once were"
    )

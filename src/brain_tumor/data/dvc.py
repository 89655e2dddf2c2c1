"""The data folder as DVC keeps it: data.dvc, its recorded source, and listings of its versions."""

import hashlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from brain_tumor.errors import UserError
from brain_tumor.escaping import printable, terminal
from brain_tumor.files import obstacle, write_text
from brain_tumor.machine import GitError, git

Meta = dict[str, Any]
ADDED = "added"  # in `meta`: the batches that came after the source, oldest first


class DvcError(UserError):
    """DVC cannot do what is needed here."""


def pointer(data: Path) -> Path:
    """Return the path of the .dvc file of a data folder: data -> data.dvc."""
    return data.with_name(f"{data.name}.dvc")


def require_repository(data: Path) -> Path:
    """Return the `.dvc` folder of the DVC repository in which `data` lies.

    Raises:
        DvcError: it lies in none; or it is a link or lies in one, where DVC adds nothing.
    """
    for parent in _absolute(data).parents:
        if (parent / ".dvc").is_dir():
            _require_no_link(data, parent)
            return parent / ".dvc"
    raise DvcError(f"{data} is not inside a DVC repository: run `git init && dvc init` there first")


def _absolute(data: Path) -> Path:
    """With `..` taken away, but links as they are: DVC goes by names."""
    return Path(os.path.abspath(data))  # noqa: PTH100


def _require_no_link(data: Path, root: Path) -> None:
    path = _absolute(data)
    below = [part for part in (path, *path.parents) if part != root and part.is_relative_to(root)]
    link = next((part for part in below if part.is_symlink()), None)
    if link is None:
        return
    cache = link.resolve().with_name("dvc-cache")
    raise DvcError(
        f"{data} is a link (to {terminal(printable(link.resolve()))}), and DVC keeps no linked "
        f"folder: to have the bytes on that disk, remove the link, run `dvc cache dir {cache} && "
        f"dvc config cache.type symlink`, then `brain-tumor data fetch {link.resolve()}`"
    )


def add(data: Path, meta: Meta) -> None:
    """Run `dvc add` on `data` and record `meta`; unchanged data leave data.dvc as it is."""
    run("add", data.name, folder=data.absolute().parent)
    write_meta(data, meta)


def write_meta(data: Path, meta: Meta) -> None:
    """Record `meta` in data.dvc, which stays as it is where it says so already."""
    if read_meta(data) == meta:
        return
    yaml = YAML()  # round trip: keeps what DVC wrote
    yaml.default_flow_style = False
    document = yaml.load(pointer(data).read_text(encoding="utf-8"))
    document["meta"] = meta
    text = io.StringIO()
    yaml.dump(document, text)
    write_text(pointer(data), text.getvalue())


def pull(data: Path) -> None:
    """Run `dvc pull` for `data`."""
    run("pull", pointer(data).name, folder=data.absolute().parent)


def read_meta(data: Path) -> Meta:
    """Return what data.dvc has under `meta:`, empty if there is no data.dvc or nothing there."""
    if not pointer(data).is_file():
        return {}
    try:
        text = pointer(data).read_text(encoding="utf-8")
        return dict((YAML(typ="safe", pure=True).load(text) or {}).get("meta") or {})
    except (YAMLError, ValueError, TypeError, AttributeError) as error:
        raise DvcError(
            f"{pointer(data)}: not as DVC writes it: `git checkout {pointer(data)}` brings it back"
        ) from error


def origin(meta: Meta) -> str:
    """Say in a few words where data come from: `phantom; added: site-b (12 yes)`."""
    source = " ".join(str(meta[key]) for key in ("source", "name") if key in meta) or "unknown"
    batches = [f"{each['name']} ({each['files']} {each['label']})" for each in meta.get(ADDED, [])]
    return f"{source}; added: {', '.join(batches)}" if batches else source


def run(*arguments: str, folder: Path = Path()) -> str:
    """Standard output of a DVC command in a folder.

    Raises:
        DvcError: it exits with another status than 0; the message has DVC's own ERROR lines.
    """
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, check=False,
        encoding="utf-8", errors="backslashreplace",
    )  # fmt: skip
    if done.returncode:
        where = f" in {folder.name}" if folder.name else ""
        reason = _reason(done.stderr) or _reason(done.stdout) or f"exit status {done.returncode}"
        raise DvcError(f"`dvc {' '.join(arguments)}` failed{where}: {reason}")
    return done.stdout


def _reason(output: str) -> str:
    """What DVC says went wrong, on one line: its ERROR lines, else all of it."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[\d;]*m", "", output).splitlines()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return terminal("; ".join(errors) or " ".join(filter(None, lines)))


class RemoteError(UserError):
    """There is no default remote, or it cannot be asked."""


@contextmanager
def opened(data: Path) -> Iterator[Any]:
    """Open the DVC repository in which `data` lies.

    Raises:
        DvcError: it lies in none, or DVC fails in the body.
    """
    require_repository(data)
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(data.absolute().parent)) as repo:
            yield repo
    except DvcException as error:
        raise DvcError(f"DVC cannot read {data}: {error}") from error


def default_remote(data: Path) -> str | None:
    """Name of the default DVC remote, None if none is set."""
    with opened(data) as repo:
        return _default(repo)


def missing_on_remote(data: Path) -> tuple[str, int] | None:
    """Count the contents that data.dvc describes and the default remote lacks.

    Returns:
        The remote's name and the number; None if no default remote is set.

    Raises:
        RemoteError: the remote cannot be reached.
    """
    with opened(data) as repo:
        name = _default(repo)
        if name is None:
            return None
        try:
            states = repo.status([str(pointer(data.absolute()))], cloud=True)
        except Exception as error:  # each kind of store raises its own
            raise RemoteError(f"remote {name!r} could not be asked: {error}") from error
    return name, sum(state != "deleted" for state in states.values())


def _default(repo: Any) -> str | None:
    return repo.config["core"].get("remote") or None


class ListingError(UserError):
    """It cannot be told which files a data folder holds, or held."""


def at_revision(data: Path, revision: str) -> dict[str, str]:
    """List the data of a git revision, from DVC's cache or else its remote; no image is fetched.

    Returns:
        MD5 of each file, by its path in the folder; nothing where the revision has no data.

    Raises:
        ListingError: git does not know the revision, or neither cache nor remote has the listing.
        DvcError: `data` is in no DVC repository.
    """
    require_repository(data)
    try:  # the folder, below the top of git
        prefix = git("rev-parse", "--show-prefix", folder=data.absolute().parent).strip()
    except GitError as error:
        reason = f"{data} is in no git repository" if error.is_no_repository else str(error)
        raise ListingError(f"{reason}, so there is no {revision!r}") from error
    return _listed(data, f"{prefix}{data.name}", revision)


def on_record(data: Path) -> dict[str, str]:
    """List the data that data.dvc, as it lies in the working folder, describes.

    Returns:
        As `at_revision`; nothing where there is no data.dvc.

    Raises:
        ListingError: neither cache nor remote has the listing.
        DvcError: `data` is in no DVC repository.
    """
    root = require_repository(data).parent
    return _listed(data, _absolute(data).relative_to(root).as_posix())


def in_folder(data: Path) -> dict[str, str]:
    """List the files of the data folder that DVC would take (.dvcignore holds).

    Returns:
        MD5 of each file, by its path in the folder; nothing where there is no folder.

    Raises:
        DvcError: `data` is in no DVC repository.
    """
    root = data.absolute()
    with opened(data) as repo:
        files = [Path(file) for file in repo.dvcignore.find(repo.fs, str(root))]
    for file in files:
        if reason := obstacle(file):
            name = terminal(printable(file.relative_to(root)))
            raise DvcError(f"{data}: {name}: {reason}; remove it")
    with ThreadPoolExecutor() as pool:
        digests = pool.map(md5, files)
        names = (file.relative_to(root).as_posix() for file in files)
        return dict(sorted(zip(names, digests, strict=True)))


def ignored(data: Path, paths: Iterable[str]) -> list[str]:
    """Tell which of `paths`, in the folder, .dvcignore keeps from DVC."""
    with opened(data) as repo:
        taken, root = repo.dvcignore.is_ignored, data.absolute()
        return [path for path in paths if taken(repo.fs, str(root / path))]


def md5(file: Path) -> str:
    """MD5 of a file's bytes, by which DVC knows it."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _listed(data: Path, path: str, revision: str | None = None) -> dict[str, str]:
    """The files of a data folder at `path` below the root of git (of DVC without a revision)."""
    from dvc.api import DVCFileSystem
    from dvc.scm import RevError

    dvc_file = pointer(data)
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

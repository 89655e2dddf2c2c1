"""Archives give their files and nothing else; what is refused is refused before it is written."""

import gzip
import io
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from brain_tumor.data import archive as archive_module
from brain_tumor.data.archive import extract, is_archive
from brain_tumor.errors import UserError
from tests.data.growing import files

CONTENT = {"no/1.png": b"one", "yes/2.png": b"two", "yes/deep/3.png": b"three" * 5000}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "unpacked"
    made.mkdir()
    return made


def info(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0
) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, link, size
    return member


def tar_of(path: Path, *members: tarfile.TarInfo, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in CONTENT.items():
            tar.addfile(info(name, size=len(content)), io.BytesIO(content))
        for member in members:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def zip_of(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in [*CONTENT.items(), *members]:
            bundle.writestr(name, content)
    return path


def source(tmp_path: Path) -> Path:
    """The content as files, for other programs to pack."""
    for name, content in CONTENT.items():
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_bytes(content)
    return tmp_path / "source"


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_tar_gives_its_files(tmp_path: Path, folder: Path, mode: str, form: int) -> None:
    with tarfile.open(tmp_path / "a", mode, format=form) as tar:  # type: ignore[call-overload]
        tar.add(source(tmp_path), "some/where")
    extract(tmp_path / "a", folder)
    assert files(folder / "some/where") == CONTENT


@pytest.mark.skipif(not shutil.which("tar"), reason="GNU tar is not installed")
@pytest.mark.parametrize("form", ["v7", "ustar", "gnu", "oldgnu", "pax", "gnu --sparse"])
def test_tars_of_another_program_give_their_files(tmp_path: Path, folder: Path, form: str) -> None:
    command = ["tar", "--format", *form.split(), "-cf", str(tmp_path / "a"), "."]
    with (source(tmp_path) / "yes/hole.png").open("wb") as hole:
        hole.truncate(1_000_000)
        hole.seek(500_000)
        hole.write(b"middle")
    subprocess.run(command, cwd=tmp_path / "source", check=True)
    extract(tmp_path / "a", folder)
    assert files(folder) == files(tmp_path / "source")


def test_backslashes_separate_folders(tmp_path: Path, folder: Path) -> None:
    """As .NET and old versions of WinZip write them, folders included."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        bundle.writestr("set\\no\\", b"")
        for name, content in CONTENT.items():
            bundle.writestr(f"set\\{name}".replace("/", "\\"), content)
    extract(tmp_path / "a.zip", folder)
    assert files(folder / "set") == CONTENT


def test_what_systems_leave_behind_stays_in_the_archive(tmp_path: Path, folder: Path) -> None:
    others = ["__MACOSX/no/._1.png", "no/Thumbs.db", "NO/.DS_Store", "no/@eaDir/1.png/T.jpg"]
    extract(zip_of(tmp_path / "a.zip", *((name, b"x") for name in others)), folder)
    assert files(folder) == CONTENT


def chain_of_long_links() -> list[tarfile.TarInfo]:
    """Links whose full path is too long to be resolved: Python's own filter lets them pass."""
    deep, members, path = "d" * 247, [], ""
    for letter in "abcdefghijklmnop":
        members += [info(path + deep, tarfile.DIRTYPE), info(path + letter, tarfile.SYMTYPE, deep)]
        path += f"{deep}/"
    link = "/".join("abcdefghijklmnop")
    escape = info(f"{link}/{'l' * 254}", tarfile.SYMTYPE, "../" * 16)
    out = info("escape", tarfile.SYMTYPE, f"{link}/{'l' * 254}/../..")
    return [*members, escape, out, info("escape/evil.txt", size=4)]


REFUSED: dict[str, tuple[list[tarfile.TarInfo], str]] = {
    "link outside": ([info("no/a.png", tarfile.SYMTYPE, "../../x")], "'no/a.png' is a link that"),
    "link inside": ([info("no/a.png", tarfile.SYMTYPE, "1.png")], "'no/a.png' is a link"),
    "links to .": (
        [info("no/a", tarfile.SYMTYPE, "."), info("no/b", tarfile.SYMTYPE, ".")],
        "'no/a' is a link",
    ),
    "hard link": ([info("no/a.png", tarfile.LNKTYPE, "no/1.png")], "'no/a.png' is a link"),
    "hard link outside": ([info("no/a.png", tarfile.LNKTYPE, "/etc/hosts")], "leads outside"),
    "long links": (chain_of_long_links(), "is a link"),
    "pipe": ([info("no/pipe", tarfile.FIFOTYPE)], "'no/pipe' is a named pipe"),
    "device": ([info("no/zero", tarfile.CHRTYPE)], "'no/zero' is a device"),
    "disk": ([info("no/sda", tarfile.BLKTYPE)], "'no/sda' is a device"),
    "unknown": ([info("no/a", b"Z")], "'no/a' is a member of unknown kind"),
    "escape sequence": ([info("no/\x1b[2J", tarfile.SYMTYPE, "\x1b")], r"no/\\x1b\[2J"),
    "up": ([info("../evil.txt")], "leads outside: '../evil.txt'"),
    "up in between": ([info("a/b/../../../evil.txt")], "leads outside"),
    "up by backslash": ([info("..\\evil.txt")], "leads outside"),
    "absolute": ([info("/evil.txt")], "leads outside"),
    "drive": ([info("C:\\evil.txt")], "leads outside"),
    "share": ([info("\\\\host\\share\\evil.txt")], "leads outside"),
    "deep": ([info("a/" * 40 + "evil.txt")], "more than 32 folders"),
    "twice": ([info("no/1.png")], "'no/1.png' twice"),
    "twice by backslash": ([info("no\\1.png")], "twice"),
    "file and folder": ([info("no/1.png/evil.txt")], "'no/1.png' is a file and a folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_tar_is_refused_by_name_before_anything_is_written(
    tmp_path: Path, folder: Path, case: str
) -> None:
    members, reason = REFUSED[case]
    with pytest.raises(UserError, match=reason) as error:
        extract(tar_of(tmp_path / "bad.tar", *members), folder)
    assert str(error.value).startswith(f"{tmp_path / 'bad.tar'}: ")
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)
    assert not list(folder.iterdir())
    assert not list(tmp_path.rglob("evil*"))


def of_kind(name: str, mode: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, (mode | 0o644) << 16
    return member


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (of_kind("no/a.png", stat.S_IFLNK), "'no/a.png' is a link"),
        (of_kind("no/a.png", stat.S_IFIFO), "'no/a.png' is a named pipe"),
        (of_kind("no/a.png", stat.S_IFCHR), "'no/a.png' is a named pipe, a socket or a device"),
        ("../evil.txt", "leads outside"),
        ("C:/evil.txt", "leads outside"),
        ("no\\1.png", "'no.1.png' twice"),
        ("no/1.png/evil.txt", "is a file and a folder"),
    ],
)
def test_so_is_a_zip(
    tmp_path: Path, folder: Path, name: str | zipfile.ZipInfo, reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        extract(zip_of(tmp_path / "bad.zip", (name, b"evil")), folder)
    assert not list(folder.iterdir())


def patched(file: Path, offset: int, value: bytes) -> Path:
    """Change a field of the last member of a zip, in its header and in the table of contents."""
    data = bytearray(file.read_bytes())
    central = data.rindex(b"PK\x01\x02")
    local = data.rindex(b"PK\x03\x04")
    data[central + offset : central + offset + len(value)] = value
    data[local + offset - 2 : local + offset - 2 + len(value)] = value
    file.write_bytes(data)
    return file


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (8, b"\x01\x00", "is encrypted: unpack it"),
        (10, b"\x09\x00", "packed by Deflate64, which is not read here"),
        (10, b"\x63\x00", "packed by method 99, which"),
        (24, b"\x00\x00\x00\x00", "cannot be unpacked"),
        (24, b"\xff\xff\x00\x00", "cannot be unpacked"),
        (16, b"\x00\x00\x00\x00", "cannot be unpacked: Bad CRC"),
        (42, b"\xff\xff\xff\xff", "cannot be unpacked"),
    ],
)
def test_a_zip_that_cannot_be_read_says_why(
    tmp_path: Path, folder: Path, offset: int, value: bytes, reason: str
) -> None:
    whole = zip_of(tmp_path / "bad.zip", ("no/last.png", b"last" * 100))
    with pytest.raises(UserError, match=reason):
        extract(patched(whole, offset, value), folder)


@pytest.mark.parametrize("kind", ["7z\xbc\xaf\x27\x1c", "Rar!\x1a\x07", "\x28\xb5\x2f\xfd"])
def test_other_archives_are_named(tmp_path: Path, folder: Path, kind: str) -> None:
    (tmp_path / "a.7z").write_bytes(kind.encode("latin-1") + bytes(100))
    with pytest.raises(UserError, match=r"(7z|RAR|Zstandard).*another program"):
        extract(tmp_path / "a.7z", folder)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_tar_cut_anywhere_is_refused(tmp_path: Path, folder: Path, mode: str) -> None:
    whole = tar_of(tmp_path / "a.tar", mode=mode).read_bytes()
    end = (whole.rindex(b"three") + 511) // 512 * 512 + 1 if mode == "w" else len(whole)
    for length in {*range(0, end, max(1, end // 60)), *range(0, end if mode == "w" else 0, 512)}:
        (tmp_path / "cut.tar").write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.tar"):
            extract(tmp_path / "cut.tar", folder)


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path, folder: Path) -> None:
    data = bytearray(tar_of(tmp_path / "a.tar").read_bytes())
    data[data.index(b"yes/2.png") + 150] ^= 1  # within the checksum
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(UserError, match="damaged after byte 1024"):
        extract(tmp_path / "a.tar", folder)
    assert not list(folder.iterdir())


def sparse_without_end() -> bytes:
    """A map of holes that never ends: tarfile itself reads on for ever."""
    pax = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n29 GNU.sparse.realsize=10000\n"
    header = info("a/b", b"x", size=len(pax)).tobuf(tarfile.USTAR_FORMAT)
    body = info("GNUSparseFile.0/c", size=512).tobuf(tarfile.USTAR_FORMAT)
    return header + pax.ljust(512, b"\0") + body + b"9".ljust(512, b"9")


def pax_of_gigabytes() -> bytes:
    return info("a", b"x", size=2**33).tobuf(tarfile.GNU_FORMAT) + bytes(2**21)


def name_of_gigabytes() -> bytes:
    return info("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=2**33).tobuf() + bytes(2**21)


def negative_size() -> bytes:
    return info("a", size=0).tobuf()[:124] + b"\xff" * 12 + info("a").tobuf()[136:]


def pax_headers_alone() -> bytes:
    header = info("a", b"x", size=10).tobuf(tarfile.USTAR_FORMAT)
    return (header + b"10 a=bcde\n".ljust(512, b"\0")) * 5000


@pytest.mark.parametrize(
    "content",
    [sparse_without_end, pax_of_gigabytes, name_of_gigabytes, negative_size, pax_headers_alone],
)
def test_headers_that_would_take_all_memory_or_time_are_refused(
    tmp_path: Path, folder: Path, content: Callable[[], bytes]
) -> None:
    started = time.monotonic()
    for form, name in ((bytes, "a.tar"), (gzip.compress, "a.tar.gz")):
        (tmp_path / name).write_bytes(form(info("no/1.png").tobuf() + content()))
        with pytest.raises(UserError, match=name):
            extract(tmp_path / name, folder)
    assert time.monotonic() - started < 5


def test_an_archive_that_would_fill_the_disk_is_refused_at_once(
    tmp_path: Path, folder: Path
) -> None:
    with gzip.open(tmp_path / "bomb.tar.gz", "wb", 1) as file:
        file.write(info("no/zeros.png", size=2**40).tobuf())
        file.write(bytes(2**20))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("no/zeros.png", bytes(2**20))
    patched(tmp_path / "bomb.zip", 24, b"\xff\xff\xff\xf0")
    for name in ("bomb.tar.gz", "bomb.zip"):
        with pytest.raises(UserError, match=r"refused, its 0\.0 MB would become [\d.]+ GB"):
            extract(tmp_path / name, folder)
    assert not list(folder.iterdir())


def test_an_archive_needs_room_on_the_disk(tmp_path: Path, folder: Path) -> None:
    """A tar of holes takes no room itself, so that it is as large as what is in it."""
    size = 2 * shutil.disk_usage(tmp_path).free // 512 * 512
    with (tmp_path / "holes.tar").open("wb") as file:
        file.write(info("no/zeros.png", size=size).tobuf(tarfile.GNU_FORMAT))
        file.truncate(512 + size + 1024)
    with pytest.raises(UserError, match=r"unpacking needs [\d.]+ GB, but the disk .* GB free"):
        extract(tmp_path / "holes.tar", folder)


def test_the_number_of_files_is_bounded(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "MAX_MEMBERS", 100)
    names = [f"no/{number}.jpg" for number in range(100)]
    for archive in (
        zip_of(tmp_path / "a.zip", *((name, b"") for name in names)),
        tar_of(tmp_path / "a.tar", *map(info, names)),
    ):
        with pytest.raises(UserError, match="holds more than 100 files"):
            extract(archive, folder)
    deep = [(f"{number}/{'/'.join('abcdefgh')}/x.jpg", b"") for number in range(90)]
    with pytest.raises(UserError, match="holds more than 100 folders"):
        extract(zip_of(tmp_path / "deep.zip", *deep), folder)


def test_names_may_be_anything_a_file_system_takes(tmp_path: Path, folder: Path) -> None:
    names = ["no/ü脑.png", "no/a\nb.png", "no/" + "n" * 251 + ".png", "no/a:b.png", "no/-", "no/ "]
    extract(tar_of(tmp_path / "a.tar", *(info(name, size=1) for name in names)), folder)
    assert {*names} <= files(folder).keys()
    raw = info(os.fsdecode(b"no/\xff.png"))
    with tarfile.open(tmp_path / "b.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(raw)
    extract(tmp_path / "b.tar", folder)
    assert (folder / raw.name).is_file()


def test_a_plain_tar_that_ends_with_a_zip_is_a_tar(tmp_path: Path, folder: Path) -> None:
    inner = zip_of(tmp_path / "inner.zip")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(inner, "inner.zip")
    extract(tmp_path / "a.tar", folder)
    assert [*files(folder)] == ["inner.zip"]


@pytest.mark.parametrize("name", ["a.ZIP", "a.tar.GZ", "a.tgz", "a.7z", "a.rar", "a.tar.zst"])
def test_archives_are_known_by_their_names(name: str) -> None:
    assert is_archive(name)
    assert not is_archive("scan.nii.gz")


def test_a_full_disk_is_not_taken_for_a_damaged_archive(tmp_path: Path, folder: Path) -> None:
    code = f"""\
import resource, signal
from pathlib import Path
from brain_tumor.command import reporting_errors
from brain_tumor.data.archive import extract
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
with reporting_errors():
    extract(Path({str(zip_of(tmp_path / "a.zip"))!r}), Path({str(folder)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.startswith(f"error: {folder}/yes/deep/3.png: larger than a file may be")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("attributes", [0x10, (stat.S_IFDIR | 0o755) << 16])
def test_a_folder_of_a_zip_may_lack_its_slash(
    tmp_path: Path, folder: Path, attributes: int
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        member = zipfile.ZipInfo("no")
        member.external_attr = attributes
        bundle.writestr(member, b"")
        bundle.writestr("no/1.png", b"one")
    extract(tmp_path / "a.zip", folder)
    assert files(folder) == {"no/1.png": b"one"}

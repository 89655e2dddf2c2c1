"""How a stage begins and ends on a command line: what it says, and what it leaves out."""

import contextlib
import errno
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from brain_tumor.cli.app import app
from brain_tumor.command import INTERRUPTED, reporting_errors
from brain_tumor.errors import UserError, sentence
from brain_tumor.machine import GitError, git
from tests import sections
from tests.small_project import FOREIGN

ROOT = Path(__file__).parents[1]
NOTICES = ("absl::InitializeLog", "oneDNN", "cpu_feature_guard", "To enable the following")
SLOW_STAGE = """\
'''Stage wait: waits for a minute.'''
import time
from brain_tumor.command import reporting_errors, run

def main() -> None:
    with reporting_errors():
        print("begun", flush=True)
        time.sleep(60)

run(main)
"""
PIPELINE = """\
stages:
  before: {cmd: echo, deps: [wait.py], outs: [nothing]}
  wait: {cmd: python wait.py, deps: [wait.py], outs: [other]}
"""


def environment(**more: str) -> dict[str, str]:
    """That of a user who has set nothing."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith(FOREIGN)}
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": binaries, "PYTHONPATH": str(ROOT / "src")} | more


def run(folder: Path, stage: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """The command of dvc.yaml."""
    pipeline = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    _, *words = pipeline["stages"][stage]["cmd"].split()
    return python(*words, folder=folder, **more)


def python(
    *words: str, folder: Path | None = None, **more: str
) -> "subprocess.CompletedProcess[str]":
    """Python in a process of its own."""
    command = [sys.executable, *words]
    return subprocess.run(
        command, cwd=folder, env=environment(**more), capture_output=True, text=True, check=False
    )


def in_foreground(*command: str) -> list[str]:
    """A command that hears Ctrl-C, even where the tests run in a shell's background."""
    code = "signal.signal(signal.SIGINT, signal.SIG_DFL); os.execvp(sys.argv[1], sys.argv[1:])"
    return [sys.executable, "-c", f"import os, signal, sys; {code}", *command]


def test_a_stage_says_which_of_how_many_it_is(tmp_path: Path) -> None:
    for file in ("dvc.yaml", "evidence/dvc.yaml"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    line = run(tmp_path, "train", DVC_STAGE="train").stderr.splitlines()[0]
    assert line.startswith("stage 7 of 12, train: fit InceptionV3")
    line = run(tmp_path, "train", DVC_STAGE="evidence/dvc.yaml:paper").stderr
    assert ", paper: " in line.splitlines()[0]
    assert not run(tmp_path, "train").stderr.startswith("stage")


@pytest.mark.slow
def test_tensorflow_starts_without_notices_and_its_errors_are_shown(tmp_path: Path) -> None:
    sections.write_params(tmp_path, backbone={"source": "random"})
    done = run(tmp_path, "backbone")
    assert done.returncode == 0, done.stderr
    assert "initial weights: random" in done.stderr
    assert not [
        line for line in done.stderr.splitlines() if any(notice in line for notice in NOTICES)
    ]
    (tmp_path / "other.weights.h5").write_bytes(b"no weights")
    sections.write_params(tmp_path, backbone={"source": "other.weights.h5"})
    done = run(tmp_path, "backbone")
    assert done.returncode == 1
    assert "other.weights.h5" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_errors_of_tensorflow_itself_reach_standard_error() -> None:
    code = (
        "from brain_tumor.machine import quiet_tensorflow; quiet_tensorflow(); "
        "import tensorflow as tf; tf.ones((2, 3)) @ tf.ones((2, 3))"
    )
    done = python("-c", code)
    assert done.returncode == 1
    assert "Matrix size-incompatible" in done.stderr
    assert not [notice for notice in NOTICES if notice in done.stderr]


def test_last_words_of_a_crash_are_shown() -> None:
    code = """\
import os
from brain_tumor.machine import without_notices
with without_notices():
    os.write(2, b"I0000 port.cc:153] oneDNN custom operations are on.\\nF0000 no memory\\n")
    os.abort()
"""
    done = python("-c", code)
    assert done.returncode == -signal.SIGABRT
    assert "F0000 no memory" in done.stderr
    assert "oneDNN" not in done.stderr


def test_interrupted_stage_says_in_a_line_that_the_same_command_goes_on(tmp_path: Path) -> None:
    (tmp_path / "wait.py").write_text(SLOW_STAGE, encoding="utf-8")
    with subprocess.Popen(
        in_foreground(sys.executable, "wait.py"),
        cwd=tmp_path,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED == 130
    assert errors == "interrupted: the same command goes on from here\n"


def test_so_does_dvc_repro(tmp_path: Path) -> None:
    (tmp_path / "wait.py").write_text(SLOW_STAGE, encoding="utf-8")
    (tmp_path / "dvc.yaml").write_text(PIPELINE.replace("echo", "touch nothing"), encoding="utf-8")
    for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=tmp_path, env=environment(), check=True)
    with subprocess.Popen(
        in_foreground("dvc", "repro"),
        cwd=tmp_path,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "begun\n")
        before = list(lines)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        after, _ = process.communicate(timeout=60)
    assert "stage 2 of 2, wait: waits for a minute\n" in before
    assert after.count("the same command goes on from here") == 1
    assert "Traceback" not in after
    assert process.returncode != 0


@pytest.mark.parametrize(
    ("raised", "lines"),
    [
        ("UserError('scan.png: no picture; give another')", 1),
        ("FileNotFoundError(2, 'No such file or directory', 'scan.png')", 1),
        ("ValueError('operands could not be broadcast together')", None),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_a_fault_keeps_its_traceback(
    raised: str, lines: int | None
) -> None:
    code = f"""\
from brain_tumor.command import reporting_errors
from brain_tumor.errors import UserError
with reporting_errors():
    raise {raised}
"""
    done = python("-c", code)
    assert done.returncode == 1
    assert done.stdout == ""
    if lines:
        assert len(done.stderr.splitlines()) == lines
        assert done.stderr.startswith("error: ")
        assert "scan.png" in done.stderr
    else:
        assert done.stderr.startswith("Traceback")
        assert "broadcast together" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "x", "a.npy"), "a.npy: no space left on the disk: make room"),
        (OSError(errno.EDQUOT, "x", "a.npy"), "a.npy: the quota of the disk is used up"),
        (PermissionError(errno.EACCES, "x", "a"), "a: permission denied: change it"),
        (OSError(errno.EROFS, "x", b"a"), "a: the disk can only be read"),
        (OSError(errno.ELOOP, "x", Path("a")), "a: links that lead in a circle"),
        (OSError(errno.ENAMETOOLONG, "x", "a"), "a: a name longer than the file system takes"),
        (OSError(errno.EMFILE, "x"), "too many files are open: raise the bound (`ulimit -n`)"),
        (OSError(errno.EXDEV, "Invalid link", "a", None, "b"), "a to b: Invalid link"),
        (OSError("not\n a file"), "not a file"),
        (
            shutil.Error([("a", "b", "[Errno 2] gone"), ("c", "d", "e")]),
            "a: cannot be copied: [Errno 2] gone; and 1 more",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
            "TMPDIR: no folder for temporary files that can be written",
        ),
    ],
)
def test_an_error_of_the_system_is_a_sentence_with_its_file(error: OSError, line: str) -> None:
    assert sentence(error).startswith(line)
    assert sentence(error).isprintable()


def test_a_full_disk_is_named_where_the_system_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = sentence(OSError(errno.ENOSPC, "No space left on device"))
    assert said.startswith(str(tmp_path))
    assert "no space left on the disk: make room" in said


def test_a_copy_of_a_tree_with_links_is_no_list_of_tuples(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/broken.png").symlink_to("nowhere")
    with pytest.raises(shutil.Error) as error:
        shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert sentence(error.value).startswith(f"{tmp_path}/a/broken.png: cannot be copied")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("a\x1b[2Jb.png: broken", "error: a\\x1b[2Jb.png: broken\n"),
        ("a\nerror: all is well", "error: a\\nerror: all is well\n"),
        ("two faults:\n  a: one\n  b: two", "error: two faults:\n  a: one\n  b: two\n"),
        ("\u202egnp.exe \u8111", "error: \\u202egnp.exe \u8111\n"),
    ],
)
def test_a_name_in_an_error_changes_nothing_on_a_terminal(
    message: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit), reporting_errors():
        raise UserError(message)
    assert capsys.readouterr().err == shown


def test_output_that_cannot_be_written_is_a_line() -> None:
    code = "from brain_tumor.command import say; [say('x' * 100) for _ in range(1000)]"
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment(), check=False
        )
    assert done.returncode != 0
    assert done.stderr.startswith("error: standard output: no space left on the disk")
    reader = subprocess.run(
        f"{sys.executable} -c {shlex.quote(code)} | head -1",
        shell=True, capture_output=True, text=True, env=environment(), check=False,
    )  # fmt: skip
    assert reader.stderr == ""


def test_signs_that_an_encoding_lacks_are_escaped() -> None:
    code = (
        "from brain_tumor.command import say, show_all_signs; show_all_signs(); say('\\xe9\\u8111')"
    )
    for encoding, line in (("ascii", r"\xe9\u8111"), ("cp1252", "\xe9\\u8111")):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True,
            env=environment(PYTHONIOENCODING=encoding),
        )  # fmt: skip
        assert done.stdout.decode(encoding).rstrip() == line


@pytest.mark.parametrize("command", ["summary", "data status", "registry sync", "ci restore"])
def test_in_a_folder_of_a_project_a_command_says_where_the_project_is(
    tmp_path: Path, command: str
) -> None:
    sections.write_params(tmp_path)
    (tmp_path / "data/no").mkdir(parents=True)
    with contextlib.chdir(tmp_path / "data/no"):
        result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: params.yaml: no such file; the project is {tmp_path}: `cd {tmp_path}` first\n"
    )
    assert not list((tmp_path / "data/no").iterdir())


def test_without_git_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GitError) as error:
        git("status", folder=tmp_path)
    assert error.value.is_no_repository
    assert "\n" not in str(error.value)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="`git status`: git is not installed") as error:
        git("status", folder=tmp_path)
    assert not error.value.is_no_repository

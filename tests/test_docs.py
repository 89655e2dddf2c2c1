"""What the pages say holds: their links lead somewhere, and their commands run.

Every shell command of every page is in one of three places. `RUN` is run here as it stands, in a
small project. `ELSEWHERE` names the test that runs it. `OUTSIDE` needs what no test has. All
commands of this project are parsed by its own command line besides.
"""

import importlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import typer.main
from PIL import Image
from ruamel.yaml import YAML

from tests.documents import ROOT, anchors, blocks, commands, links, pages
from tests.small_project import Project, cold_path, copy_project, copy_trained

SHELL = sorted({(block.page, command) for block in blocks() if block.language == "sh"
                for command in commands(block.text)})  # fmt: skip
ALL = sorted({command for _, command in SHELL})

# Run below, in this order: in a project whose pipeline has run ...
RUN = (
    "make repro",
    ".venv/bin/brain-tumor predict data/yes --heatmap maps",
    "brain-tumor summary",
    "dvc metrics show",
    "dvc plots show --open",
    "dvc exp show --only-changed",
    "dvc metrics diff",
    "dvc plots diff",
    "brain-tumor predict scans/ slice.dcm 'more/*.png' --heatmap maps",
    "brain-tumor pull model",
    "brain-tumor predict --model model scans/",
    "brain-tumor predict scans/ --json",
    "brain-tumor predict 'scans/**/*.dcm' --csv --heatmap maps --engine keras",
    "brain-tumor evaluate models:/brain-tumor-inceptionv3@champion scans/ --out external --log "
    "external-log.csv",
    "brain-tumor evaluate model scans/",
    "brain-tumor evaluate models:/brain-tumor-inceptionv3@champion PATH/TO/FOLDER --out external "
    "--log docs/evidence/external-log.csv",
    "brain-tumor data drift",
    "brain-tumor registry sync",
    "brain-tumor registry promote --force",
)
# ... and in one that has only just been cloned.
RUN_ON_DATA = (
    "brain-tumor data fetch PATH/TO/brain-mri-253 --force",
    "brain-tumor data fetch PATH/TO/images --force",
    "git add data.dvc",
    "git commit -m 'Use our images'",
    "brain-tumor data add PATH/TO/new-images --label yes",
    "brain-tumor data status",
    "brain-tumor data diff",
    "git switch -c more-images",
    "git commit -m 'Add images of site B'",
)
RUN_BY_THEIR_TEST = {"make ui", "brain-tumor serve"}  # servers: below
ELSEWHERE = {
    "make evidence": "evidence/test_pipeline.py",
    "dvc exp run -S train.learning_rate=3e-4": "test_end_to_end.py",
    "dvc exp run": "test_docs.py",  # its values: test_values_of_experiments_are_parameters
    "dvc repro augment backbone": "test_end_to_end.py",
    "dvc push data.dvc": "ci/test_rehearsal.py",
    "git checkout COMMIT": "ci/test_rehearsal.py",
    "dvc checkout": "ci/test_rehearsal.py",
    "git push": "ci/test_rehearsal.py",
    "brain-tumor data fetch kaggle:": "data/test_fetch.py",
    "brain-tumor tune-worker": "team/test_team.py",
    "mlflow models serve": "registry/test_served_model.py",
    "printf": "registry/test_served_model.py",
    "curl -sS http://127.0.0.1:5001": "registry/test_served_model.py",
    "curl -F": "test_docs.py",  # with `brain-tumor serve`
    "export OPTUNA_STORAGE": "team/test_team.py",
    "export MLFLOW_TRACKING_URI": "team/test_team.py",
    "export 'PATH=$PWD/.venv/bin:$PATH'": "registry/test_served_model.py",
    "pytest tests/ci": "ci/test_rehearsal.py",
    "python benchmarks/": "test_docs.py",  # parsed, not run: they take minutes to hours
    "python -m benchmarks.": "test_docs.py",
    "python -m evidence.stages.localisation": "evidence/test_localisation.py",
    "python -m evidence.brain_network": "evidence/test_brain_network.py",
}
OUTSIDE = {
    "make check": "it runs the tests",
    "make test": "it runs the tests",
    "uv pip install": "it needs a package registry; the extra it names is looked up below",
    "uvx optuna-dashboard": "it needs a package registry",
    "git commit -m 'Use the 253'": "as `Use our images`",
}


def of_team(page: str) -> bool:
    """Whether tests/team runs the commands of a page, all of them, which it checks itself."""
    return page == "docs/team.md"


def test_every_command_is_run_or_names_its_test() -> None:
    assert {block.language for block in blocks()} <= {"sh", "python"}
    listed = {*RUN, *RUN_ON_DATA, *RUN_BY_THEIR_TEST}
    prefixes = (*ELSEWHERE, *OUTSIDE)
    left = [
        f"{page}: {command}"
        for page, command in SHELL
        if not of_team(page) and command not in listed and not command.startswith(prefixes)
    ]
    assert left == []
    unused = {item for item in listed if item not in ALL}
    unused |= {prefix for prefix in prefixes if not any(c.startswith(prefix) for c in ALL)}
    assert unused == set(), "no page has these any more"
    assert [name for name in ELSEWHERE.values() if not (ROOT / "tests" / name).is_file()] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    broken = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        if target.startswith(("http://", "https://")):
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


def test_commands_of_this_project_parse() -> None:
    from brain_tumor.cli.app import app

    for command in ALL:
        program, *words = shlex.split(command.removeprefix(".venv/bin/"))
        if program == "brain-tumor":
            parse(typer.main.get_command(app), words)


def parse(command: Any, words: list[str]) -> None:
    """Let the command line read all words of a command, and call nothing.

    Raises:
        typer.BadParameter and the like: it would not be started with these.
    """
    context = command.make_context("brain-tumor", list(words))
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, words = command.resolve_command(context, rest)
        context = command.make_context(name, words, parent=context)


def test_targets_of_make_exist() -> None:
    for command in ALL:
        if command.startswith("make "):
            asked = [*command.split(), "--dry-run", "-o", ".venv/.installed"]
            subprocess.run(asked, cwd=ROOT, check=True, capture_output=True)


def test_extras_exist() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages())
    named = {part.partition("]")[0] for part in text.split("install -e '.[")[1:]}
    assert named
    assert named <= set(extras)


def test_values_of_experiments_are_parameters() -> None:
    document = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for command in ALL:
        words = shlex.split(command)
        for word in (words[at + 1] for at, flag in enumerate(words) if flag == "-S"):
            section, _, key = word.partition("=")[0].partition(".")
            assert key in document[section], word


@pytest.mark.slow
def test_commands_of_benchmarks_parse() -> None:
    for command in ALL:
        words = shlex.split(command)
        if words[0] != "python" or "benchmarks" not in command:
            continue
        script, *rest = words[2:] if words[1] == "-m" else words[1:]
        module = script.removesuffix(".py").replace("/", ".")
        program = typer.Typer()
        program.command()(importlib.import_module(module).main)
        parse(typer.main.get_command(program), rest)


@pytest.fixture(scope="module")
def project(trained: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small project after `make repro`, with the files that commands of the pages name."""
    project = copy_trained(trained, tmp_path_factory.mktemp("docs") / "project")
    files_of_the_pages(project)
    return project


def files_of_the_pages(project: Project) -> None:
    """slice.jpg, slice.dcm, scan.nii.gz, scans/, more/ and PATH/TO/FOLDER, not under git."""
    import nibabel
    import numpy as np
    from pydicom.examples import get_path

    folder = project.folder
    pictures = sorted((folder / "data" / "no").glob("*.png"))
    for name, kept in (("scans", 2), ("PATH/TO/FOLDER", 3)):
        for label in ("no", "yes"):
            (folder / name / label).mkdir(parents=True)
        for number, picture in enumerate(pictures[:kept]):
            turned = Image.open(picture).convert("L").rotate(7 * number + 4)
            turned.save(folder / name / "no" / f"{number}.png")
            turned.rotate(9).save(folder / name / "yes" / f"{number}.png")
    (folder / "more").mkdir()
    shutil.copy(pictures[0], folder / "more")
    Image.open(pictures[0]).convert("L").save(folder / "slice.jpg")
    shutil.copy(get_path("mr"), folder / "slice.dcm")
    shutil.copy(get_path("mr"), folder / "scans" / "yes" / "scan.dcm")
    volume = np.random.default_rng(0).integers(0, 255, (64, 64, 5)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / "scan.nii.gz")


def run(project: Project, command: str) -> str:
    """Run a command of a page; `make` takes the environment for made, browsers stay closed."""
    words = shlex.split(command.removeprefix(".venv/bin/"))
    if words[0] == "make":
        words += ["-o", ".venv/.installed"]
    project.env["BROWSER"] = "true"
    return project.run(*words)


COLD = RUN[:3]  # the commands on the README's first screen start as a user's do


@pytest.mark.slow
@pytest.mark.parametrize("command", RUN)
def test_command_runs(project: Project, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if command in COLD:
        monkeypatch.setitem(project.env, "PATH", cold_path())
    output = run(project, command)
    assert "Traceback" not in output
    noise = ("oneDNN", "absl::", "cpu_feature_guard", "To enable the following instructions")
    assert [line for line in output.splitlines() if any(text in line for text in noise)] == []
    if command == "make repro":  # the pipeline is up to date: what is left is its end
        assert "@champion" in output
        assert output.rstrip().endswith("ask the model")


@pytest.mark.slow
def test_commands_on_data_run(tmp_path: Path) -> None:
    clone = copy_project(tmp_path / "project")
    clone.run("brain-tumor", "data", "fetch", "phantom")
    clone.commit("Small phantom")
    data, place = clone.folder / "data", clone.folder / "PATH" / "TO"
    for name in ("images", "brain-mri-253"):
        shutil.copytree(data, place / name)
    (place / "new-images").mkdir()
    with Image.open(min((data / "yes").glob("*.png"))) as picture:
        picture.transpose(Image.Transpose.ROTATE_90).save(place / "new-images" / "new.png")
    (place / "images" / "patients.csv").unlink()  # or that of the phantom would be the same data
    for command in RUN_ON_DATA:
        if command.startswith("git commit"):
            run(clone, "git add data.dvc")
        run(clone, command)


@contextmanager
def serving(project: Project, command: str, port: int) -> Iterator[str]:
    """Start a server of the pages on a free port; its address, once it answers."""
    process = subprocess.Popen(
        shlex.split(f"{command} --port {port}"), cwd=project.folder, env=project.env,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 300
        while True:
            assert process.poll() is None
            assert time.monotonic() < deadline
            try:
                with urlopen(address, timeout=10) as answer:
                    assert answer.status == 200
                    break
            except OSError:
                time.sleep(0.3)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.slow
def test_serve_answers_the_curl_of_the_page(project: Project) -> None:
    (curl,) = (command for command in ALL if command.startswith("curl -F"))
    with serving(project, "brain-tumor serve", free_port()) as address:
        answer = project.run(*shlex.split(curl.replace("http://127.0.0.1:8000", address)))
    assert answer.count('"probability"') >= 2


@pytest.mark.slow
def test_make_ui_shows_the_runs(project: Project) -> None:
    recipe = run(project, "make ui --dry-run --silent").splitlines()[-1]
    assignment, command = recipe.split(" ", 1)
    name, _, text = assignment.partition("=")
    project.env[name] = text
    with serving(project, command, free_port()) as address, urlopen(address) as page:
        assert b"MLflow" in page.read()


@pytest.mark.slow
def test_python_of_the_page_predicts(project: Project) -> None:
    (block,) = (b for b in blocks() if (b.page, b.language) == ("docs/using.md", "python"))
    script = block.text.replace("\nmodel.predict(", "\nanswer = model.predict(")
    output = project.run(sys.executable, "-W", "ignore", "-c", f"{script}\nprint(len(answer))")
    assert output.splitlines()[-1] == "1"

"""Errors in params.yaml name the key, what is wrong with it, and the key that may be meant."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from brain_tumor import settings
from brain_tumor.errors import UserError
from brain_tumor.settings import (
    TUNABLE,
    Section,
    Settings,
    TrainParams,
    TrainSection,
    TuneParams,
    changed_since_commit,
    load,
    refuse_without_effect,
)

FILE = Path(__file__).parents[1] / "params.yaml"
PARAMS = FILE.read_text(encoding="utf-8")


def error(tmp_path: Path, *changes: tuple[str, str]) -> str:
    """What is said of params.yaml with texts replaced, after the file's name."""
    text = PARAMS
    for old, new in changes:
        assert PARAMS.count(old) == 1
        text = text.replace(old, new)
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        settings.read(path)
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "  batch_size: 32", "  batchsize: 32",
            "train.batchsize: unknown key, did you mean 'batch_size'?",
        ),
        (
            "    val: {no: 18, yes: 32}", "    val: {noo: 18, yes: 32}",
            "split.counts.val.noo: unknown key, did you mean 'no'?",
        ),
        (
            "    dropout: {low: 0.0", "    dropout: {lo: 0.0",
            "tune.space.dropout.lo: unknown key, did you mean 'low'?",
        ),
        (
            "  exclude: []", "  exclude: [{pth: no/N1.jpg, reason: x}]",
            "validate.exclude.0.pth: unknown key, did you mean 'path'?",
        ),
        (
            "  batch_size: 32", "  batch_size: 32\n  colour: red",
            "train.colour: unknown key",
        ),
    ],
)  # fmt: skip
def test_a_misspelt_key_is_named_with_the_one_that_is_meant(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    assert error(tmp_path, (old, new)) == message


def test_a_missing_key_is_named_without_the_whole_section(tmp_path: Path) -> None:
    message = error(tmp_path, ("  batch_size: 32  # images\n", ""))
    assert message == "train.batch_size: missing"


def test_a_misspelt_section_is_named(tmp_path: Path) -> None:
    message = error(tmp_path, ("\ntrain:\n", "\ntrian:\n"))
    assert message == "section 'train' is missing; it has 'trian', is that a misspelling?"


def test_a_section_that_nothing_reads_is_named(tmp_path: Path) -> None:
    message = error(tmp_path, ("\ntrain:\n", "\nextra: {}\ntrain:\n"))
    assert message == "unknown section 'extra'"


def test_a_wrong_value_is_named_with_what_was_received(tmp_path: Path) -> None:
    message = error(tmp_path, ("  batch_size: 32", "  batch_size: many"))
    assert message == "train.batch_size: Input should be a valid integer (received 'many')"


def test_values_that_do_not_fit_together_are_said_without_the_whole_section(
    tmp_path: Path,
) -> None:
    message = error(tmp_path, ("    val: 0.2", "    val: 0.9"))
    assert message == (
        "split: fractions.val + fractions.test must leave some for train, received 1.1"
    )


def test_what_is_wrong_in_all_sections_is_said_at_once(tmp_path: Path) -> None:
    changes = ("  batch_size: 32", "  batch_size: 0"), ("  margin: 0.025 ", "  margin: 2.0 ")
    message = error(tmp_path, *changes)
    assert "train.batch_size: " in message
    assert "; register.margin: " in message


def sections(section: type[Section]) -> Iterator[type[Section]]:
    """A class and those of its nested sections."""
    yield section
    for field in section.model_fields.values():
        nested = settings._section_in(field.annotation)
        if nested:
            yield from sections(nested)


def test_the_code_has_no_defaults() -> None:
    classes: list[Any] = [field.type for field in fields(Settings)]
    for section in (nested for whole in classes for nested in sections(whole)):
        assert all(field.is_required() for field in section.model_fields.values()), section


def test_a_file_that_is_missing_or_no_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(UserError, match=f"^{path}: no such file; run this at the top of a project"):
        settings.read(path)
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(UserError, match=f"^{path}: cannot be read as YAML: [^\n]+$"):
        settings.read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match=f"^{path}: a folder, where a file is needed$"):
        settings.read(path)


def test_in_a_folder_of_the_project_it_is_said_where_its_top_is(tmp_path: Path) -> None:
    top = tmp_path / "my project"
    (top / "data/no").mkdir(parents=True)
    shutil.copy(FILE, top)
    with pytest.raises(UserError, match=f"the project is {top}: `cd '{top}'` first"):
        settings.read(top / "data/no/params.yaml")


BOMB = ", ".join(f"&{name} [{', '.join([f'*{chr(ord(name) - 1)}'] * 9)}]" for name in "bcdefghi")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("2019-01-01", "phantom.seed: a date is no value here: for text put it in quotes"),
        ("2019-01-01T10:00:00Z", "phantom.seed: a date is no value"),
        ("!!binary aGVsbG8=", "phantom.seed: binary data"),
        ("!!set {a, b}", "phantom.seed: a set is no value"),
        ("!!pairs [a: 1]", r"phantom.seed.0: a pair"),
        ("!!bool foo", "cannot be read as YAML"),
        ("!!python/object:os.system x", "cannot be read as YAML: could not determine"),
        (f"[&a [1, 1], {BOMB}]", "more than 10000 values once aliases"),
        ("&a [*a]", "more than 10000 values once aliases"),
        ("[" * 5000 + "]" * 5000, "cannot be read as YAML: maximum recursion"),
        (".inf", r"phantom.seed: Input should be a finite number \(received inf\)"),
        ("-.inf", "phantom.seed: Input should be a finite number"),
        (".nan", "phantom.seed: Input should be a finite number"),
        ("1" + "0" * 22, r"phantom.seed: Input should be at most 4294967295 \(received 10{22}\)"),
        ("1e22", "phantom.seed: Input should be at most 4294967295"),
        ("-1e22", "phantom.seed: Input should be at most 4294967295"),
        ("1" + "0" * 400, "phantom.seed: Input should be at most"),
        ("1" + "0" * 5000, "cannot be read as YAML: Exceeds the limit"),
        ("{1: 2}", "phantom.seed: key 1: quote it"),
        ("{null: 2}", "phantom.seed: key None: quote it"),
        ('{"\\e[2J": 2019-01-01}', r"phantom.seed.\\x1b\[2J: a date"),
        ("\0", "cannot be read as YAML"),
        ("\t- 1\n  - 2", "cannot be read as YAML"),
    ],
)
def test_what_no_parameter_can_be_is_one_line_with_its_key(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "params.yaml"
    whole = FILE.read_text(encoding="utf-8")
    path.write_text(re.sub("seed: .*", lambda _: f"seed: {text}", whole, count=1), "utf-8")
    with pytest.raises(UserError, match=rf"^{path}: {problem}") as error:
        settings.read(path)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("content", [b"# \xfc", "# \u00fc".encode("utf-16"), b"[1]", b"", b"text"])
def test_a_file_of_something_else_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(
        UserError, match=r"params\.yaml: (cannot be read as YAML|holds no sections)"
    ):
        settings.read(tmp_path / "params.yaml")


def test_one_section_of_another_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML().dump({"summary": {"seed": 0, "bootstrap_resamples": 30}}, file)
    section = settings.load(path, "summary", settings.EvaluateParams)
    assert section.bootstrap_resamples == 30


CHOSEN: dict[str, float | int] = {
    "learning_rate": 2e-3,
    "head_block": 6,
    "fine_tune_blocks": 2,
    "dropout": 0.25,
    "weight_decay": 1e-2,
    "head_penalty": 0.1,
}


def written(folder: Path, **values: str) -> TrainSection:
    """The repository's section, all `tuned` but for these YAML texts, loaded from a file."""
    yaml = YAML(typ="safe", pure=True)
    section = yaml.load(FILE.read_text(encoding="utf-8"))["train"]
    texts = section | dict.fromkeys(TUNABLE, "tuned") | values
    lines = [f"  {key}: {text}" for key, text in texts.items()]
    path = folder / "params.yaml"
    path.write_text("\n".join(["train:", *lines, ""]), encoding="utf-8")
    return load(path, "train", TrainSection)


def test_fields_that_may_be_tuned_are_those_a_study_can_choose(tmp_path: Path) -> None:
    solved, descended = written(tmp_path), written(tmp_path, head_penalty="null")
    assert (*solved.tuned(), "dropout") == TUNABLE
    assert {*descended.tuned(), "head_penalty"} == set(TUNABLE)
    with pytest.raises(UserError, match=r"train\.batch_size"):
        written(tmp_path, batch_size="tuned")


def test_repository_leaves_learning_rate_and_depth_to_the_study() -> None:
    tuned = load(FILE, "train", TrainSection).tuned()
    assert tuned == ("head_block", "fine_tune_blocks", "head_penalty", "learning_rate")
    depths = load(FILE, "tune", TuneParams).space.fine_tune_blocks
    assert (depths.low, depths.high) == (0, 2)


def test_depth_0_has_no_learning_rate(tmp_path: Path) -> None:
    section = written(tmp_path)
    assert section.tuned({"fine_tune_blocks": 0}) == (
        "head_block", "fine_tune_blocks", "head_penalty",
    )  # fmt: skip
    resolved = section.resolve({"head_block": 6, "fine_tune_blocks": 0, "head_penalty": 0.1})
    assert (resolved.learning_rate, resolved.weight_decay, resolved.dropout) == (None, None, None)
    assert not resolved.fine_tunes
    assert not resolved.trains_epochs
    assert (
        written(tmp_path, head_penalty="null", fine_tune_blocks="0").resolve(CHOSEN).trains_epochs
    )
    section = written(tmp_path)
    acting = {
        "seed",
        "head",
        "head_block",
        "fine_tune_blocks",
        "head_penalty",
        "class_weight",
        "phantom_weight",
    }
    assert set(resolved.acting()) == acting
    deep = section.resolve({**CHOSEN, "fine_tune_blocks": 1}).acting()
    assert set(deep) == acting | {
        "learning_rate", "weight_decay", "batch_size", "fine_tune_epochs", "precision",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "given", "problem"),
    [
        ({}, {"dropout": 0.3}, "train.dropout is 0.3, but acts on nothing: the head is solved"),
        ({}, {"patience": 9}, "train.patience is 9, but acts on nothing: the head is solved"),
        ({"fine_tune_blocks": "0"}, {"learning_rate": 3e-4}, "0.0003, .*: no block trains"),
        ({"fine_tune_blocks": "0"}, {"precision": "float32"}, "float32, .*: no block trains"),
    ],
)
def test_value_that_was_given_and_acts_on_nothing_is_refused(
    tmp_path: Path, texts: dict[str, str], given: dict[str, Any], problem: str
) -> None:
    section = written(tmp_path, **texts, **{name: str(value) for name, value in given.items()})
    with pytest.raises(ValueError, match=problem):
        refuse_without_effect(section, given)
    refuse_without_effect(section, {"head_block": 3, "learning_rate": "tuned"})


def test_what_was_given_is_what_the_commit_lacks(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("train: {a: 1, b: {c: 2, d: 1e-3}}\n", encoding="utf-8")
    assert changed_since_commit("train", path) == {}  # no repository
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    assert changed_since_commit("train", path) == {}
    path.write_text("train: {a: 1, b: {c: 3, d: 0.001}, e: x}\n", encoding="utf-8")
    assert changed_since_commit("train", path) == {"b.c": 3, "e": "x"}


def test_tuned_fields_get_the_chosen_values(tmp_path: Path) -> None:
    resolved = written(tmp_path).resolve(CHOSEN)
    assert isinstance(resolved, TrainParams)
    assert {name: getattr(resolved, name) for name in TUNABLE} == CHOSEN | {"dropout": None}


def test_value_wins_over_the_study(tmp_path: Path) -> None:
    section = written(tmp_path, learning_rate="3e-4", dropout="0")
    assert section.tuned() == ("head_block", "fine_tune_blocks", "head_penalty", "weight_decay")
    resolved = section.resolve(CHOSEN)
    assert (resolved.learning_rate, resolved.dropout) == (3e-4, 0.0)
    assert (resolved.head_block, resolved.weight_decay) == (6, 1e-2)


def test_nothing_is_needed_of_a_study_where_all_have_values(tmp_path: Path) -> None:
    section = written(tmp_path, **{name: str(value) for name, value in CHOSEN.items()})
    assert section.tuned() == ()
    assert section.resolve({}) == section.resolve({"learning_rate": 1.0, "dropout": 0.9})


def test_all_fields_without_a_value_are_named(tmp_path: Path) -> None:
    section = written(tmp_path, weight_decay="0.01", head_penalty="null")
    with pytest.raises(
        ValueError, match=r"^train\.fine_tune_blocks, train\.dropout: tuned, but .*dvc repro tune"
    ):
        section.resolve({"head_block": 3, "learning_rate": 1e-3})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("learning_rate", "1e-4", 1e-4),
        ("learning_rate", "1.0e-4", 1e-4),
        ("learning_rate", "1", 1.0),
        ("dropout", "0", 0.0),
        ("weight_decay", "0", 0.0),
        ("fine_tune_blocks", "0", 0),
        ("head_block", '"tuned"', "tuned"),
    ],
)
def test_numbers_may_be_written_as_yaml_allows(
    tmp_path: Path, name: str, text: str, value: float | str
) -> None:
    field = getattr(written(tmp_path, **{name: text}), name)
    assert field == value
    assert type(field) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("learning_rate", "tunedd", "a number or 'tuned' is needed (received 'tunedd')"),
        ("head_block", "Tuned", "a number or 'tuned' is needed (received 'Tuned')"),
        ("learning_rate", "'1e-4'", "a number or 'tuned' is needed (received '1e-4')"),
        ("dropout", "", "a number or 'tuned' is needed (received None)"),
        ("fine_tune_blocks", "true", "a number or 'tuned' is needed (received True)"),
        ("learning_rate", "-1e-3", "greater than 0 (received -0.001)"),
        ("learning_rate", ".inf", "finite number (received inf)"),
        ("dropout", "1.0", "less than 1 (received 1.0)"),
        ("weight_decay", "-1", "greater than or equal to 0 (received -1)"),
        ("head_block", "11", "less than or equal to 10 (received 11)"),
        ("head_block", "3.5", "a valid integer (received 3.5)"),
    ],
)
def test_wrong_value_is_named_with_its_one_reason(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    with pytest.raises(UserError) as caught:
        written(tmp_path, **{name: text})
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'params.yaml'}: train.{name}")
    assert message.endswith(problem)
    assert ";" not in message


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"head_block": 1, "fine_tune_blocks": 3}, "fine_tune_blocks is 3; below head_block 1"),
        ({"learning_rate": 0.0}, "train.learning_rate: "),
        ({"head_penalty": -0.5}, "train.head_penalty: "),
        ({"head_block": 2.5}, "train.head_block: "),
    ],
)
def test_chosen_value_that_does_not_fit_is_named_on_one_line(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem.replace(".", r"\.")) as caught:
        written(tmp_path).resolve({**CHOSEN, **changes})
    assert "\n" not in str(caught.value)


def test_paper_head_is_not_solved(tmp_path: Path) -> None:
    section = written(tmp_path, head="paper", head_penalty="0.1")
    with pytest.raises(ValueError, match=r"head_penalty is 0\.1; head `paper`.*null"):
        section.resolve(CHOSEN)
    assert written(tmp_path, head="paper", head_penalty="null").resolve(CHOSEN).head == "paper"

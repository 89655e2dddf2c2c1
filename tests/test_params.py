"""Errors in params.yaml name the key, what is wrong with it, and the key that may be meant."""

from pathlib import Path

import pytest

from brain_tumor.dataset.splitting.params import SplitParams
from brain_tumor.dataset.validation.params import ValidateParams
from brain_tumor.model.search.params import TuneParams
from brain_tumor.model.train_params import TrainSection
from brain_tumor.params import ParamsError, Section, load

PARAMS = (Path(__file__).parents[1] / "params.yaml").read_text(encoding="utf-8")


def error(tmp_path: Path, name: str, section: type[Section], old: str, new: str) -> str:
    """What is said of params.yaml with `new` in place of `old`, after the file's name."""
    assert PARAMS.count(old) == 1
    path = tmp_path / "params.yaml"
    path.write_text(PARAMS.replace(old, new), encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        load(path, name, section)
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("name", "section", "old", "new", "said"),
    [
        (
            "train", TrainSection, "  batch_size: 32", "  batchsize: 32",
            "train.batchsize: unknown key, did you mean 'batch_size'?",
        ),
        (
            "split", SplitParams, "    val: {no: 18, yes: 32}", "    val: {noo: 18, yes: 32}",
            "split.counts.val.noo: unknown key, did you mean 'no'?",
        ),
        (
            "tune", TuneParams, "    dropout: {low: 0.0", "    dropout: {lo: 0.0",
            "tune.space.dropout.lo: unknown key, did you mean 'low'?",
        ),
        (
            "validate", ValidateParams, "  exclude: []", "  exclude: [{pth: no/N1.jpg, reason: x}]",
            "validate.exclude.0.pth: unknown key, did you mean 'path'?",
        ),
        (
            "train", TrainSection, "  batch_size: 32", "  batch_size: 32\n  colour: red",
            "train.colour: unknown key",
        ),
    ],
)  # fmt: skip
def test_a_misspelt_key_is_named_with_the_one_that_is_meant(
    name: str, section: type[Section], old: str, new: str, said: str, tmp_path: Path
) -> None:
    assert error(tmp_path, name, section, old, new) == said


def test_a_missing_key_is_named_without_the_whole_section(tmp_path: Path) -> None:
    said = error(tmp_path, "train", TrainSection, "  batch_size: 32  # images\n", "")
    assert said == "train.batch_size: missing"


def test_a_misspelt_section_is_named(tmp_path: Path) -> None:
    said = error(tmp_path, "train", TrainSection, "\ntrain:\n", "\ntrian:\n")
    assert said == "section 'train' is missing; it has 'trian', is that a misspelling?"


def test_a_wrong_value_is_named_with_what_was_received(tmp_path: Path) -> None:
    said = error(tmp_path, "train", TrainSection, "  batch_size: 32", "  batch_size: many")
    assert said == "train.batch_size: Input should be a valid integer (received 'many')"


def test_values_that_do_not_fit_together_are_said_without_the_whole_section(
    tmp_path: Path,
) -> None:
    said = error(tmp_path, "split", SplitParams, "    val: 0.2", "    val: 0.9")
    assert said == "split: fractions.val + fractions.test must leave some for train, received 1.1"

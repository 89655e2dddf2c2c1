"""Digests of code: what a module does counts, what it says about itself does not."""

from pathlib import Path

import pytest

from brain_tumor.evidence import source_digest

SOURCE = '''"""A module."""

RATE = 1  # of something


def double(x: int) -> int:
    """Twice x."""
    text = "# no comment"
    return x * 2 if text else 0
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(source_digest, "PACKAGE", tmp_path)
    (tmp_path / "model").mkdir()
    return tmp_path


def digest(package: Path, source: str) -> str:
    (package / "model" / "fit.py").write_text(source, encoding="utf-8")
    return source_digest.code_digest(["model.fit"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""', '"""Another\n\ndescription."""'),
        ("  # of something", "  # per unit of something else"),
        ("  # of something", ""),
        ("\n\n\ndef", "\n\n\n# A note.\n\n\ndef"),
        ('    """Twice x."""\n', '    """Twice x.\n\n    Returns:\n        It.\n    """\n'),
    ],
)
def test_comments_docstrings_and_blank_lines_may_change(package: Path, old: str, new: str) -> None:
    assert old in SOURCE
    assert digest(package, SOURCE.replace(old, new)) == digest(package, SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [("x * 2", "x * 3"), ("RATE = 1", "RATE = 2"), ("# no comment", "# another text")],
)
def test_code_may_not(package: Path, old: str, new: str) -> None:
    assert digest(package, SOURCE.replace(old, new)) != digest(package, SOURCE)


def test_the_order_of_modules_and_parameters_does_not_matter() -> None:
    modules = ["model.fit", "model.head"]
    assert source_digest.code_digest(modules) == source_digest.code_digest(modules[::-1])
    assert source_digest.params_digest({"a": 1, "b": 2}) == source_digest.params_digest(
        {"b": 2, "a": 1}
    )
    assert source_digest.params_digest({"a": 1}) != source_digest.params_digest({"a": 2})

"""Digests of what decides a figure: data, parameters, code."""

import ast
import hashlib
import io
import json
import tokenize
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from brain_tumor.model.recipe import Pool

PACKAGE = Path(__file__).parents[1]
_LENGTH = 16  # hexadecimal characters


def data_digest(pool: Pool, weights: Path, *tables: pd.DataFrame) -> str:
    """Of pixels, labels, clusters, initial weights and other tables a track reads."""
    sha = hashlib.sha256(f"{pool.images.dtype}{pool.images.shape}".encode())
    sha.update(pool.images.data)
    for table in (pool.rows, *tables):
        sha.update(table.to_csv(index=True, lineterminator="\n").encode())
    with weights.open("rb") as file:
        sha.update(hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()[:_LENGTH]


def params_digest(values: Mapping[str, object]) -> str:
    """Of parameters, whatever their order."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def code_digest(modules: Iterable[str]) -> str:
    """Of what modules do: comments, docstrings and blank lines may change.

    Args:
        modules: as `model.fit`, below `brain_tumor`.
    """
    sha = hashlib.sha256()
    for name in sorted(modules):
        file = PACKAGE / f"{name.replace('.', '/')}.py"
        sha.update(f"{name}\n{_bare(file.read_text(encoding='utf-8'))}\n".encode())
    return sha.hexdigest()[:_LENGTH]


def _bare(source: str) -> str:
    """Source text without comments, docstrings and blank lines; alike in all Python versions."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            text = node.body[0]
            for row in range(text.lineno - 1, text.end_lineno or text.lineno):
                lines[row] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())

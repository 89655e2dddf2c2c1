"""Digests: what decides counts, order does not."""

import pandas as pd

from brain_tumor.evidence.source_digest import images_digest, params_digest

MANIFEST = pd.DataFrame({"path": ["no/a.png", "yes/b.png"], "sha256": ["aa", "bb"]})


def test_images_are_their_names_and_bytes_in_any_order() -> None:
    digest = images_digest(MANIFEST)
    assert images_digest(MANIFEST[::-1]) == digest
    assert images_digest(MANIFEST.assign(sha256=["aa", "cc"])) != digest
    assert images_digest(MANIFEST.assign(sha256=["bb", "aa"])) != digest
    assert images_digest(MANIFEST[:1]) != digest


def test_the_order_of_parameters_does_not_matter() -> None:
    assert params_digest({"a": 1, "b": 2}) == params_digest({"b": 2, "a": 1})
    assert params_digest({"a": 1}) != params_digest({"a": 2})

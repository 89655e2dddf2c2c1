"""The profile of a model comes back as it was, or is named with what to do."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_tumor.errors import UserError
from brain_tumor.inference import bundle
from brain_tumor.inference.bundle import Profile
from brain_tumor.outputs import PROFILE_FILES
from tests.damage import DAMAGES, Damage

TABLE = pd.DataFrame(
    {
        "path": [f"no/{index}.png" for index in range(20)],
        "sha256": "a" * 64,
        "label": "no",
        "split": "train",
        "cluster": "0",
        "probability": np.linspace(0, 1, 20),
    }
)
FEATURES = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)


@pytest.mark.parametrize("name", PROFILE_FILES)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_profile_is_named_in_a_line_with_what_to_do(
    damage: Damage, name: str, tmp_path: Path
) -> None:
    Profile(TABLE, FEATURES).save(tmp_path)
    pd.testing.assert_frame_equal(Profile.load(tmp_path).table, TABLE)
    damage(tmp_path / name)
    with pytest.raises(UserError, match=rf"/{name}: .*run `dvc repro") as caught:
        Profile.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("features", [FEATURES[1:], FEATURES[:, 0], FEATURES.astype(np.float64)])
def test_features_that_do_not_belong_to_the_table_are_refused(
    features: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", tmp_path: Path
) -> None:
    Profile(TABLE, features).save(tmp_path)
    with pytest.raises(UserError, match=r"features\.npy: .*profile\.csv has 20 images"):
        Profile.load(tmp_path)


@pytest.mark.parametrize("change", [("a" * 64, "zz"), ('"weights"', '"Weights"'), ("{", "[")])
def test_content_that_is_none_is_damage(tmp_path: Path, change: tuple[str, str]) -> None:
    digest = "a" * 64
    content = bundle.Content(weights=digest, brain_network=digest, files={})
    text = content.model_dump_json()
    (tmp_path / bundle.CONTENT_FILE).write_text(text, encoding="utf-8")
    assert bundle.read_content(tmp_path) == content
    (tmp_path / bundle.CONTENT_FILE).write_text(text.replace(*change), encoding="utf-8")
    with pytest.raises(bundle.DamagedError, match=r"bundle\.json: not readable"):
        bundle.read_content(tmp_path)

"""A registered model, a real store, and images that come later."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from brain_tumor.cli.app import app
from brain_tumor.errors import UserError
from brain_tumor.inference.bundle import Profile
from brain_tumor.inference.classifier import Classifier
from brain_tumor.outputs import (
    PROFILE_FILES,
    StageOutputs,
)
from brain_tumor.registry.register import register
from brain_tumor.registry.versions import find_version
from brain_tumor.settings import RegisterParams
from brain_tumor.tracking import connection
from brain_tumor.tracking.models import describe, find_model, named_version
from tests import sections
from tests.registry import conftest as registry

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm_models")]
empty_store, own_store, params = registry.empty_store, registry.own_store, registry.params
make_outputs = registry.make_outputs
PREPROCESS = sections.preprocess(normalisation="none", size_px=registry.SIZE_PX)
NAME = "brain-tumor-inceptionv3"
CHANGES: dict[str, dict[str, float]] = {
    "validate": {"near_duplicate_min_correlation": 0.9999},
    "drift": {"alpha": 0.01, "min_effect": 0.2, "min_clusters": 10, "permutations": 1999},
}
Look = Callable[[Image.Image], Image.Image]


@pytest.fixture
def outputs(
    tmp_path: Path,
    own_store: None,
    make_outputs: registry.MakeOutputs,
    monkeypatch: pytest.MonkeyPatch,
) -> StageOutputs:
    """Outputs of a project with 60 images, which is the current folder."""
    made = make_outputs(tmp_path, groups=range(30))
    yaml = YAML()
    document = yaml.load(made.params.read_text(encoding="utf-8"))
    for section, values in CHANGES.items():
        document[section] |= values
    with made.params.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)
    monkeypatch.chdir(tmp_path)
    return made


def drift(*options: str) -> tuple[Result, dict[str, object]]:
    result = CliRunner().invoke(
        app, ["data", "drift", "--json", "drift.json", "--figure", "drift.png", *options]
    )
    assert result.exit_code == 0, result.output
    return result, json.loads(Path("drift.json").read_text(encoding="utf-8"))


def add(
    name: str, start: int, count: int, look: Look, labels: tuple[str, ...] = ("no", "yes")
) -> None:
    for label in labels:
        for index in range(start, start + count):
            with Image.open(io.BytesIO(registry.picture(label, index))) as picture:
                file = Path("data") / label / f"{name}{index}.png"
                look(picture).save(file, compress_level=0)  # as those of the registry's tests


def remove(name: str) -> None:
    for file in Path("data").rglob(f"{name}*"):
        file.unlink()


def test_new_images_of_the_same_kind_do_not_warn_and_others_do(
    outputs: StageOutputs, params: RegisterParams
) -> None:
    result, facts = drift()
    assert facts["champion"] is None
    assert "There is no models:/brain-tumor-inceptionv3@champion" in result.stdout

    register(outputs, PREPROCESS, params)
    result, facts = drift()
    assert facts["champion"] == f"models:/{NAME}/1"
    assert facts["images"] == {"reference": 60, "new": 0}
    assert "No image is new" in result.stdout

    shutil.copy("data/no/0.png", "data/no/the-same-bytes.png")
    add("few", 100, 2, lambda picture: picture)
    result, facts = drift()
    assert facts["images"] == {"reference": 60, "new": 4}
    assert facts["measures"] == []
    assert "Too few to tell: 4 independent groups" in result.stdout
    assert not Path("drift.png").exists()

    add("same", 200, 14, lambda picture: picture)
    result, facts = drift()
    assert facts["warnings"] == []
    assert result.stderr.count("warning") == 0
    assert "32 new images in 32 groups. 0 of 14 measures warn." in result.stdout

    remove("same")
    add(
        "other",
        300,
        24,
        lambda picture: picture.resize((150, 150)).crop((0, 0, 150, 100)),
        ("yes",),
    )
    result, facts = drift("--model", f"models:/{NAME}/1")
    warnings = "\n".join(facts["warnings"])  # type: ignore[arg-type]
    for words in ("images are larger: median 122 px against 100 px", "images are wider"):
        assert words in warnings
    assert "more images show a tumour" in warnings
    assert result.stderr.count("warning: ") == len(facts["warnings"])  # type: ignore[arg-type]
    with Image.open("drift.png") as figure:
        assert figure.size > (1000, 800)


def test_model_describes_raw_files_as_its_profile_does(
    outputs: StageOutputs, params: RegisterParams
) -> None:
    register(outputs, PREPROCESS, params)
    version = named_version(connection.connect(), f"models:/{NAME}@champion")
    assert version is not None
    profile = Profile.load(outputs.profile)
    rows, features = describe(version, [outputs.data / path for path in profile.table["path"]])
    np.testing.assert_allclose(features, profile.features, rtol=1e-5)
    expected = profile.table[list(rows[0])].to_dict("records")
    for row, expected_row in zip(rows, expected, strict=True):
        assert row == pytest.approx(expected_row, rel=1e-6)
    classifier = Classifier.load(find_model(f"models:/{NAME}@champion").bundle)
    raw = [(outputs.data / path).read_bytes() for path in profile.table["path"][:3]]
    probabilities = [prediction.probability for [prediction] in classifier.predict(raw)]
    assert probabilities == pytest.approx([row["probability"] for row in rows[:3]], abs=1e-7)


def test_profile_belongs_to_the_model(outputs: StageOutputs, params: RegisterParams) -> None:
    (outputs.profile / PROFILE_FILES[1]).rename("aside")
    with pytest.raises(UserError, match=r"profile/features\.npy: missing"):
        register(outputs, PREPROCESS, params)
    Path("aside").rename(outputs.profile / PROFILE_FILES[1])
    first = register(outputs, PREPROCESS, params)
    assert register(outputs, PREPROCESS, params).version == first.version

    client = connection.connect()
    client.delete_model_version_tag(NAME, first.version, "md5.profile")  # as before there were any
    [lost] = Path("mlruns").rglob("features.npy")
    lost.unlink()
    assert find_version(client, NAME, first.digest) is not None
    result, facts = drift()
    assert facts["champion"] == f"models:/{NAME}/1"
    assert "It has no profile of its images" in result.stdout

    again = register(outputs, PREPROCESS, params)
    assert (again.version, again.alias) == ("2", "champion")
    drift()
    [lost] = Path("mlruns").rglob("features.npy")
    lost.unlink()
    version = find_version(client, NAME, first.digest)
    assert version is not None
    assert version.number == "1"  # version 2 is not whole any more


def test_profile_of_other_rows_is_refused(outputs: StageOutputs) -> None:
    profile = Profile.load(outputs.profile)
    replace(profile, features=profile.features[:5]).save(outputs.profile)
    with pytest.raises(ValueError, match="a profile of 60 images and 5 rows of features"):
        Profile.load(outputs.profile)


@pytest.mark.parametrize("uri", ["net", "models:/net", "models:/@champion", "models:/net/1/x"])
def test_uri_that_names_no_model_is_refused(outputs: StageOutputs, uri: str) -> None:
    with pytest.raises(ValueError, match="give models:/NAME@ALIAS or models:/NAME/NUMBER"):
        named_version(connection.connect(), uri)

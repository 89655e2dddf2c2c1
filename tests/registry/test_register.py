"""Registering, promoting and restoring a real (tiny) model in real stores."""

import io
import json
import os
import shutil
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from brain_tumor.cli.app import app
from brain_tumor.errors import UserError
from brain_tumor.files import read_json, write_json
from brain_tumor.inference import bundle
from brain_tumor.inference.bundle import KEYS, Profile
from brain_tumor.inference.classifier import Classifier
from brain_tumor.outputs import (
    EXPORTED,
    Registered,
    StageOutputs,
)
from brain_tumor.registry import register as registering
from brain_tumor.registry import versions
from brain_tumor.registry.contest import against_guesses, contest
from brain_tumor.registry.register import promote, register, sync
from brain_tumor.report.card import CARD_FILE, REGISTERED_REPORT_FILE, read_card, write_card
from brain_tumor.settings import PreprocessParams, RegisterParams
from brain_tumor.stages.register import main as stage
from brain_tumor.tracking import connection, models
from brain_tumor.tracking.lineage import md5
from brain_tumor.tracking.models import (
    CARD,
    CARD_FACTS,
    REPORT,
    ModelUnusableError,
    describe,
    find_model,
)
from brain_tumor.tracking.runs import NOTE_TAG
from brain_tumor.tracking.signature import SIGNING_KEY, VERIFYING_KEY, SignatureError
from tests.registry.conftest import NAME, PREPROCESS, MakeOutputs, at
from tests.tracking.test_signature import write_keys

pytestmark = [
    pytest.mark.slow,
    pytest.mark.first,
    pytest.mark.usefixtures("own_store", "warm_models"),
]

_FRESH_PROCESS = f"""
import json, sys
from pathlib import Path
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model("models:/{NAME}@champion")
data = Path(sys.argv[1]).read_bytes()
frame = model.predict(pd.DataFrame({{"image": [data, data]}}))
import brain_tumor.inference.classifier as loaded
files = mlflow.artifacts.download_artifacts("models:/{NAME}@champion")
print(json.dumps({{
    "rows": frame.to_dict("records"),
    "module": loaded.__file__,
    "files": sorted(str(p.relative_to(files)) for p in Path(files).rglob("*") if p.is_file()),
}}))
"""


def version(number: str) -> models.Version:
    listed = models.versions(connection.connect(), NAME)
    return next(item for item in listed if item.number == number)


def artifacts_of(item: models.Version) -> Path:
    model: Any = connection.connect().get_logged_model(item.model_id)
    return Path(model.artifact_location)


def test_champion_of_a_moved_store_predicts_raw_bytes_in_a_fresh_process(
    tmp_path: Path,
    make_outputs: MakeOutputs,
    params: RegisterParams,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, after = tmp_path / "before", tmp_path / "after a move"
    monkeypatch.setenv("DVC_ROOT", str(before))
    outputs = make_outputs(before)
    registered = register(outputs, PREPROCESS, params)
    assert (registered.version, registered.alias) == ("1", "champion")
    assert not list(artifacts_of(version("1")).rglob("__pycache__"))
    before.rename(after)
    monkeypatch.setenv("DVC_ROOT", str(after))
    connection.connect()

    image = after / "data" / "yes" / "2.png"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    result = subprocess.run(
        [sys.executable, "-I", "-c", _FRESH_PROCESS, str(image)],
        cwd=elsewhere,
        env=os.environ | {"MLFLOW_TRACKING_URI": connection.tracking_uri()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout.splitlines()[-1])

    folder = find_model(f"models:/{NAME}@champion").bundle
    [[expected]] = Classifier.load(folder).predict([image.read_bytes()])
    assert [row["probability"] for row in answer["rows"]] == [expected.probability] * 2
    assert {row["label"] for row in answer["rows"]} == {expected.label} == {"yes"}
    assert {row["threshold"] for row in answer["rows"]} == {0.5}
    assert Path(answer["module"]).is_relative_to(after / "mlruns")
    wanted = {"MODEL_CARD.md", "model_card.json", "report.html", "training_images.csv"}
    wanted |= {f"evaluation/confusion_{s}.{e}" for s in ("val", "test") for e in ("png", "json")}
    assert wanted <= set(answer["files"])


@pytest.mark.usefixtures("registered")
def test_a_better_model_takes_over_and_a_worse_one_does_not(
    tmp_path: Path, make_outputs: MakeOutputs, params: RegisterParams
) -> None:
    better = register(make_outputs(tmp_path, slope=40.0), PREPROCESS, params)
    assert (better.version, better.alias) == ("2", "champion")
    assert better.decision["champion_version"] == "1"
    assert better.decision["test"]["champion"]["images_per_class"] == 4
    worse = register(make_outputs(tmp_path, slope=-5.0), PREPROCESS, params)
    assert (worse.version, worse.alias) == ("3", "challenger")
    assert "worse by more than" in worse.decision["reason"]
    assert version("2").aliases == ("champion",)
    assert version("3").aliases == ("challenger",)
    assert version("1").aliases == ()
    client = connection.connect()
    stand = {
        number: client.get_run(version(number).run_id).data.tags["registered"]
        for number in ("1", "2", "3")
    }
    assert stand == {
        "1": f"{NAME} version 1 (no alias)",
        "2": f"{NAME} version 2 (@champion)",
        "3": f"{NAME} version 3 (@challenger)",
    }
    pages = [str(client.get_model_version(NAME, number).description) for number in ("2", "3")]
    assert "It became `@champion`: better on validation" in pages[0]
    assert "It became `@challenger`: worse by more than" in pages[1]
    assert f"The champion is [{NAME} version 2]" in client.get_registered_model(NAME).description
    assert f"/runs/{version('2').run_id}" in client.get_registered_model(NAME).description


def test_first_model_that_beats_no_guess_waits_and_says_why(
    tmp_path: Path, make_outputs: MakeOutputs, params: RegisterParams
) -> None:
    outputs = make_outputs(tmp_path, slope=-5.0)  # it takes one class for the other
    result = register(outputs, PREPROCESS, params)
    assert (result.version, result.alias) == ("1", "challenger")
    gains = result.decision["guesses"]["gains"]
    assert set(gains) == {"class_frequencies", "file_metadata"}
    assert all(gain["at_least"] <= 0 for gain in gains.values())
    write_registered(outputs, result)
    assert sync(outputs, PREPROCESS, params).aliases == ("challenger",)
    assert version("1").aliases == ("challenger",)
    assert promote(outputs, params).alias == "challenger"
    assert promote(outputs, params.model_copy(update={"force": True})).alias == "champion"
    assert version("1").aliases == ("champion",)


def test_a_model_must_beat_what_the_files_give_away(
    tmp_path: Path, make_outputs: MakeOutputs, params: RegisterParams
) -> None:
    outputs = make_outputs(tmp_path, slope=20.0)
    honest = against_guesses(outputs)
    for image in (outputs.data / "yes").iterdir():  # another scanner's files
        Image.open(io.BytesIO(image.read_bytes())).convert("RGB").save(image, "PNG")
    telling = against_guesses(outputs)
    assert honest is not None
    assert telling is not None
    assert honest.gains["file_metadata"].is_sure
    assert not telling.gains["file_metadata"].is_sure
    assert telling.gains["class_frequencies"] == honest.gains["class_frequencies"]
    assert against_guesses(outputs) == telling
    table = outputs.predictions.read_text(encoding="utf-8")
    lines = table.splitlines(keepends=True)
    outputs.predictions.write_text("".join(lines[:-2]), encoding="utf-8")
    with pytest.raises(UserError, match=r"predictions\.csv: has no row for yes/10\.png"):
        against_guesses(outputs)
    outputs.predictions.write_text(table.replace("val,0.", "val,O."), encoding="utf-8")
    with pytest.raises(
        UserError, match=r"predictions\.csv: not readable; run `dvc repro evaluate`"
    ):
        against_guesses(outputs)


@pytest.mark.usefixtures("registered")
def test_images_the_champion_was_trained_on_do_not_count(
    tmp_path: Path, make_outputs: MakeOutputs, params: RegisterParams
) -> None:
    moved = make_outputs(
        tmp_path, slope=40.0, split=lambda i: ("val", "train", "test")[i % 3]
    )  # what trained the champion now validates
    result = register(moved, PREPROCESS, params)
    assert result.alias == "challenger"
    assert "no images of both classes are left" in result.decision["reason"]


@pytest.mark.usefixtures("registered")
def test_grown_data_is_scored_without_the_groups_either_was_trained_on(
    tmp_path: Path, make_outputs: MakeOutputs, params: RegisterParams
) -> None:
    # The champion was trained on 0, 3, 6 and 9 of each class.
    test, val = {0, 2, 12, 13}, {1, 4, 14}
    grown = make_outputs(
        tmp_path,
        slope=40.0,
        split=lambda i: "test" if i in test else "val" if i in val else "train",
        groups=[*range(13), 3, *range(14, 18)],  # 13 is a copy of 3
    )
    result = register(grown, PREPROCESS, params)
    assert result.alias == "champion"
    for who in ("this", "champion"):
        assert result.decision["test"][who]["images_per_class"] == 2  # 2 and 12
        assert result.decision["val"][who]["images_per_class"] == 3


@pytest.mark.usefixtures("registered")
def test_same_model_is_registered_once(
    tmp_path: Path, make_outputs: MakeOutputs, params: RegisterParams
) -> None:
    first = version("1")
    again = make_outputs(tmp_path, anew=True)  # saved again: other bytes
    second = register(again, PREPROCESS, params)
    assert (second.version, second.digest, second.alias) == ("1", first.digest, "champion")
    assert len(models.versions(connection.connect(), NAME)) == 1


def test_a_report_made_later_reaches_the_version_that_is_there(
    registered: StageOutputs, params: RegisterParams
) -> None:
    outputs = registered
    before, params_before = version("1"), md5(outputs.params)
    card = read_card(outputs.report / CARD_FILE)
    evidence = ({"folder": "clinic-b", "sensitivity": "0.93"},)
    write_card(outputs.report / CARD_FILE, card.model_copy(update={"external": evidence}))
    (outputs.report / REGISTERED_REPORT_FILE).write_text(
        "<!DOCTYPE html>evidence", encoding="utf-8"
    )
    outputs.params.write_text(outputs.params.read_text() + "# later\n", encoding="utf-8")
    assert register(outputs, PREPROCESS, params).version == "1"
    [after] = models.versions(connection.connect(), NAME)
    kept = {**before.tags, "md5.report": md5(outputs.report)}
    kept["promotion"] = "champion: it is the champion already"
    assert after.tags == kept
    held = artifacts_of(after)
    assert (held / REPORT).read_text(encoding="utf-8").endswith("evidence")
    assert "clinic-b" in (held / CARD).read_text(encoding="utf-8")
    described = read_card(held / CARD_FACTS)
    assert described.external == evidence
    assert described.digest == after.digest
    assert described.lineage["md5.params"] == params_before != md5(outputs.params)  # of the model
    assert described.lineage["md5.report"] == after.tags["md5.report"] != before.tags["md5.report"]


def test_random_weights_do_not_displace_imagenet_unless_forced(
    tmp_path: Path, make_outputs: MakeOutputs, params: RegisterParams
) -> None:
    register(make_outputs(tmp_path, slope=20.0, weights="imagenet"), PREPROCESS, params)
    outputs = make_outputs(tmp_path, slope=40.0, weights="random")
    assert register(outputs, PREPROCESS, params).alias == "challenger"
    forced = params.model_copy(update={"force": True})
    assert register(outputs, PREPROCESS, forced).alias == "champion"
    assert len(models.versions(connection.connect(), NAME)) == 2


def test_version_leads_to_its_run_data_and_figures(registered: StageOutputs) -> None:
    made, written = version("1"), read_json(registered.registered)
    assert made.run_id == written["run_id"]
    assert made.tags["digest"] == written["digest"]
    assert made.tags["data"] == md5(registered.data)
    assert {"commit", "lock"} <= set(made.tags)
    facts = json.loads((artifacts_of(made) / CARD_FACTS).read_text(encoding="utf-8"))
    assert facts["lineage"]["md5.params"] == md5(registered.params)
    assert made.tags["initial_weights"] == "random"
    assert "restored" not in made.tags
    logged: Any = connection.connect().get_logged_model(made.model_id)
    assert json.loads(logged.tags["mlflow.modelVersions"]) == [{"name": NAME, "version": "1"}]
    assert logged.tags["registered"] == f"{NAME} version 1 (@champion)"


@pytest.mark.usefixtures("registered")
def test_champion_that_cannot_be_run_stops_the_registration(
    tmp_path: Path, make_outputs: MakeOutputs, params: RegisterParams
) -> None:
    (artifacts_of(version("1")) / "artifacts/bundle/familiarity.npz").write_bytes(b"torn")
    with pytest.raises(ModelUnusableError, match=r"familiarity\.npz"):
        register(make_outputs(tmp_path, slope=40.0), PREPROCESS, params)
    assert version("1").aliases == ("champion",)


@pytest.mark.parametrize("seam", ["missing_files", "find_model", "after"])
def test_a_twin_deleted_while_it_is_looked_at_is_passed_over(
    seam: str,
    registered: StageOutputs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = connection.connect()
    folder, digest = registering._make_bundle(tmp_path / "made", registered, PREPROCESS)
    with monkeypatch.context() as patch:
        patch.setattr(versions, "_first_twin", lambda _, made: made)  # as if it saw no other
        twin = versions.make_version(
            versions.run_of(registered), NAME, digest, folder, registered, restored=False
        )
    assert (twin.number, twin.digest) == ("2", version("1").digest)
    files = artifacts_of(twin)

    module, name = (versions, "check_bundle") if seam == "after" else (models, seam)
    real = getattr(module, name)

    def delete_first(*given: object) -> object:
        if len(models.versions(client, NAME)) == 2:  # what its maker does when it sees version 1
            client.delete_model_version(NAME, "2")
            client.delete_logged_model(twin.model_id)
            shutil.rmtree(files)
        return real(*given)

    monkeypatch.setattr(module, name, delete_first)
    found = versions.find_version(client, NAME, digest)
    assert found is not None
    assert (found.number, [item.number for item in models.versions(client, NAME)]) == ("1", ["1"])
    assert capsys.readouterr().err == ""


def test_who_made_an_earlier_version_looks_at_no_later_one(
    registered: StageOutputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, first = connection.connect(), version("1")
    models.create_version(client, NAME, first.model_id, first.run_id, "", first.tags)
    seen: list[str] = []

    def look(_: object, item: models.Version) -> bool:
        seen.append(item.number)
        return True

    monkeypatch.setattr(versions, "is_sound", look)
    assert versions._first_twin(client, first) == first
    assert seen == []
    assert versions._first_twin(client, version("2")) == first
    assert seen == ["1"]


@pytest.mark.usefixtures("registered")
def test_missing_raw_images_are_named_when_they_are_needed(
    tmp_path: Path, make_outputs: MakeOutputs, params: RegisterParams
) -> None:
    outputs = make_outputs(tmp_path, slope=40.0)
    shutil.rmtree(outputs.data)
    with pytest.raises(UserError, match=r"data/no/1\.png: missing.*dvc pull"):
        register(outputs, PREPROCESS, params)


def test_champion_that_lost_its_files_gives_way(
    tmp_path: Path,
    make_outputs: MakeOutputs,
    params: RegisterParams,
    capsys: pytest.CaptureFixture[str],
) -> None:
    register(make_outputs(tmp_path, weights="imagenet"), PREPROCESS, params)
    shutil.rmtree(artifacts_of(version("1")))
    result = register(make_outputs(tmp_path, slope=40.0), PREPROCESS, params)
    assert (result.version, result.alias) == ("2", "champion")
    assert "files" in result.decision["reason"]
    assert "has lost files" in capsys.readouterr().err


def test_champion_whose_code_is_laid_out_otherwise_is_contested_and_describes_images(
    tmp_path: Path,
    registered: StageOutputs,
    make_outputs: MakeOutputs,
    params: RegisterParams,
    capsys: pytest.CaptureFixture[str],
) -> None:
    package = artifacts_of(version("1")) / "code/brain_tumor"
    (package / "inference").rename(package / "before")
    for file in [*package.rglob("*.py"), *package.parents[1].glob("*.py")]:
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("brain_tumor.inference", "brain_tumor.before"))
    worse = register(make_outputs(tmp_path / "later", slope=-5.0), PREPROCESS, params)
    assert (worse.alias, worse.decision["champion_version"]) == ("challenger", "1")
    assert worse.decision["test"]["champion"]["images_per_class"] == 4
    assert "has lost files" not in capsys.readouterr().err
    profile = Profile.load(registered.profile)
    rows, features = describe(version("1"), [registered.data / profile.table["path"][0]])
    np.testing.assert_allclose(features, profile.features[:1], rtol=1e-5)
    assert set(rows[0]) == set(profile.table) - set(KEYS)


def test_version_of_unknown_origin_is_reported_and_not_trusted(
    tmp_path: Path,
    make_outputs: MakeOutputs,
    params: RegisterParams,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = connection.connect()
    client.create_registered_model(NAME)
    client.create_model_version(NAME, source=str(tmp_path))
    client.set_registered_model_alias(NAME, "champion", "1")
    result = register(make_outputs(tmp_path), PREPROCESS, params)
    assert (result.version, result.alias) == ("2", "champion")
    assert f"models:/{NAME}/1 has no tag `digest`" in capsys.readouterr().err


def test_interrupted_registration_is_completed_by_the_next(
    tmp_path: Path,
    make_outputs: MakeOutputs,
    params: RegisterParams,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outputs = make_outputs(tmp_path)

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(registering, "judge", interrupt)
        with pytest.raises(KeyboardInterrupt):
            register(outputs, PREPROCESS, params)
    assert version("1").aliases == ()
    result = register(outputs, PREPROCESS, params)
    assert (result.version, result.alias) == ("1", "champion")


def run_stage(folder: Path) -> None:
    with chdir(folder):
        stage()


def test_stage_writes_what_others_rely_on(tmp_path: Path, make_outputs: MakeOutputs) -> None:
    outputs = make_outputs(tmp_path)
    run_stage(tmp_path)
    written = json.loads(outputs.registered.read_text(encoding="utf-8"))
    assert {"name", "version", "alias", "run_id", "digest", "decision"} == set(written)
    assert (written["name"], written["version"], written["alias"]) == (NAME, "1", "champion")


def test_missing_outputs_are_named(
    tmp_path: Path, make_outputs: MakeOutputs, params: RegisterParams
) -> None:
    outputs = make_outputs(tmp_path)
    outputs.predictions.unlink()
    with pytest.raises(UserError, match=r"predictions\.csv: missing; run `dvc pull`"):
        register(outputs, PREPROCESS, params)


class TestSync:
    """`brain-tumor registry sync`."""

    def test_empty_store_is_filled_once_and_no_file_changes(
        self,
        tmp_path: Path,
        registered: StageOutputs,
        params: RegisterParams,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        outputs = registered
        monkeypatch.setenv("DVC_ROOT", str(tmp_path / "clone"))
        before = md5(outputs.manifest.parent)

        first = sync(outputs, PREPROCESS, params)
        assert first.restored
        assert first.aliases == ("champion",)
        made = version("1")
        assert made.tags["restored"] == "true"
        client = connection.connect()
        run = client.get_run(made.run_id)
        assert run.info.status == "FINISHED"
        assert run.data.tags["restored"] == "true"
        assert run.data.params["train.seed"] == "1"
        assert run.data.metrics["test/accuracy"] == 0.75
        assert not [name for name in run.data.metrics if name.endswith(("_low", "_high"))]
        assert run.info.run_name == "mixed0, head only, lr 1e-3"
        assert "| Accuracy | 0.750 (0.500 to 0.900) |" in run.data.tags[NOTE_TAG]
        assert "Registered as [brain-tumor-inceptionv3 version 1]" in run.data.tags[NOTE_TAG]
        kept = {item.path for item in client.list_artifacts(made.run_id)}
        assert {"report.html", "lineage.json", "evaluation"} <= kept
        curve = client.get_metric_history(made.run_id, "val_loss")
        assert [(point.step, point.value) for point in curve] == [(1, 0.6), (2, 0.55)]

        again = sync(outputs, PREPROCESS, params)
        assert not again.restored
        assert again.uri == first.uri
        assert len(models.versions(client, NAME)) == 1
        assert len(client.search_runs([connection.experiment_id(client)])) == 1
        assert md5(outputs.manifest.parent) == before

    def test_lost_files_are_made_again(
        self, registered: StageOutputs, params: RegisterParams
    ) -> None:
        (artifacts_of(version("1")) / "artifacts/bundle/model.keras").unlink()
        mended = sync(registered, PREPROCESS, params)
        assert mended.restored
        assert version("2").aliases == ("champion",)
        assert version("1").aliases == ()
        Classifier.load(find_model(f"models:/{NAME}@champion").bundle)

    @pytest.mark.parametrize("name", [*bundle.FILES, bundle.CONTENT_FILE])
    def test_damaged_file_is_named_and_the_model_is_made_again(
        self,
        registered: StageOutputs,
        params: RegisterParams,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        name: str,
    ) -> None:
        path = artifacts_of(version("1")) / "artifacts/bundle" / name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        with pytest.raises(bundle.DamagedError, match=name.replace(".", r"\.")):
            versions.pull(f"models:/{NAME}/1", tmp_path / "pulled")
        assert not (tmp_path / "pulled").exists()
        assert sync(registered, PREPROCESS, params).restored
        assert f"models:/{NAME}/1 is passed over" in (noted := capsys.readouterr().err)
        assert name in noted
        assert version("2").aliases == ("champion",)
        versions.pull(f"models:/{NAME}@champion", tmp_path / "pulled")

    def test_file_that_was_changed_with_its_digest_is_not_the_registered_one(
        self, registered: StageOutputs, params: RegisterParams
    ) -> None:
        folder = artifacts_of(version("1")) / "artifacts/bundle"
        meta = folder / "model.json"
        meta.write_text(meta.read_text().replace('"threshold": 0.5', '"threshold": 0.9'))
        bundle.seal(folder, bundle.read_content(folder).weights)
        bundle.check(folder)
        assert sync(registered, PREPROCESS, params).restored

    def test_missing_champion_is_set(
        self, registered: StageOutputs, params: RegisterParams
    ) -> None:
        connection.connect().delete_registered_model_alias(NAME, "champion")
        assert not sync(registered, PREPROCESS, params).restored
        assert version("1").aliases == ("champion",)

    def test_nothing_registered_is_an_error_that_helps(
        self, tmp_path: Path, make_outputs: MakeOutputs, params: RegisterParams
    ) -> None:
        with pytest.raises(ValueError, match=r"registered\.json: missing; run `dvc pull`"):
            sync(make_outputs(tmp_path), PREPROCESS, params)

    @pytest.mark.usefixtures("registered")
    def test_outputs_of_another_model_are_refused(
        self,
        tmp_path: Path,
        make_outputs: MakeOutputs,
        params: RegisterParams,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("DVC_ROOT", str(tmp_path / "clone"))
        with pytest.raises(UserError, match="names digest"):
            sync(make_outputs(tmp_path, slope=1.0), PREPROCESS, params)
        assert models.versions(connection.connect(), NAME) == []


def test_a_version_from_before_there_was_an_export_counts_as_whole(
    registered: StageOutputs,
) -> None:
    digest = str(version("1").digest)
    client = connection.connect()
    (artifacts_of(version("1")) / "artifacts/bundle/network.onnx").unlink()
    assert versions.find_version(client, NAME, digest) is None
    for tag in ("md5.export", "sha256.bundle"):
        client.delete_model_version_tag(NAME, "1", tag)
    assert versions.find_version(client, NAME, digest) is not None


def test_digest_is_of_everything_that_decides_a_prediction(
    tmp_path: Path, make_outputs: MakeOutputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = make_outputs(tmp_path)

    def digest(preprocess: PreprocessParams) -> str:
        folder = tmp_path / "bundle"
        shutil.rmtree(folder, ignore_errors=True)
        exported = [outputs.export / name for name in EXPORTED]
        files = [outputs.model, outputs.model_json, *exported]
        return bundle.write(folder, files, preprocess)

    other = PREPROCESS.model_copy(update={"clip_high_percent": 99.0})
    first = digest(PREPROCESS)
    assert digest(other) != first
    assert digest(PREPROCESS) == first
    with monkeypatch.context() as patched:
        patched.setattr(bundle, "brain_network_digest", lambda: "0f" * 32)
        assert digest(PREPROCESS) != first
    make_outputs(tmp_path, slope=21.0)
    assert digest(PREPROCESS) != first


@pytest.mark.usefixtures("registered")
def test_a_whole_bundle_of_another_version_is_refused(
    tmp_path: Path, make_outputs: MakeOutputs, params: RegisterParams
) -> None:
    outputs = make_outputs(tmp_path / "better", slope=40.0)
    register(outputs, PREPROCESS, params)
    first, second = (artifacts_of(version(number)) / "artifacts/bundle" for number in "12")
    shutil.rmtree(second)
    shutil.copytree(first, second)
    image = str(outputs.data / "yes" / "2.png")
    done = CliRunner().invoke(app, ["predict", image, "--model", f"models:/{NAME}/2"])
    assert done.exit_code == 1
    assert f"bundle.json: not the one that was registered as models:/{NAME}/2" in done.stderr
    with pytest.raises(ModelUnusableError, match="not the one that was registered"):
        register(make_outputs(tmp_path / "best", slope=60.0), PREPROCESS, params)


@pytest.mark.usefixtures("registered")
def test_a_version_is_pulled_by_number_or_alias_without_compiled_files(tmp_path: Path) -> None:
    compiled = artifacts_of(version("1")) / "code/brain_tumor/__pycache__"
    compiled.mkdir()
    (compiled / "evil.pyc").write_bytes(b"compiled")
    for name in ("latest", "Production"):
        with pytest.raises(UserError, match="give models:/NAME@ALIAS or models:/NAME/NUMBER"):
            versions.pull(f"models:/{NAME}/{name}", tmp_path / "pulled")
    versions.pull(f"models:/{NAME}/1", tmp_path / "pulled")
    assert not list((tmp_path / "pulled").rglob("__pycache__"))


def test_signed_model_is_read_only_as_it_was_signed(
    tmp_path: Path,
    make_outputs: MakeOutputs,
    params: RegisterParams,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    private, public = write_keys(tmp_path / "keys")
    monkeypatch.setenv(SIGNING_KEY, str(private))
    monkeypatch.setenv(VERIFYING_KEY, str(public))
    outputs = make_outputs(tmp_path)
    write_registered(outputs, register(outputs, PREPROCESS, params))
    champion = f"models:/{NAME}@champion"
    versions.pull(champion, tmp_path / "pulled")
    images = [outputs.data / "yes" / "2.png"]
    assert len(models.predict(version("1"), images)) == 1
    assert not sync(outputs, PREPROCESS, params).restored

    module = artifacts_of(version("1")) / "code/brain_tumor/inference/classifier.py"
    module.write_text(module.read_text(encoding="utf-8") + "\n# evil\n", encoding="utf-8")
    with pytest.raises(SignatureError, match=r"Hash mismatch for 'code/.*classifier\.py'"):
        versions.pull(champion, tmp_path / "again")
    with pytest.raises(ModelUnusableError, match=r"classifier\.py"):
        models.predict(version("1"), images)
    with pytest.raises(ModelUnusableError, match=r"classifier\.py"):
        register(make_outputs(tmp_path / "better", slope=40.0), PREPROCESS, params)
    command = CliRunner().invoke(app, ["predict", str(images[0]), "--model", champion])
    assert command.exit_code == 1
    assert "classifier.py" in command.stderr

    assert sync(outputs, PREPROCESS, params).restored
    versions.pull(champion, tmp_path / "again")


@pytest.mark.usefixtures("registered")
def test_unsigned_model_is_signed_by_sync_where_models_are_verified(
    tmp_path: Path, params: RegisterParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = write_keys(tmp_path / "keys")
    monkeypatch.setenv(VERIFYING_KEY, str(public))
    with pytest.raises(SignatureError, match="not signed"):
        find_model(f"models:/{NAME}@champion")
    with pytest.raises(UserError, match="set BRAIN_TUMOR_SIGNING_KEY"):
        sync(at(tmp_path), PREPROCESS, params)
    monkeypatch.setenv(SIGNING_KEY, str(private))
    assert sync(at(tmp_path), PREPROCESS, params).restored
    assert find_model(f"models:/{NAME}@champion").name == f"{NAME} version 2"


class TestPromotionLeftToCi:
    """With BRAIN_TUMOR_PROMOTE=no a new model waits for `registry promote`."""

    @pytest.mark.usefixtures("registered")
    def test_new_model_waits_and_promote_applies_the_rule(
        self,
        tmp_path: Path,
        make_outputs: MakeOutputs,
        params: RegisterParams,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        better = make_outputs(tmp_path / "better", slope=40.0)
        monkeypatch.setenv("BRAIN_TUMOR_PROMOTE", "no")
        waiting = register(better, PREPROCESS, params)
        write_registered(better, waiting)
        assert waiting.alias == "challenger"
        assert waiting.decision["alias"] == "champion"
        assert version("1").aliases == ("champion",)
        assert sync(better, PREPROCESS, params).aliases == ("challenger",)

        promotion = promote(better, params)

        assert promotion.alias == "champion"
        assert version(waiting.version).aliases == ("champion",)
        assert version("1").aliases == ()
        assert promote(better, params).decision["reason"] == "it is the champion already"

    def test_older_model_comes_back_only_by_force(
        self,
        tmp_path: Path,
        registered: StageOutputs,
        make_outputs: MakeOutputs,
        params: RegisterParams,
    ) -> None:
        register(make_outputs(tmp_path / "new", slope=40.0), PREPROCESS, params)
        assert promote(registered, params).alias == "challenger"
        assert promote(registered, params.model_copy(update={"force": True})).alias == "champion"
        assert version("1").aliases == ("champion",)

    @pytest.mark.usefixtures("registered")
    def test_champion_that_changes_meanwhile_is_contested_too(
        self,
        tmp_path: Path,
        make_outputs: MakeOutputs,
        params: RegisterParams,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        forced = params.model_copy(update={"force": True})
        quick = register(make_outputs(tmp_path / "quick", slope=30.0), PREPROCESS, forced)
        client = connection.connect()
        client.set_registered_model_alias(NAME, "champion", "1")
        contests = []

        def slowly(*given: Any) -> Any:
            outcome = contest(*given)
            contests.append(outcome.champion_version)
            client.set_registered_model_alias(NAME, "champion", quick.version)
            return outcome

        monkeypatch.setattr(registering, "contest", slowly)
        last = register(make_outputs(tmp_path / "last", slope=25.0), PREPROCESS, params)
        assert contests == ["1", quick.version]
        assert last.alias == "challenger"
        assert version(quick.version).aliases == ("champion",)

    def test_model_the_store_does_not_have_is_named(
        self, registered: StageOutputs, params: RegisterParams
    ) -> None:
        written = read_json(registered.registered) | {"digest": "0" * 64}
        write_json(registered.registered, written)
        with pytest.raises(UserError, match="registry sync"):
            promote(registered, params)

    def test_other_values_of_the_variable_are_refused(
        self,
        tmp_path: Path,
        make_outputs: MakeOutputs,
        params: RegisterParams,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("BRAIN_TUMOR_PROMOTE", "maybe")
        with pytest.raises(ValueError, match="'maybe'"):
            register(make_outputs(tmp_path / "any", slope=20.0), PREPROCESS, params)


def write_registered(outputs: StageOutputs, registered: Registered) -> None:
    """As stage register does."""
    registered.write(outputs.registered)

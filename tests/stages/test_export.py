"""The stage as `dvc repro` calls it, on a small model and images that were not trained on."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from typer.testing import Result

from brain_tumor.files import write_json
from brain_tumor.inference import bundle
from brain_tumor.inference.bundle import FAMILIARITY_FILE, FAST_FILE, Profile
from brain_tumor.inference.engine import load_engine
from brain_tumor.inference.export import exported_digest
from brain_tumor.inference.familiarity import Familiarity
from brain_tumor.model import saved
from brain_tumor.outputs import EXPORT_REPORT, write_table
from brain_tumor.shards import write_images
from brain_tumor.stages.export import main
from tests import sections
from tests.inference.toy import toy_network
from tests.model.networks import SIZE_PX, images
from tests.stages.command import invoke

pytestmark = pytest.mark.slow
TRAIN, OTHERS, PHANTOMS = 24, 8, 5


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """Outputs of the stages before; only what trained is there to be read."""
    folder = tmp_path / "outputs"
    pixels = images(TRAIN)
    rng = np.random.default_rng(3)
    paths = [f"no/{n}.png" for n in range(TRAIN + OTHERS)]
    table = pd.DataFrame(
        {
            "path": paths,
            "sha256": "0" * 64,
            "label": "no",
            "split": ["train"] * TRAIN + ["val", "test"] * (OTHERS // 2),
            "cluster": paths,
            "confidence": rng.uniform(0.9, 1, len(paths)),
        }
    )
    write_images(folder / "preprocess" / "images", zip(paths, pixels, strict=False))
    drawn = [f"phantom/{n}.png" for n in range(PHANTOMS)]
    variants = zip(["no/0.png#1", *drawn], images(1 + PHANTOMS), strict=True)
    write_images(folder / "augment" / "images", variants)
    records = pd.DataFrame({"path": ["no/0.png#1", *drawn], "source": ["no/0.png", *drawn]})
    write_table(folder / "augment" / "records.csv", records.assign(label="no"))
    features = rng.normal(0, 1, (TRAIN + OTHERS, 4)).astype(np.float32)
    features[TRAIN:] += 100
    Profile(table, features).save(folder / "profile")
    network = toy_network()
    meta = saved.ModelMeta(
        head="gap",
        head_block=0,
        fine_tuned_blocks=0,
        size_px=SIZE_PX,
        threshold=0.5,
        initial_weights="random",
        initial_weights_sha256="0" * 64,
        parameters=network.count_params(),
        seed=0,
    )
    saved.save_network(folder / "train" / "model.keras", network)
    write_json(folder / "calibrate" / "model.json", meta.model_dump())
    return folder


def run(outputs: Path) -> Result:
    alarms, as_it_is = {"false_alarm_fraction": 0.1}, {"normalisation": "none"}
    sections.write_params(outputs.parent, export=alarms, preprocess=as_it_is)
    return invoke(main, outputs.parent)


def test_what_is_exported_agrees_on_the_training_images_and_knows_only_them(outputs: Path) -> None:
    result = run(outputs)
    assert result.exit_code == 0, result.output
    export = outputs / "export"
    assert {path.name for path in export.iterdir()} == {FAST_FILE, FAMILIARITY_FILE, EXPORT_REPORT}
    report = json.loads((export / EXPORT_REPORT).read_text(encoding="utf-8"))
    files = bundle.sources(
        outputs / "train" / "model.keras",
        outputs / "calibrate" / "model.json",
        export,
    )
    digest = bundle.write(outputs / "bundle", files, sections.preprocess(normalisation="none"))
    assert report["digest"] == exported_digest(export) == digest
    assert report["engine"] == f"onnxruntime {onnxruntime.__version__}"
    assert report["familiar"] == {"images": TRAIN, "clusters": TRAIN, "phantoms": PHANTOMS}
    agreement = report["agreement"]
    assert agreement.pop("images") == TRAIN
    assert set(agreement) == {"probability", "features", "contributions"}
    assert max(agreement.values()) < 1e-4
    keras = load_engine(outputs / "bundle", "keras").see(images(3)).probability
    fast = load_engine(export, "fast").see(images(3)).probability
    np.testing.assert_allclose(fast, keras, atol=1e-5)
    profile = Profile.load(outputs / "profile")
    expected = Familiarity.fit(
        profile.features[:TRAIN],
        profile.table[:TRAIN],
        profile.table["cluster"][:TRAIN].to_numpy(str),
        sections.export(false_alarm_fraction=0.1),
        load_engine(outputs / "bundle", "keras").see(images(1 + PHANTOMS)[1:]).features,
    )
    scores = Familiarity.load(export / FAMILIARITY_FILE).score(profile.features, profile.table)
    assert np.array_equal(scores, expected.score(profile.features, profile.table))
    assert (scores[TRAIN:] > 1).all()


def test_a_training_image_that_is_gone_is_named_in_one_line(outputs: Path) -> None:
    images = Path("outputs/preprocess/images")
    missing = images / min((outputs.parent / images).glob("*.npy")).name
    (outputs.parent / missing).unlink()
    result = run(outputs)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(f"error: {missing}: missing; run `dvc repro`")

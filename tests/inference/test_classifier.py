"""Raw image bytes in, probability of the stored network out."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from brain_tumor.errors import UserError
from brain_tumor.imaging.preprocess import preprocess_image
from brain_tumor.inference import bundle
from brain_tumor.inference.classifier import (
    Classifier,
    Prediction,
)
from brain_tumor.inference.familiarity import REASONS
from brain_tumor.model import saved
from brain_tumor.model.explain import Explainer
from tests import sections
from tests.imaging.drawn_heads import encoded
from tests.imaging.whole_heads import whole_head
from tests.inference.toy import NAME, SIZE_PX, THRESHOLD, disc, write_model

if TYPE_CHECKING:
    from brain_tumor.inference.engine import EngineName

pytestmark = pytest.mark.slow
IMAGES = [disc(80), disc(160, "JPEG"), disc(240, "TIFF")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def classifier(folder: Path) -> Classifier:
    return Classifier.load(folder, "keras", NAME)


def predictions(classifier: Classifier, images: list[bytes]) -> list[Prediction]:
    return [prediction for [prediction] in classifier.predict(images)]


def test_probability_is_that_of_the_network_on_the_preprocessed_image(
    folder: Path, classifier: Classifier
) -> None:
    pixels = [preprocess_image(data, classifier.preprocess).image for data in IMAGES]
    network = saved.load(folder).network
    expected = network(np.stack(pixels)[..., None].astype("float32") / 255).numpy()[:, 0]
    probability = [prediction.probability for prediction in predictions(classifier, IMAGES)]
    assert probability == pytest.approx(expected.tolist(), abs=1e-6)


def test_fast_engine_says_the_same(folder: Path, classifier: Classifier) -> None:
    fast = predictions(Classifier.load(folder, "fast", NAME), IMAGES)
    for prediction, other in zip(fast, predictions(classifier, IMAGES), strict=True):
        assert prediction.probability == pytest.approx(other.probability, abs=1e-3)
        assert prediction.ood_score == pytest.approx(other.ood_score, rel=1e-2)
        assert (prediction.engine, other.engine) == ("onnxruntime", "keras")


def test_label_follows_the_stored_threshold(classifier: Classifier) -> None:
    for prediction in predictions(classifier, IMAGES):
        assert prediction.threshold == THRESHOLD
        assert prediction.label == ("yes" if prediction.probability >= THRESHOLD else "no")
        assert prediction.model == NAME


def test_stored_temperature_calibrates_and_says_so(tmp_path: Path, classifier: Classifier) -> None:
    cooled = predictions(Classifier.load(write_model(tmp_path / "cooled", temperature=2.0)), IMAGES)
    for prediction, plain in zip(cooled, predictions(classifier, IMAGES), strict=True):
        odds = plain.probability / (1 - plain.probability)
        assert prediction.probability == pytest.approx(odds**0.5 / (1 + odds**0.5), abs=1e-6)
        assert (prediction.calibrated, plain.calibrated) == (True, False)


def test_order_and_number_of_images_do_not_matter(classifier: Classifier) -> None:
    alone = [predictions(classifier, [data])[0].probability for data in IMAGES]
    many = [prediction.probability for prediction in predictions(classifier, IMAGES[::-1] * 12)]
    assert many == pytest.approx(alone[::-1] * 12, abs=1e-6)
    assert classifier.predict([]) == []


def test_a_familiar_picture_is_not_flagged_and_a_blank_one_is(classifier: Classifier) -> None:
    familiar, blank = predictions(classifier, [disc(155), disc(0)])
    assert not familiar.out_of_distribution
    assert blank.out_of_distribution
    assert blank.ood_score > 1 > familiar.ood_score
    assert any(reason in blank.warnings for reason in REASONS)


def test_contributions_add_up_to_the_logit(folder: Path, classifier: Classifier) -> None:
    [finding] = classifier.examine(IMAGES[0])
    logit = finding.contributions.sum() + Explainer(saved.load(folder).network).bias
    assert 1 / (1 + np.exp(-logit)) == pytest.approx(finding.prediction.probability, abs=1e-5)


@pytest.mark.parametrize("bad", [b"", b"not an image", IMAGES[0][:200]])
def test_bad_image_is_named_by_its_index(classifier: Classifier, bad: bytes) -> None:
    with pytest.raises(UserError, match="image 33: cannot decode"):
        classifier.predict([*IMAGES * 11, bad])


def test_warnings_tell_how_a_picture_was_aligned(classifier: Classifier) -> None:
    aligning = replace(classifier, preprocess=sections.preprocess(size_px=SIZE_PX))
    head = whole_head(4, "axial").image
    noise = np.random.default_rng(0).integers(0, 256, (200, 240), dtype=np.uint8)
    pictures = [encoded(picture) for picture in (head, head[::-1, ::-1], noise)]
    upright, turned, fallback = (
        [text for text in prediction.warnings if "turned" in text or "aligned" in text]
        for [prediction] in aligning.predict(pictures)
    )
    assert upright == []
    assert re.fullmatch(r"turned by 1[678]\d degrees: it was judged upright", *turned)
    assert re.fullmatch(r"its brain could not be aligned \(.+\): the whole head .*", *fallback)


@pytest.mark.parametrize("name", [*bundle.FILES, bundle.CONTENT_FILE])
@pytest.mark.parametrize("at", [0.0, 0.5, 1.0])
def test_damaged_file_is_named(folder: Path, tmp_path: Path, name: str, at: float) -> None:
    for path in folder.iterdir():
        data = bytearray(path.read_bytes())
        if path.name == name:
            data[round(at * (len(data) - 2))] ^= 4
        (tmp_path / path.name).write_bytes(data)
    engine: EngineName = "fast" if name == bundle.FAST_FILE else "keras"
    with pytest.raises(bundle.DamagedError, match=name.replace(".", r"\.")):
        Classifier.load(tmp_path, engine)


def test_model_of_another_brain_network_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "brain_network_digest", lambda: "0f" * 32)
    assert not bundle.is_aligned_alike(folder)
    with pytest.raises(UserError, match="another network that finds the brain"):
        Classifier.load(folder)


@pytest.mark.parametrize("name", bundle.FILES)
def test_missing_file_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    for path in folder.iterdir():
        if path.name != name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    engine: EngineName = "fast" if name == bundle.FAST_FILE else "keras"
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        Classifier.load(tmp_path, engine)

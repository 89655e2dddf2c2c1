"""Raw image bytes in, probability of the stored network out."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.preprocess import preprocess_image
from brain_tumor.imaging.preprocess_params import PreprocessParams
from brain_tumor.inference import bundle
from brain_tumor.inference.classifier import Classifier, PredictionError
from brain_tumor.model import saved

pytestmark = pytest.mark.slow
SIZE_PX = 75
THRESHOLD = 0.6


def disc(brightness: float, kind: str = "PNG") -> bytes:
    y, x = np.mgrid[-1:1:90j, -1:1:120j]
    image = np.where(x**2 + y**2 < 0.7, brightness * (1 + x) / 2, 0)
    buffer = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(buffer, kind)
    return buffer.getvalue()


IMAGES = [disc(80), disc(160, "JPEG"), disc(240, "TIFF")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((SIZE_PX, SIZE_PX, 1))
    features = keras.layers.Conv2D(4, 5, strides=4, activation="relu")(inputs)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    network = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(pooled))
    meta = saved.ModelMeta(
        head="gap",
        head_block=0,
        fine_tuned_blocks=0,
        size_px=SIZE_PX,
        threshold=THRESHOLD,
        initial_weights="random",
        initial_weights_sha256="0" * 64,
        parameters=network.count_params(),
        seed=0,
    )
    made, stages = tmp_path_factory.mktemp("bundle"), tmp_path_factory.mktemp("stages")
    saved.save(stages, network, meta)
    grid = np.zeros((1, 128, 128), dtype=np.uint8)
    Atlas(grid, grid > 0, ("axial",), np.zeros(1), np.zeros(1, bool)).save(stages / "atlas.npz")
    bundle.write(
        made,
        stages / "model.keras",
        stages / "model.json",
        stages / "atlas.npz",
        PreprocessParams(normalisation="none", size_px=SIZE_PX),
    )
    return made


def test_probability_is_that_of_the_network_on_the_preprocessed_image(folder: Path) -> None:
    classifier = Classifier.load(folder)
    pixels = [preprocess_image(data, None, classifier.preprocess).image for data in IMAGES]
    network = saved.load(folder).network
    expected = network(np.stack(pixels)[..., None].astype("float32") / 255).numpy()[:, 0]
    found = [one.probability for one in classifier.predict(IMAGES)]
    assert found == pytest.approx(expected.tolist(), abs=1e-6)


def test_label_follows_the_stored_threshold(folder: Path) -> None:
    for one in Classifier.load(folder).predict(IMAGES):
        assert one.threshold == THRESHOLD
        assert one.label == ("yes" if one.probability >= THRESHOLD else "no")


def test_order_and_number_of_images_do_not_matter(folder: Path) -> None:
    classifier = Classifier.load(folder)
    alone = [classifier.predict([data])[0].probability for data in IMAGES]
    many = [one.probability for one in classifier.predict(IMAGES[::-1] * 12)]
    assert many == pytest.approx(alone[::-1] * 12, abs=1e-6)
    assert classifier.predict([]) == []


@pytest.mark.parametrize("bad", [b"", b"not an image", IMAGES[0][:200]])
def test_bad_image_is_named_by_its_index(folder: Path, bad: bytes) -> None:
    images = [*IMAGES * 11, bad]
    with pytest.raises(PredictionError, match="image 33: cannot decode"):
        Classifier.load(folder).predict(images)


@pytest.mark.parametrize("name", bundle.FILES)
def test_missing_file_is_named(folder: Path, tmp_path: Path, name: str) -> None:
    for path in folder.iterdir():
        if path.name != name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match=name.replace(".", r"\.")):
        Classifier.load(tmp_path)

"""Where the initial weights come from, and what happens when they cannot be had."""

import hashlib
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from brain_tumor.model.backbone import prepare
from brain_tumor.outputs import InitialWeights
from brain_tumor.settings import BackboneParams

pytestmark = pytest.mark.slow


def write(path: Path, source: str, seed: int = 0) -> InitialWeights:
    return prepare(path, BackboneParams(source=source, seed=seed), lambda uri: Path(uri[8:]))


@pytest.fixture
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every download goes to a closed port of this machine; nothing is cached."""
    # urllib keeps the proxies of its first request for the life of the process.
    monkeypatch.setattr(urllib.request, "_opener", None)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))


def test_random_weights_repeat_byte_for_byte(tmp_path: Path, random_weights: Path) -> None:
    initial = write(tmp_path / "again.weights.h5", "random")
    assert initial.sha256 == hashlib.sha256(random_weights.read_bytes()).hexdigest()
    assert write(tmp_path / "other.weights.h5", "random", seed=1).sha256 != initial.sha256


def test_weights_from_a_file_are_that_files(tmp_path: Path, random_weights: Path) -> None:
    initial = write(tmp_path / "copy.weights.h5", str(random_weights))
    assert (initial.source, initial.requested) == (random_weights.name, random_weights.name)
    assert (tmp_path / "copy.weights.h5").read_bytes() == random_weights.read_bytes()


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.weights\.h5: missing; weights of"):
        write(tmp_path / "w.weights.h5", "nowhere.weights.h5")
    assert list(tmp_path.iterdir()) == []


def test_file_that_is_no_weights_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.weights.h5"
    bad.write_bytes(b"not hdf5")
    with pytest.raises(ValueError, match=r"bad\.weights\.h5: not readable; weights of a Keras"):
        write(tmp_path / "w.weights.h5", str(bad))


@pytest.mark.usefixtures("no_network")
def test_imagenet_out_of_reach_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot be fetched.*Connect once"):
        write(tmp_path / "w.weights.h5", "imagenet")


@pytest.mark.usefixtures("no_network")
def test_auto_falls_back_to_random_and_says_how_to_redo_it(tmp_path: Path) -> None:
    initial = write(tmp_path / "w.weights.h5", "auto")
    assert initial.source == "random"
    assert "dvc repro -f backbone" in initial.note


def test_registered_model_gives_back_the_trunk_it_was_trained_on(
    tmp_path: Path, random_weights: Path
) -> None:
    from brain_tumor.model import network, saved

    net = network.build(
        random_weights, head="gap", head_block=4, fine_tune_blocks=2, dropout=0.0, size_px=75
    )
    meta = saved.ModelMeta(
        head="gap",
        head_block=4,
        fine_tuned_blocks=2,
        size_px=75,
        threshold=0.5,
        initial_weights="random",
        initial_weights_sha256="",
        parameters=net.whole.count_params(),
        seed=0,
    )
    saved.save(tmp_path / "model", net.whole, meta)
    initial = write(tmp_path / "w.weights.h5", f"models:/{tmp_path / 'model'}", seed=5)
    assert initial.complete_to_block == 4
    trunks = [network.inception_v3(), network.inception_v3()]
    trunks[0].load_weights(random_weights)
    trunks[1].load_weights(tmp_path / "w.weights.h5")
    x = np.random.default_rng(0).random((1, 75, 75, 3), dtype=np.float32)
    import keras

    parts = [keras.Model(t.input, [t.get_layer("mixed4").output, t.output])(x) for t in trunks]
    np.testing.assert_array_equal(parts[0][0], parts[1][0])
    assert not np.array_equal(parts[0][1], parts[1][1])  # above the head: random, seed 5

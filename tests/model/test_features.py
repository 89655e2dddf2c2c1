"""Features of the frozen trunk are what the network would give, and are computed once."""

import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_tumor.model import features
from brain_tumor.model.feature_cache import Entry, FeatureCache
from brain_tumor.model.features import Output, Trunk, output_shape, stored_bytes, trunk_outputs

SIZE_PX = 75
VECTORS, MAPS = Output(2, "gap"), Output(1, "maps")
EVERY_KIND = (
    VECTORS,
    MAPS,
    Output(1, "maps", "bfloat16"),
    Output(-1, "maps", "float16"),
    Output(3, "paper"),
)


def pictures(seed: int = 0, count: int = 5) -> NDArray[np.uint8]:
    drawn = np.random.default_rng(seed).integers(0, 256, (count, SIZE_PX, SIZE_PX))
    return drawn.astype(np.uint8)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache", 10**9)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[set[Output]]:
    """What each pass over the images computed; the passes are made as usual."""
    passes: list[set[Output]] = []
    compute = features._compute

    def counted(
        weights: Path,
        images: NDArray[np.uint8],
        missing: dict[Output, Entry],
        to: FeatureCache,
        keep: Sequence[Entry],
    ) -> None:
        passes.append(set(missing))
        compute(weights, images, missing, to, keep)

    monkeypatch.setattr(features, "_compute", counted)
    return passes


def names(cache: FeatureCache) -> set[str]:
    return {path.name for path in cache.folder.glob("*.npy")}


def whole(weights: Path, images: NDArray[np.uint8], wanted: Sequence[Output]) -> list[Any]:
    """The outputs of the whole InceptionV3, computed at once, without trunk or cache."""
    import keras

    from brain_tumor.model import network

    full = network.inception_v3()
    full.load_weights(weights)
    blocks = [network._block_output(full, output.block) for output in wanted]
    unit = images[..., np.newaxis].repeat(3, axis=-1).astype(np.float32) / 255
    maps = keras.Model(full.input, blocks)(unit * 2 - 1, training=False)
    forms = {
        "maps": lambda values: values,
        "gap": lambda values: values.mean(axis=(1, 2)),
        "paper": lambda values: values.reshape(len(values), -1),
    }
    return [
        forms[output.form](np.asarray(values)) for output, values in zip(wanted, maps, strict=True)
    ]


@pytest.mark.slow
def test_outputs_are_those_of_the_network(random_weights: Path, cache: FeatureCache) -> None:
    images, wanted = pictures(), (VECTORS, MAPS, Output(-1, "maps"), Output(3, "paper"))
    arrays = trunk_outputs(random_weights, images, wanted, cache)
    for output, array, expected in zip(
        wanted, arrays, whole(random_weights, images, wanted), strict=True
    ):
        assert array.shape == expected.shape, output
        assert array.dtype == np.float32
        difference = np.abs(array - expected).max()
        assert difference <= 1e-5 * np.abs(expected).max(), output


@pytest.mark.slow
def test_each_image_has_its_row_over_several_batches(
    random_weights: Path, cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pictures()
    (at_once,) = trunk_outputs(random_weights, images, [VECTORS], cache)
    monkeypatch.setattr(features, "BATCH", 2)
    other = FeatureCache(cache.folder.parent / "other", 10**9)
    (in_parts,) = trunk_outputs(random_weights, images, [VECTORS], other)
    np.testing.assert_allclose(in_parts[:], at_once[:], rtol=1e-4, atol=1e-6 * at_once[:].max())
    assert len(np.unique(in_parts[:], axis=0)) == len(images)


@pytest.mark.slow
@pytest.mark.parametrize("number_format", ["bfloat16", "float16"])
def test_half_precision_maps_are_the_rounded_float32_maps(
    random_weights: Path, cache: FeatureCache, number_format: str
) -> None:
    half_wanted = Output(MAPS.block, "maps", number_format)
    full, half = trunk_outputs(random_weights, pictures(), [MAPS, half_wanted], cache)
    assert half.dtype.name == number_format
    np.testing.assert_array_equal(half, full[:].astype(half.dtype))


@pytest.mark.slow
def test_second_call_computes_nothing(
    random_weights: Path, cache: FeatureCache, computed: list[set[Output]]
) -> None:
    first = trunk_outputs(random_weights, pictures(), EVERY_KIND, cache)
    second = trunk_outputs(random_weights, pictures(), EVERY_KIND[::-1], cache)
    assert computed == [set(EVERY_KIND)]
    for array, same_array in zip(first, second[::-1], strict=True):
        np.testing.assert_array_equal(array, same_array)


@pytest.mark.slow
def test_only_what_is_missing_is_computed(
    random_weights: Path, cache: FeatureCache, computed: list[set[Output]]
) -> None:
    trunk_outputs(random_weights, pictures(), [VECTORS], cache)
    trunk_outputs(random_weights, pictures(), [VECTORS, MAPS], cache)
    assert computed == [{VECTORS}, {MAPS}]


@pytest.mark.slow
def test_other_images_and_other_weights_have_entries_of_their_own(
    random_weights: Path, cache: FeatureCache, computed: list[set[Output]], tmp_path: Path
) -> None:
    from brain_tumor.model.backbone import prepare
    from brain_tumor.settings import BackboneParams

    other_weights = tmp_path / "other.weights.h5"
    prepare(other_weights, BackboneParams(source="random", seed=1), Path)
    one_pixel = pictures()
    one_pixel[0, 0, 0] ^= 1
    cases = [
        (random_weights, pictures()),
        (other_weights, pictures()),
        (random_weights, one_pixel),
        (random_weights, pictures()[::-1]),
    ]
    arrays = [trunk_outputs(weights, images, [VECTORS], cache)[0] for weights, images in cases]
    assert len(computed) == len(names(cache)) == len(cases)
    assert not np.allclose(arrays[0][:], arrays[1][:])
    np.testing.assert_allclose(arrays[0][::-1], arrays[3][:], rtol=1e-4)


@pytest.mark.slow
def test_weights_are_known_by_content_not_by_name(
    random_weights: Path, cache: FeatureCache, computed: list[set[Output]], tmp_path: Path
) -> None:
    copied = tmp_path / "copied.weights.h5"
    shutil.copy(random_weights, copied)
    trunk_outputs(random_weights, pictures(), [VECTORS], cache)
    trunk_outputs(copied, pictures(), [VECTORS], cache)
    assert len(computed) == 1


@pytest.mark.slow
def test_images_and_weights_are_hashed_once(
    random_weights: Path, cache: FeatureCache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    weights, images = tmp_path / "own.weights.h5", pictures()
    shutil.copy(random_weights, weights)
    trunk_outputs(weights, images, [VECTORS], cache)
    with monkeypatch.context() as patch:
        patch.setattr(features, "hashlib", None)
        trunk_outputs(weights, images, [VECTORS], cache)
    with pytest.raises(ValueError, match="read-only"):
        images[0, 0, 0] ^= 1
    digest = features._file_digest(weights)
    with weights.open("ab") as file:
        file.write(b"more")
    assert features._file_digest(weights) != digest
    del images
    assert features._images_digest(pictures()[::-1]) != features._images_digest(pictures())


@pytest.mark.slow
def test_cache_may_be_deleted_at_any_time(
    random_weights: Path, cache: FeatureCache, computed: list[set[Output]]
) -> None:
    (first,) = trunk_outputs(random_weights, pictures(), [MAPS], cache)
    shutil.rmtree(cache.folder)
    (second,) = trunk_outputs(random_weights, pictures(), [MAPS], cache)
    np.testing.assert_array_equal(first, second)  # the deleted file stays readable while open
    assert len(computed) == 2


@pytest.mark.slow
def test_damaged_entry_is_computed_again(
    random_weights: Path, cache: FeatureCache, computed: list[set[Output]]
) -> None:
    (first,) = trunk_outputs(random_weights, pictures(), [VECTORS], cache)
    kept = np.array(first)
    (file,) = cache.folder.glob("*.npy")
    file.write_bytes(file.read_bytes()[:-100])
    (second,) = trunk_outputs(random_weights, pictures(), [VECTORS], cache)
    np.testing.assert_array_equal(second, kept)
    assert len(computed) == 2


@pytest.mark.slow
def test_missing_weights_are_named(cache: FeatureCache, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.weights\.h5: missing; run `dvc repro backbone`"):
        trunk_outputs(tmp_path / "gone.weights.h5", pictures(), [VECTORS], cache)


@pytest.mark.slow
def test_stored_bytes_are_those_of_the_files(random_weights: Path, cache: FeatureCache) -> None:
    trunk_outputs(random_weights, pictures(), EVERY_KIND, cache)
    assert stored_bytes(EVERY_KIND, pictures()) == size(cache)


@pytest.mark.slow
@pytest.mark.parametrize("size_px", [75, 110, 299])
def test_shape_of_an_output_is_known_without_the_network(size_px: int) -> None:
    import keras

    full = keras.applications.InceptionV3(
        include_top=False, weights=None, input_shape=(size_px, size_px, 3)
    )
    for block in range(11):
        shape = full.get_layer(f"mixed{block}").output.shape[1:]
        assert output_shape(block, "maps", size_px) == shape
        assert output_shape(block, "gap", size_px) == shape[-1:]
        assert output_shape(block, "paper", size_px) == (int(np.prod(shape)),)


def size(cache: FeatureCache) -> int:
    return sum(path.stat().st_size for path in cache.folder.glob("*.npy"))


@pytest.mark.slow
def test_what_does_not_fit_is_computed_when_it_is_asked_for(
    random_weights: Path, cache: FeatureCache, capsys: pytest.CaptureFixture[str]
) -> None:
    images = pictures()
    stored = trunk_outputs(random_weights, images, [VECTORS, MAPS], cache)
    rows = np.array([4, 0, 2])
    for wanted, kept in (([VECTORS, MAPS], 1), ([MAPS], 0), ([VECTORS, MAPS], 0)):
        bound = stored_bytes([VECTORS], images) - (not kept)
        small = FeatureCache(cache.folder.parent / f"small{len(wanted)}{kept}", bound)
        outputs = trunk_outputs(random_weights, images, wanted, small)
        for output, computed in zip(wanted, outputs, strict=True):
            (whole,) = [one for one, what in zip(stored, (VECTORS, MAPS), strict=True)
                        if what == output]  # fmt: skip
            assert (computed.shape, computed.dtype) == (whole.shape, whole.dtype)
            near = 1e-6 * float(whole[:].max())
            np.testing.assert_allclose(computed[rows], whole[rows], rtol=1e-4, atol=near)
            np.testing.assert_allclose(computed[1:3], whole[1:3], rtol=1e-4, atol=near)
        assert size(small) <= bound
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert len(lines) == 2  # said once of each
    assert "more than BRAIN_TUMOR_CACHE_GB allows" in lines[0]


COUNT = """
import sys
from pathlib import Path
import numpy as np
from brain_tumor.model import features, network
from brain_tumor.model.feature_cache import FeatureCache

class Trunk:
    def predict_on_batch(self, x):
        with open(sys.argv[2], "a") as log:
            log.write("pass\\n")
        return x.reshape(len(x), -1)[:, :192]

network.trunk = lambda *_: Trunk()
images = np.arange(3 * 75 * 75, dtype=np.uint8).reshape(3, 75, 75)
cache = FeatureCache(Path(sys.argv[1]), 10**6)
weights = Path(sys.argv[3])
(found,) = features.trunk_outputs(weights, images, [features.Output(-1, "gap")], cache)
print(float(np.asarray(found, dtype=np.float64).sum()))
"""


@pytest.mark.slow
def test_processes_that_want_the_same_compute_it_once(cache: FeatureCache, tmp_path: Path) -> None:
    log, weights = tmp_path / "log", tmp_path / "weights"
    weights.write_bytes(b"w")
    command = [sys.executable, "-W", "ignore", "-c", COUNT, str(cache.folder), str(log)]
    running = [
        subprocess.Popen([*command, str(weights)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = {process.communicate()[0] for process in running}
    assert len(answers) == 1
    assert log.read_text() == "pass\n"


@pytest.mark.slow
def test_a_trunk_that_was_sent_elsewhere_gives_the_same_and_leaves_no_file(
    random_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, temporary = tmp_path / "own.weights.h5", tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    shutil.copy(random_weights, weights)
    trunk = Trunk(weights, SIZE_PX, EVERY_KIND)
    here, sent = trunk(pictures()), pickle.dumps(trunk)
    weights.unlink()
    there = pickle.loads(sent)(pickle.loads(pickle.dumps(pictures())))
    for array, other in zip(here, there, strict=True):
        assert array.dtype == other.dtype
        np.testing.assert_array_equal(array, other)
    assert not list(temporary.iterdir())

"""Features of the frozen trunk are what the network would give, and are computed once."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_tumor.errors import UserError
from brain_tumor.model import features
from brain_tumor.model.features import (
    Entry,
    FeatureCache,
    Output,
    default_cache,
    output_shape,
    stored_bytes,
    trunk_outputs,
)
from tests.damage import DAMAGES, Damage

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


FLOAT = np.dtype(np.float32)


def entry(name: str, rows: int = 10) -> Entry:
    return Entry(name, (rows, 25), FLOAT)


def put(small_cache: FeatureCache, wanted: Entry, value: float = 1.0) -> None:
    array = np.full(wanted.shape, value, wanted.dtype)
    with small_cache.alone(), small_cache.writing([wanted]) as (file,):
        file.write(array.tobytes())


def entry_names(small_cache: FeatureCache) -> list[str]:
    return sorted(path.name for path in small_cache.folder.iterdir() if path.suffix != ".lock")


@pytest.fixture
def small_cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache", 10_000)


def size(cache: FeatureCache) -> int:
    return sum(path.stat().st_size for path in cache.folder.glob("*.npy"))


def test_what_was_written_is_read(small_cache: FeatureCache) -> None:
    put(small_cache, entry("a"), 3.0)
    arrays = small_cache.read([entry("a")])
    assert arrays is not None
    np.testing.assert_array_equal(arrays[0], np.full((10, 25), 3.0))


def test_bfloat16_survives_the_file(small_cache: FeatureCache) -> None:
    from ml_dtypes import bfloat16

    wanted = Entry("b", (3, 2), np.dtype(bfloat16))
    array = np.arange(6).reshape(3, 2).astype(bfloat16) / 7
    with small_cache.alone(), small_cache.writing([wanted]) as (file,):
        file.write(array.tobytes())
    arrays = small_cache.read([wanted])
    assert arrays is not None
    assert arrays[0].dtype == bfloat16
    np.testing.assert_array_equal(arrays[0], array)


def flip_one_bit(path: Path) -> None:
    """Of a number: nothing but a sum tells."""
    content = bytearray(path.read_bytes())
    content[-300] ^= 1
    path.write_bytes(bytes(content))


FILE_DAMAGES = {**DAMAGES, "flip_one_bit": flip_one_bit}


@pytest.mark.parametrize("damage", FILE_DAMAGES.values(), ids=FILE_DAMAGES)
def test_damaged_file_is_named_once_and_counts_as_missing(
    damage: Damage, small_cache: FeatureCache, capsys: pytest.CaptureFixture[str]
) -> None:
    put(small_cache, entry("a"))
    path = small_cache.folder / entry("a").file
    damage(path)
    for _ in range(2):
        assert small_cache.read([entry("a")]) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"note: {path}: not readable; it is computed again: ")
    put(small_cache, entry("a"))
    assert small_cache.read([entry("a")]) is not None
    assert not capsys.readouterr().err


def test_entry_of_another_shape_counts_as_missing(small_cache: FeatureCache) -> None:
    put(small_cache, entry("a"))
    assert small_cache.read([Entry("a", (10, 26), FLOAT)]) is None


def test_file_is_summed_once(small_cache: FeatureCache) -> None:
    put(small_cache, entry("a"))
    assert small_cache.read([entry("a")]) is not None
    flip_one_bit(small_cache.folder / entry("a").file)  # in place: the same file to its readers
    assert small_cache.read([entry("a")]) is not None


def test_failed_write_leaves_nothing(small_cache: FeatureCache) -> None:
    def fail() -> None:
        with small_cache.alone(), small_cache.writing([entry("a"), entry("b")]) as files:
            files[0].write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert entry_names(small_cache) == []


def test_longest_unused_makes_room(small_cache: FeatureCache) -> None:
    for age, name in enumerate("abc"):  # 1000 bytes and a header each
        put(small_cache, entry(name))
        os.utime(small_cache.folder / entry(name).file, (age, age))
    assert small_cache.read([entry("a")]) is not None  # used now
    put(small_cache, entry("d", rows=75))
    assert entry_names(small_cache) == ["a.npy", "c.npy", "d.npy"]


def test_what_the_same_call_needs_is_not_evicted(small_cache: FeatureCache) -> None:
    put(small_cache, entry("vectors"))
    maps = entry("maps", rows=85)
    with small_cache.alone(), small_cache.writing([maps], keep=[entry("vectors"), maps]) as (file,):
        file.write(bytes(maps.nbytes))
    assert small_cache.read([entry("vectors"), maps]) is not None


def test_array_in_use_survives_its_eviction(small_cache: FeatureCache) -> None:
    put(small_cache, entry("a"), 5.0)
    arrays = small_cache.read([entry("a")])
    put(small_cache, entry("big", rows=90))
    assert entry_names(small_cache) == ["big.npy"]
    assert arrays is not None
    assert float(arrays[0][:].sum()) == 5.0 * 250


def test_what_is_larger_than_the_bound_is_not_written(small_cache: FeatureCache) -> None:
    put(small_cache, entry("a"))
    with pytest.raises(ValueError, match=r"do not fit into 10000"):
        put(small_cache, entry("huge", rows=100))  # header and sum are what is too much
    assert entry_names(small_cache) == ["a.npy"]


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


HOLD = """
import sys, time
from pathlib import Path
import numpy as np
from brain_tumor.model.features import Entry, FeatureCache
cache = FeatureCache(Path(sys.argv[1]), 10_000)
with cache.alone(), cache.writing([Entry("a", (10, 25), np.dtype("float32"))]) as (file,):
    file.write(b"half of it")
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""


def test_killed_writer_leaves_nothing_and_lets_go(small_cache: FeatureCache) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(small_cache.folder)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    assert small_cache.read([entry("a")]) is None
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    started = time.monotonic()
    put(small_cache, entry("b"))
    assert time.monotonic() - started < 10
    assert entry_names(small_cache) == ["b.npy"]


COUNT = """
import sys
from pathlib import Path
import numpy as np
from brain_tumor.model import features, network
from brain_tumor.model.features import FeatureCache

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
def test_processes_that_want_the_same_compute_it_once(
    small_cache: FeatureCache, tmp_path: Path
) -> None:
    log, weights = tmp_path / "log", tmp_path / "weights"
    weights.write_bytes(b"w")
    command = [sys.executable, "-W", "ignore", "-c", COUNT, str(small_cache.folder), str(log)]
    running = [
        subprocess.Popen([*command, str(weights)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = {process.communicate()[0] for process in running}
    assert len(answers) == 1
    assert log.read_text() == "pass\n"


def test_cache_that_cannot_be_written_names_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"file/cache.*BRAIN_TUMOR_CACHE"):
        put(FeatureCache(tmp_path / "file" / "cache", 10), entry("a"))


def test_lock_that_cannot_be_taken_names_the_folder(small_cache: FeatureCache) -> None:
    (small_cache.folder / "cache.lock").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cache\.lock.*BRAIN_TUMOR_CACHE"):
        put(small_cache, entry("a"))


def test_environment_names_folder_and_size(tmp_path: Path, monkeypatch: Any) -> None:
    assert default_cache() == FeatureCache(tmp_path / ".cache" / "features", 10_000_000_000)
    monkeypatch.setenv(features.FOLDER_VARIABLE, str(tmp_path / "other"))
    monkeypatch.setenv(features.SIZE_VARIABLE, "0.5")
    assert default_cache() == FeatureCache(tmp_path / "other", 500_000_000)


@pytest.mark.parametrize("size", ["0", "-1", "many", "nan", "inf"])
def test_unusable_size_is_named(size: str, monkeypatch: Any) -> None:
    monkeypatch.setenv(features.SIZE_VARIABLE, size)
    with pytest.raises(UserError, match=f"BRAIN_TUMOR_CACHE_GB={size}"):
        default_cache()

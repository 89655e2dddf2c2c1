"""The feature cache: whole or absent, shared by processes, bounded, disposable."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_tumor.model import feature_cache
from brain_tumor.model.feature_cache import CacheError, Entry, FeatureCache, default_cache

FLOAT = np.dtype(np.float32)


def entry(name: str, rows: int = 10) -> Entry:
    return Entry(name, (rows, 25), FLOAT)


def put(small_cache: FeatureCache, wanted: Entry, value: float = 1.0) -> None:
    array = np.full(wanted.shape, value, wanted.dtype)
    with small_cache.alone(), small_cache.writing([wanted]) as (file,):
        file.write(array.tobytes())


def names(small_cache: FeatureCache) -> list[str]:
    return sorted(path.name for path in small_cache.folder.iterdir() if path.suffix != ".lock")


@pytest.fixture
def small_cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache", 10_000)


def test_what_was_written_is_read_memory_mapped_and_read_only(small_cache: FeatureCache) -> None:
    put(small_cache, entry("a"), 3.0)
    found = small_cache.read([entry("a")])
    assert found is not None
    assert isinstance(found[0], np.memmap)
    np.testing.assert_array_equal(found[0], np.full((10, 25), 3.0))
    with pytest.raises(ValueError, match="read-only"):
        found[0][0, 0] = 1


def test_bfloat16_survives_the_file(small_cache: FeatureCache) -> None:
    from ml_dtypes import bfloat16

    wanted = Entry("b", (3, 2), np.dtype(bfloat16))
    array = np.arange(6).reshape(3, 2).astype(bfloat16) / 7
    with small_cache.alone(), small_cache.writing([wanted]) as (file,):
        file.write(array.tobytes())
    found = small_cache.read([wanted])
    assert found is not None
    assert found[0].dtype == bfloat16
    np.testing.assert_array_equal(found[0], array)


@pytest.mark.parametrize("content", [b"", b"rubbish", None])
def test_damaged_file_counts_as_missing(small_cache: FeatureCache, content: bytes | None) -> None:
    put(small_cache, entry("a"))
    path = small_cache.folder / entry("a").file
    path.write_bytes(path.read_bytes()[:-8] if content is None else content)
    assert small_cache.read([entry("a")]) is None
    assert small_cache.read([Entry("a", (10, 26), FLOAT)]) is None
    put(small_cache, entry("a"))
    assert small_cache.read([entry("a")]) is not None


def test_failed_write_leaves_nothing(small_cache: FeatureCache) -> None:
    def fail() -> None:
        with small_cache.alone(), small_cache.writing([entry("a"), entry("b")]) as files:
            files[0].write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert names(small_cache) == []


def test_longest_unused_makes_room(small_cache: FeatureCache) -> None:
    for age, name in enumerate("abc"):  # 1000 bytes and a header each
        put(small_cache, entry(name))
        os.utime(small_cache.folder / entry(name).file, (age, age))
    assert small_cache.read([entry("a")]) is not None  # used now
    put(small_cache, entry("d", rows=75))
    assert names(small_cache) == ["a.npy", "c.npy", "d.npy"]


def test_what_the_same_call_needs_is_not_evicted(small_cache: FeatureCache) -> None:
    put(small_cache, entry("vectors"))
    maps = entry("maps", rows=100)
    with small_cache.alone(), small_cache.writing([maps], keep=[entry("vectors"), maps]) as (file,):
        file.write(bytes(maps.nbytes))
    assert small_cache.read([entry("vectors"), maps]) is not None


def test_array_in_use_survives_its_eviction(small_cache: FeatureCache) -> None:
    put(small_cache, entry("a"), 5.0)
    found = small_cache.read([entry("a")])
    put(small_cache, entry("big", rows=100))
    assert names(small_cache) == ["big.npy"]
    assert found is not None
    assert float(found[0].sum()) == 5.0 * 250


def test_what_is_larger_than_the_bound_is_kept_while_nothing_else_is(
    small_cache: FeatureCache,
) -> None:
    put(small_cache, entry("a"))
    put(small_cache, entry("huge", rows=1000))
    assert names(small_cache) == ["huge.npy"]


HOLD = """
import sys, time
from pathlib import Path
import numpy as np
from brain_tumor.model.feature_cache import Entry, FeatureCache
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
    assert names(small_cache) == ["b.npy"]


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
(found,) = features.trunk_outputs(weights, images, [features.Output(-1, "gap")], small_cache)
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
    with pytest.raises(CacheError, match=r"file/cache.*BRAIN_TUMOR_CACHE"):
        put(FeatureCache(tmp_path / "file" / "cache", 10), entry("a"))


def test_environment_names_folder_and_size(tmp_path: Path, monkeypatch: Any) -> None:
    assert default_cache() == FeatureCache(tmp_path / ".cache" / "features", 10_000_000_000)
    monkeypatch.setenv(feature_cache.FOLDER_VARIABLE, str(tmp_path / "other"))
    monkeypatch.setenv(feature_cache.SIZE_VARIABLE, "0.5")
    assert default_cache() == FeatureCache(tmp_path / "other", 500_000_000)


@pytest.mark.parametrize("size", ["0", "-1", "many", "nan", "inf"])
def test_unusable_size_is_named(size: str, monkeypatch: Any) -> None:
    monkeypatch.setenv(feature_cache.SIZE_VARIABLE, size)
    with pytest.raises(CacheError, match=f"BRAIN_TUMOR_CACHE_GB={size}"):
        default_cache()

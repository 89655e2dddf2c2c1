"""The folder of stored features: bounded, checked, shared by processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_tumor.errors import UserError
from brain_tumor.model import feature_cache
from brain_tumor.model.feature_cache import Entry, FeatureCache, default_cache
from tests.damage import DAMAGES, Damage

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


def test_a_damaged_entry_makes_room_for_the_new_one(small_cache: FeatureCache) -> None:
    for _ in range(2):
        with small_cache.alone(), small_cache.writing([entry("a", rows=90)]) as (file,):
            sizes = [path.stat().st_size for path in small_cache.folder.iterdir()]
            file.write(bytes(entry("a", rows=90).nbytes))
        assert sum(sizes) < 5_000
        flip_one_bit(small_cache.folder / "a.npy")


def test_what_is_larger_than_the_bound_is_not_written(small_cache: FeatureCache) -> None:
    put(small_cache, entry("a"))
    with pytest.raises(ValueError, match=r"do not fit into 10000"):
        put(small_cache, entry("huge", rows=100))  # header and sum are what is too much
    assert entry_names(small_cache) == ["a.npy"]


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
    assert entry_names(small_cache) == ["b.npy"]


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
    monkeypatch.setenv(feature_cache.FOLDER_VARIABLE, str(tmp_path / "other"))
    monkeypatch.setenv(feature_cache.SIZE_VARIABLE, "0.5")
    assert default_cache() == FeatureCache(tmp_path / "other", 500_000_000)


@pytest.mark.parametrize("size", ["0", "-1", "many", "nan", "inf"])
def test_unusable_size_is_named(size: str, monkeypatch: Any) -> None:
    monkeypatch.setenv(feature_cache.SIZE_VARIABLE, size)
    with pytest.raises(UserError, match=f"BRAIN_TUMOR_CACHE_GB={size}"):
        default_cache()

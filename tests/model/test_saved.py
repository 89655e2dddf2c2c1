"""A network on disk comes back as it was, or is named with what to do."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from brain_tumor.errors import UserError
from brain_tumor.model import saved
from tests.damage import DAMAGES, Damage

META = saved.ModelMeta(
    head="gap",
    head_block=6,
    fine_tuned_blocks=0,
    size_px=8,
    initial_weights="random",
    initial_weights_sha256="a" * 64,
    parameters=65,
    seed=0,
    threshold=0.5,
)


@pytest.fixture(scope="module")
def network() -> Any:
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1, "sigmoid")]
    return keras.Sequential(layers)


def test_a_model_comes_back_as_it_was(network: Any, tmp_path: Path) -> None:
    saved.save(tmp_path, network, META)
    loaded = saved.load(tmp_path)
    assert saved.digest(loaded) == saved.digest(saved.SavedModel(network, META))


@pytest.mark.parametrize("name", [saved.NETWORK_FILE, saved.META_FILE])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named_in_a_line_with_what_to_do(
    damage: Damage, name: str, network: Any, tmp_path: Path
) -> None:
    saved.save(tmp_path, network, META)
    damage(tmp_path / name)
    with pytest.raises(UserError, match=rf"/{name}: not readable; run `dvc pull` or") as caught:
        saved.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_no_single_flipped_bit_changes_a_network_in_silence(network: Any, tmp_path: Path) -> None:
    path = tmp_path / saved.NETWORK_FILE
    saved.save_network(path, network)
    content, weights = path.read_bytes(), network.get_weights()
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(content), 60):
        damaged = bytearray(content)
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(damaged))
        try:
            loaded = saved.load_network(path).get_weights()
        except UserError:
            continue
        for before, after in zip(weights, loaded, strict=True):
            np.testing.assert_array_equal(before, after)

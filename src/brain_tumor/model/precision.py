"""Number formats and repeatability: mixed precision on a GPU, float32 in what is saved."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras


def make_repeatable(seed: int) -> None:
    """Seed Python, NumPy and Keras and ask TensorFlow for deterministic operations."""
    import tensorflow as tf

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def best_policy() -> str:
    """`mixed_float16` where TensorFlow sees a GPU, `float32` elsewhere."""
    import tensorflow as tf

    return "mixed_float16" if tf.config.list_physical_devices("GPU") else "float32"


@contextmanager
def fastest(policy: str | None = None) -> Iterator[None]:
    """Build and train under the fastest safe policy of this machine."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy or best_policy())
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def as_float32(model: Any) -> Any:
    """The same network computing in float32 throughout (weights are float32 in any policy)."""
    if all(layer.dtype_policy.name == "float32" for layer in _layers(model)):
        return model
    copy = keras.models.clone_model(model, clone_function=_float32_layer, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


def _float32_layer(layer: Any) -> Any:
    config = layer.get_config() | {"dtype": "float32"}
    return type(layer).from_config(config)


def _layers(model: Any) -> list[Any]:
    return list(model._flatten_layers(include_self=False))

"""The devices a network trains and predicts on: every GPU that TensorFlow sees.

Each device holds a copy of the weights (`tf.distribute.MirroredStrategy`) and takes its part of the
rows of a batch. The devices are those that TensorFlow offers (`CUDA_VISIBLE_DEVICES` limits them),
so no parameter names them. With one device nothing is divided, copied or added up. Same devices,
same library versions: the same weights to the bit, as far as the sums over devices repeat; another
number of devices adds the rows of a batch in another order.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=1)
def strategy() -> Any:
    """How TensorFlow uses the devices; variables are made in its `scope()`.

    The processor counts as one device, unless it was divided into logical ones beforehand.
    """
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) == 1:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def count() -> int:
    """How many devices there are."""
    return int(strategy().num_replicas_in_sync)


class Parts(NamedTuple):
    """A batch, divided among the devices.

    Attributes:
        rows: how many there are.
        of_device: for each device its rows of each array, as tensors there. All devices have
            equally many: rows of zeros fill up the last ones.
    """

    rows: int
    of_device: list[tuple[Any, ...]]


def divide(*arrays: NDArray[Any]) -> Parts:
    """Divide the rows of arrays of equal length among the devices."""
    import tensorflow as tf

    rows, devices = len(arrays[0]), count()
    if devices == 1:
        return Parts(rows, [tuple(map(tf.convert_to_tensor, arrays))])
    shares = zip(*(np.split(_filled(array, devices), devices) for array in arrays), strict=True)
    of_device = []
    for device, share in zip(strategy().extended.worker_devices, shares, strict=True):
        with tf.device(device):
            of_device.append(tuple(map(tf.convert_to_tensor, share)))
    return Parts(rows, of_device)


def _filled(array: NDArray[Any], devices: int) -> NDArray[Any]:
    """The array with so many rows of zeros that the devices can have equally many."""
    missing = -len(array) % devices
    if not missing:
        return np.asarray(array)
    return np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])


Everywhere = Callable[..., list[NDArray[Any]]]


def everywhere(
    function: Callable[..., Sequence[Any]], arrays: Sequence[Any], numbers: int = 0
) -> Everywhere:
    """Prepare a function that all devices compute at the same time, each for its part of a batch.

    Args:
        function: of a part of each array, and of the numbers, to tensors with a row for each of the
            part. It may train: gradients that an optimiser made in the scope applies are added up
            over the devices. A variable that it assigns must get the same value on each device.
        arrays: a `tf.TensorSpec` for each array.
        numbers: how many float32 numbers the function takes beside them, the same on all devices.

    Returns:
        A function of `Parts` and the numbers to the rows of all devices, one array per tensor.
    """
    import tensorflow as tf

    def of_all(parts: Any, values: Any) -> Any:
        share = strategy().experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group]
        )
        results = strategy().run(lambda own: function(*own, *values), args=(share,))
        return [strategy().experimental_local_results(result) for result in results]

    signature = [[tuple(arrays)] * count(), [tf.TensorSpec((), tf.float32)] * numbers]
    prepared = tf.function(of_all, input_signature=signature)

    def run(parts: Parts, *values: float) -> list[NDArray[Any]]:
        results = prepared(parts.of_device, list(map(np.float32, values)))
        return [np.concatenate([*map(np.asarray, result)])[: parts.rows] for result in results]

    return run


def predictor(model: Any) -> Callable[[NDArray[Any]], list[NDArray[Any]]]:
    """A function of a batch (N, ...) to what a Keras model gives for it, one array per output.

    The model was made in the scope of `strategy()`. (Its own `predict_on_batch` would compute the
    whole batch on every device and give all rows so many times.)
    """
    import tensorflow as tf

    if count() == 1:
        return lambda batch: _outputs(model.predict_on_batch(batch))
    inputs = tf.TensorSpec(model.inputs[0].shape, model.inputs[0].dtype)
    prepared = everywhere(lambda batch: _outputs(model(batch, training=False)), [inputs])
    return lambda batch: prepared(divide(batch))


def _outputs(results: Any) -> list[Any]:
    """What a model gives, as a list: Keras unpacks a single output."""
    return list(results) if isinstance(results, list | tuple) else [results]

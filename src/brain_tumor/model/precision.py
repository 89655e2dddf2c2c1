"""Number formats and repeatability: what the tuned blocks train in; all else is float32."""

from pathlib import Path
from typing import Literal

Precision = Literal["auto", "float32", "bfloat16"]
Format = Literal["float32", "bfloat16"]
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def make_repeatable(seed: int) -> None:
    """Seed Python, NumPy and Keras and ask TensorFlow for deterministic operations."""
    import keras
    import tensorflow as tf

    # One message per shape that a new model meets would drown the lines of progress.
    tf.get_logger().setLevel("ERROR")
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def resolve(precision: Precision) -> Format:
    """The number format tuned blocks compute in: as given, or the fastest of this machine.

    `auto` is bfloat16 where TensorFlow sees a GPU or the processor multiplies it (AVX512-BF16 or
    AMX), float32 elsewhere. (float16 is not offered: its range is too small for the features of
    random weights.)
    Weights are float32 in any of them.
    """
    if precision != "auto":
        return precision
    import tensorflow as tf

    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    return "bfloat16" if has_gpu or _BFLOAT16_FLAGS & _processor_flags() else "float32"


def _processor_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """What the processor can do, as Linux lists it; nothing elsewhere."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.split()}

"""InceptionV3 cut short at 75 px, with a head whose logits are spread as a trained one's are."""

from pathlib import Path

import numpy as np

from brain_tumor.model import saved
from brain_tumor.model.network import Head, Network, build, standardise

SIZE_PX = 75


def images(count: int) -> np.ndarray:
    """Noise, uint8 (count, 75, 75)."""
    return np.random.default_rng(1).integers(0, 256, (count, SIZE_PX, SIZE_PX), dtype=np.uint8)


def logit(probability: np.ndarray) -> np.ndarray:
    """Log odds."""
    odds: np.ndarray = np.log(probability) - np.log1p(-probability)
    return odds


def decided_network(weights: Path, head: Head, block: int, tuned: int) -> Network:
    """A network whose logits of `images(35)` have mean 0.25 and standard deviation 1."""
    built = build(
        weights, head=head, head_block=block, fine_tune_blocks=tuned, dropout=0.3, size_px=SIZE_PX
    )
    vectors = np.asarray(built.pool(feature_maps(built, images(35))))
    standardise(built.head, vectors)
    dense = built.head.get_layer("probability")
    slope = np.random.default_rng(2).normal(size=dense.kernel.shape)
    dense.set_weights([slope * 1e-3, np.zeros(1)])
    logits = logit(np.asarray(built.head(vectors), np.float64)) / 1e-3
    dense.set_weights([slope / logits.std(), np.array([0.25 - logits.mean() / logits.std()])])
    return built


def feature_maps(built: Network, pixels: np.ndarray) -> np.ndarray:
    """What the head sits on, float32 (N, h, w, channels)."""
    below = built.frozen(saved.to_unit(pixels), training=False)
    return np.asarray(built.tuned(below, training=False))

"""All that a study will need of the frozen trunk, in one pass over the images."""

import sys

from brain_tumor.model import precision
from brain_tumor.model.feature_cache import SIZE_VARIABLE
from brain_tumor.model.features import stored_bytes, trunk_outputs
from brain_tumor.model.fit import exact_outputs, outputs
from brain_tumor.settings import TUNABLE, TrainParams
from brain_tumor.tuning.plan import Plan


def prepare_features(plan: Plan) -> None:
    """Compute the trunk's outputs for every head and depth of the space.

    Where they do not fit into the cache together, each trial computes its own.
    """
    precision.make_repeatable(plan.section.seed)
    weights, cache = plan.start.weights, plan.start.cache
    corners = _corners(plan)
    wanted = list(dict.fromkeys(output for params in corners for output in outputs(params)))
    exact = list(dict.fromkeys(output for params in corners for output in exact_outputs(params)))
    held_out = [data.images[data.val] for data in plan.data]
    images = plan.data[0].images
    needed = stored_bytes(wanted, images) + sum(stored_bytes(exact, part) for part in held_out)
    if needed > cache.max_bytes:
        print(
            f"note: the study's features take {needed / 1e9:.1f} GB, more than {SIZE_VARIABLE} "
            "allows; trials compute what was evicted again",
            file=sys.stderr,
        )
        return
    trunk_outputs(weights, images, wanted, cache)
    for part in held_out if exact else []:
        trunk_outputs(weights, part, exact, cache)


def _corners(plan: Plan) -> list[TrainParams]:
    """One training for every head block and depth of the space."""
    space = plan.tune.space
    values = {name: getattr(space, name).low for name in TUNABLE}
    heads = _choices(plan, "head_block")
    depths = _choices(plan, "fine_tune_blocks")
    return [
        plan.section.resolve(values | {"head_block": head, "fine_tune_blocks": depth})
        for head in heads
        for depth in depths
    ]


def _choices(plan: Plan, name: str) -> list[int]:
    if name not in plan.names:
        return [int(getattr(plan.section, name))]
    allowed = getattr(plan.tune.space, name)
    return list(range(allowed.low, allowed.high + 1))

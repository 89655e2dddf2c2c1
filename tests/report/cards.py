"""A card of few words, for tests of what carries one."""

from typing import Any

from brain_tumor.model.saved import ModelMeta
from brain_tumor.outputs import InitialWeights
from brain_tumor.report.card import Calibration, Data, Figure, Images, ModelCard


def example_card(meta: ModelMeta, metrics: dict[str, Any]) -> ModelCard:
    """A card of this network with these figures (as in figures.json)."""
    weights = InitialWeights(
        requested="auto",
        source=meta.initial_weights,
        sha256=meta.initial_weights_sha256,
        complete_to_block=10,
        note="",
    )
    return ModelCard(
        name="a network",
        intended_use="Research only: not for diagnosis. It is an example.",
        not_for=("anything",),
        input="images",
        output={"probability": "of a tumour"},
        model=meta,
        initial_weights=weights,
        data=Data(
            source="drawn",
            files=24,
            distinct=24,
            patients=0,
            formats={"PNG": 24},
            label_suspects=(),
            faults=(),
        ),
        split=("in thirds",),
        preprocessing=(),
        images={
            "train": Images(no=4, yes=4, clusters=8),
            "val": Images(no=4, yes=4, clusters=8),
            "test": Images(no=4, yes=4, clusters=8),
        },
        metrics={
            "train": _figures(metrics["train"]),
            "val": _figures(metrics["val"]),
            "test": _figures(metrics["test"]),
        },
        notes={"val": "optimistic"},
        calibration=Calibration(
            temperature=meta.temperature or 1.0,
            threshold=meta.threshold,
            target_sensitivity=None,
            images=16,
        ),
        crossvalidation={},
        baselines=(),
        external=(),
        failures=(),
        limits=(),
        lineage={"mlflow.run": "0" * 32},
    )


def _figures(plain: dict[str, Any]) -> dict[str, Figure]:
    return {key: Figure.model_validate(figure) for key, figure in plain.items()}

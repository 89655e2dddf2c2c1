"""Committed evidence as `make evidence` and `brain-tumor evaluate --log` leave it, invented."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brain_tumor.model.calibration import reliability
from brain_tumor.report.inputs import Inputs, read
from tests.report import stage_files
from tests.report.stage_files import DIGEST

KEYS = (
    "accuracy", "balanced_accuracy", "sensitivity", "specificity", "auroc", "log_loss", "brier",
)  # fmt: skip
AT_HALF = KEYS[:4]


def figures(value: float, keys: tuple[str, ...] = KEYS) -> dict[str, Any]:
    """Each figure with the same value and interval."""
    return {key: {"value": value, "low": value - 0.05, "high": value + 0.05} for key in keys}


def inputs(root: Path) -> Inputs:
    """All that a report is made from, with evidence on the same images and epochs that trained."""
    paths = stage_files.write(root)
    stage_files.history(paths, stage_files.EPOCHS)
    write(paths.evidence, stage_files.manifest())
    sections = stage_files.sections(stage_files.params_file(root))
    return read(paths, sections, "directory brain-mri", {})


def write(folder: Path, manifest: pd.DataFrame, model: str = DIGEST) -> None:
    """A summary and a log, on the images of the manifest, of the model of that digest."""
    truth = (manifest["label"] == "yes").to_numpy().astype(np.int64)
    headline = {
        "images": len(truth), "clusters": len(truth) - 4, "repeats": 3, "folds": 5,
        "figures": figures(0.9), "at_half": figures(0.91, AT_HALF),
        "baselines": {"metadata": figures(0.7), "probe": figures(0.85)},
        "best_baseline": "probe", "paired": figures(0.05, ("auroc",)),
        "uncalibrated": figures(0.31, ("log_loss",)),
        "reliability": reliability(truth, np.full(len(truth), 0.3)).to_dict("records"),
        "by_repeat": {"auroc": [0.89, 0.9, 0.91]},
        "without_suspects": {
            "left_out": ["no/N11.jpg"], "figures": figures(0.93),
            "at_half": figures(0.94, AT_HALF), "best_baseline": figures(0.86),
        },
        "subgroups": [
            {"by": "plane", "value": "axial", "no": 30, "yes": 30, "figures": figures(0.88)},
            {"by": "plane", "value": "coronal", "no": 2, "yes": 1, "figures": {}},
        ],
    }  # fmt: skip
    folder.mkdir(parents=True)
    made = {"command": "make evidence", "dates": ["2026-01-02"], "machines": ["2 processors"]}
    summary = {"made": {"headline": made | {"wall_s": 1800.0}}, "sha256": list(manifest["sha256"])}
    summary |= {"headline": headline}
    (folder / "summary.json").write_text(
        json.dumps(summary | {"paper": _paper()}), encoding="utf-8"
    )
    maps = {"model": model} | _localisation()
    (folder / "localisation.json").write_text(json.dumps(maps), encoding="utf-8")
    as_is = {"kind": "none", "level": 0.0, "figures": figures(0.9)}
    noisy = {"kind": "noise", "level": 0.1, "figures": figures(0.7)}
    noisy["change"] = figures(-0.2, ("accuracy",))
    robust = {"images": 24, "clusters": 24, "threshold": 0.4, "model": model}
    robust["conditions"] = [as_is, noisy]
    (folder / "robustness.json").write_text(json.dumps(robust), encoding="utf-8")
    line = {"date": "2026-01-02", "model": "m version 1", "sensitivity": "0.93"}
    line |= {"model_digest": model, "no_clusters": "8", "folder": "clinic-b"}
    line |= {"sensitivity_low": "0.88", "sensitivity_high": "0.96", "specificity": ""}
    pd.DataFrame([line]).to_csv(folder / "external-log.csv", index=False)


def _paper() -> dict[str, Any]:
    spread = {"mean": 0.8, "lowest": 0.61, "quarter": 0.7, "median": 0.8, "three_quarters": 0.9}
    spreads = {"accuracy": spread | {"highest": 0.95}}
    compared = figures(0.86, ("with_twin", "without_twin", "difference"))
    twins = compared | {"predictions": {"with_twin": 12, "without_twin": 34}}
    return {
        "seeds": 20, "as_good_as_published": 2,
        "published": {"test": {"accuracy": 0.9}},
        "spread": dict.fromkeys(("train", "val", "test"), spreads),
        "figures": {"val": figures(0.82), "test": figures(0.84)},
        "twins": {"images_with_twin": 9.4, "all pictures": twins, "same pictures": twins},
    }  # fmt: skip


def _localisation() -> dict[str, Any]:
    keys = ("pointing", "mass", "overlap")
    scores = {"model": figures(0.64, keys), "chance": figures(0.11, keys)}
    return {
        "weights": "imagenet", "block": 6, "phantoms": 200,
        "auroc": figures(0.92, ("auroc",))["auroc"],
        "scores": scores, "differences": {"chance": figures(0.53, keys)},
        "notes": ["Maps point at borders too."],
    }  # fmt: skip

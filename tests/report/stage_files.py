"""The files of the stages before `report`, small and drawn from a seed."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from brain_tumor import settings
from brain_tumor.data.copies import SUSPECTS, clusters
from brain_tumor.model.metrics import evaluate
from brain_tumor.outputs import EXPORT_REPORT, ReportInputs, write_manifest
from brain_tumor.report.card import ModelCard
from brain_tumor.report.inputs import Inputs, Sections, read
from brain_tumor.report.prose import make_card
from brain_tumor.settings import EvaluateParams
from brain_tumor.shards import write_images

ROOT = Path(__file__).parents[2]
THRESHOLD = 0.4
SPLITS = ("train", "train", "test", "val", "test")  # of five images of a class
PER_CLASS = 40
NAME = "InceptionV3 classifier of brain MRI slices"
DIGEST = "e" * 64
EPOCHS: list[dict[str, Any]] = [
    {"epoch": epoch, "fine_tuning": int(epoch > 0), "learning_rate": 1e-4 * (epoch > 0),
     "loss": 0.3 - 0.05 * epoch, "accuracy": 0.9 + 0.02 * epoch, "val_loss": 0.4 - 0.03 * epoch,
     "val_accuracy": 0.8 + 0.01 * epoch}
    for epoch in range(4)
]  # fmt: skip
DOUBTED = "no/doubted.jpg"  # its bytes are on the list of suspects


def manifest() -> pd.DataFrame:
    """40 images of each class, every tenth of which is a copy of the one before."""
    rows = []
    for label in ("no", "yes"):
        for index in range(PER_CLASS):
            path = DOUBTED if (label, index) == ("no", 9) else f"{label}/{label}_{index:02d}.jpg"
            group = f"{label}{index - (index % 10 == 9)}"
            digest = hashlib.sha256(group.encode()).hexdigest()
            if path == DOUBTED:
                digest = SUSPECTS[0]
            row: dict[str, Any] = {"path": path, "label": label, "format": "JPEG", "mode": "L"}
            row |= {"width": 200 + index, "height": 210, "bytes": 9000 + index, "sha256": digest}
            rows.append(row | {"dhash": digest[:16], "patient": "", "group": group})
    return pd.DataFrame(rows)


def predictions(table: pd.DataFrame) -> pd.DataFrame:
    """A probability for each image, mostly on the right side; copies share their split."""
    rng = np.random.default_rng(7)
    yes = (table["label"] == "yes").to_numpy()
    places = [SPLITS[int(group[2:] if group.startswith("no") else group[3:]) % 5]
              for group in table["group"]]  # fmt: skip
    probability = 1 / (1 + np.exp(-rng.normal(np.where(yes, 1.4, -1.4), 1.6)))
    return table[["path", "label"]].assign(split=places, probability=probability)


def paths_in(root: Path) -> ReportInputs:
    """Where `write` puts what a report is made from."""
    return ReportInputs(**{name: root / path for name, path in vars(ReportInputs()).items()})


def write(root: Path) -> ReportInputs:
    """Write all files a report is made from, but no evidence."""
    to, table = paths_in(root), manifest()
    write_manifest(table, to.manifest)
    predicted = predictions(table)
    predicted.to_csv(to.predictions, index=False)
    _json(to.metrics, _metrics(table, predicted))
    copies = {"groups": 8, "files": 16, "identical_groups": 8, "identical_files": 16}
    odd = [{"path": "no/no_01.jpg", "reason": "content is PNG, file name says '.jpg'"}]
    _json(to.validation, {"patients": 0, "duplicates": copies, "errors": [], "warnings": odd})
    part = {"images": PER_CLASS, "fallback": {"count": 1, "fraction": 0.025, "reasons": {}}}
    _json(to.preprocessing, {"all": part, "no": part, "yes": part})
    weights = {"requested": "imagenet", "source": "imagenet", "sha256": "1" * 64}
    _json(to.weights, {**weights, "complete_to_block": 10, "note": ""})
    best = {"study": "s", "trial": 3, "objective": "log_loss", "value": 0.3, "complete": 4}
    _json(to.best, {**best, "params": {"head_block": 6, "fine_tune_blocks": 0}, "pruned": 1})
    point = {"temperature": 1.5, "threshold": THRESHOLD, "sensitivity": 0.95}
    point |= {"images": 60, "folds": 5}
    _json(to.calibration, point)
    meta = {"head": "gap", "head_block": 6, "fine_tuned_blocks": 0, "size_px": 299, "seed": 0}
    meta |= {"threshold": THRESHOLD, "temperature": 1.5, "initial_weights": "imagenet"}
    _json(to.model_json, {**meta, "initial_weights_sha256": "1" * 64, "parameters": 7_000_000})
    _json(to.run, {"run_id": "r" * 32})
    solved = {"epoch": 0, "fine_tuning": 0, "learning_rate": 0.0, "loss": 0.3, "accuracy": 0.9}
    history(to, [solved | {"val_loss": 0.4, "val_accuracy": 0.8}])
    trials(to, [{"number": 0, "state": "complete", "value": 0.41, "head_block": 4},
                {"number": 1, "state": "pruned", "value": None, "head_block": 5},
                {"number": 3, "state": "complete", "value": 0.3, "head_block": 6}])  # fmt: skip
    grey = (np.full((299, 299), number, np.uint8) for number in range(len(table)))
    write_images(to.images, zip(table["path"], grey, strict=True))
    _json(to.export / EXPORT_REPORT, {"engine": "onnxruntime 1.22", "digest": DIGEST})
    return to


def history(to: ReportInputs, rows: list[dict[str, Any]]) -> None:
    """Write what stage train says of epochs."""
    pd.DataFrame(rows).to_csv(to.history, index=False)


def trials(to: ReportInputs, rows: list[dict[str, Any]]) -> None:
    """Write what stage tune says of trials."""
    pd.DataFrame(rows).to_csv(to.trials, index=False)


def params_file(root: Path) -> Path:
    """The project's params.yaml with what the study is to choose put in."""
    yaml = YAML()
    document = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    document["train"].update(
        fine_tune_blocks="tuned", learning_rate=1e-3, dropout=0.1, weight_decay=1e-2,
        head_penalty=0.1,
    )  # fmt: skip
    document["evaluate"]["bootstrap_resamples"] = 30
    path = root / "params.yaml"
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)
    return path


def sections(path: Path) -> Sections:
    """The sections that a report shows."""
    params = settings.read(path)
    train = params.train.resolve({"head_block": 6, "fine_tune_blocks": 0})
    return Sections(params.split, params.preprocess, params.augment, train, params.evaluate)


def inputs(root: Path, origin: str = "directory brain-mri") -> Inputs:
    """All that a report is made from, read from files in `root`."""
    lineage = {"git.commit": "c" * 40, "data.md5": "d.dir"}
    return read(write(root), sections(params_file(root)), origin, lineage)


def card(root: Path) -> ModelCard:
    """The card of `found`."""
    return make_card(inputs(root), NAME)


def _metrics(table: pd.DataFrame, predicted: pd.DataFrame) -> dict[str, Any]:
    cluster = clusters(table)
    params = EvaluateParams(seed=0, bootstrap_resamples=30)
    results = {}
    for name in ("train", "val", "test"):
        rows = predicted[predicted["split"] == name]
        estimates = evaluate(
            np.asarray(rows["label"] == "yes", dtype=np.int64),
            rows["probability"].to_numpy(np.float64),
            cluster.loc[rows["path"]].to_numpy(str),
            THRESHOLD,
            params,
            intervals=name != "train",
        )
        results[name] = {key: estimate.as_dict() for key, estimate in estimates.items()}
    return results


def _json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")

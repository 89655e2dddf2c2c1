"""How often pictures are flagged as unlike the training images: ordinary ones and strange ones.

Run `make repro` first. The flag is fitted on the training images of `outputs/`. The images of
validation and test, brains among them turned, cut or degraded, and the pictures of
`benchmarks/strange` are described as the registered model would see them:

    python -m benchmarks.familiarity [--root PATH/TO/PROJECT] [--images 100] [--brains FOLDERS]

No choice was made by the test images. The strange kinds were made by us: the rates hold for them.
Of `--brains` nothing but the share that is flagged is looked at.
"""

import io
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.strange import KINDS, OF_BRAINS, Picture, changed, make
from brain_tumor import settings
from brain_tumor.data.copies import clusters
from brain_tumor.imaging.read import read_grey
from brain_tumor.inference.classifier import describe
from brain_tumor.inference.engine import KerasEngine
from brain_tumor.inference.familiarity import Familiarity
from brain_tumor.model import saved
from brain_tumor.model.folds import read_phantoms
from brain_tumor.model.metrics import auroc, wilson
from brain_tumor.outputs import read_manifest


def main(
    root: Annotated[Path, typer.Option(help="Holds outputs/, data/ and params.yaml.")] = Path(),
    images: Annotated[int, typer.Option(min=1, help="Pictures of each kind.")] = 100,
    brains: Annotated[
        Path | None, typer.Option(help="Folders of other brain MRI slices, a row each.")
    ] = None,
) -> None:
    """Print the share of each kind that is flagged, with 95 % intervals."""
    network = saved.load_network(root / "outputs" / "train" / "model.keras")
    preprocess = settings.read(root / "params.yaml").preprocess
    engine = KerasEngine(network)

    def look(files: list[bytes]) -> tuple[np.ndarray, pd.DataFrame]:
        rows, features = describe(engine, preprocess, files)
        return features, pd.DataFrame(rows)

    split = pd.read_csv(root / "outputs" / "split.csv")
    files = [(root / "data" / path).read_bytes() for path in split["path"]]
    features, rows = look(files)
    train, held_out = split["split"] == "train", split["split"] != "train"
    augmented = root / "outputs" / "augment"
    _, phantoms = read_phantoms(augmented / "images", augmented / "records.csv")
    names = clusters(read_manifest(root / "outputs" / "manifest.csv")).loc[split["path"][train]]
    flag = Familiarity.fit(
        features[train],
        rows[train],
        names.to_numpy(str),
        settings.read(root / "params.yaml").export,
        engine.see(phantoms).features if len(phantoms) else None,
    )
    ordinary = flag.score(features[held_out], rows[held_out])
    table = Table("pictures", "n", "AUROC", "flagged", "95 %", "of these unsure")
    for part in ("val", "test"):
        here = split["split"] == part
        table.add_row(*_row(part, flag.parts(features[here], rows[here])))
    for folder in sorted(brains.iterdir()) if brains else []:
        others = [path.read_bytes() for path in sorted(folder.iterdir())]
        table.add_row(*_row(folder.name, flag.parts(*look(others)), ordinary))
    own = [files[index] for index in np.flatnonzero(held_out)]
    for kind in (*KINDS, *OF_BRAINS):
        strange = [_picture(kind, index, own) for index in range(images)]
        table.add_row(*_row(kind, flag.parts(*look(strange)), ordinary))
    Console().print(table)


def _picture(kind: str, index: int, brains: list[bytes]) -> bytes:
    if kind in KINDS:
        return _png(make(kind, index))
    return _png(changed(kind, read_grey(brains[index % len(brains)]), index))


def _png(picture: Picture) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "PNG")
    return buffer.getvalue()


def _row(name: str, parts: np.ndarray, ordinary: np.ndarray | None = None) -> list[str]:
    scores = parts.max(axis=1)
    flagged = scores > 1
    share = wilson(int(flagged.sum()), len(scores))
    unsure = float((parts[flagged, 1] > 1).mean()) if flagged.any() else 0.0
    curve = ""
    if ordinary is not None:
        truth = np.r_[np.zeros(len(ordinary), np.int64), np.ones(len(scores), np.int64)]
        curve = f"{auroc(truth, np.r_[ordinary, scores]):.3f}"
    interval = f"{share.low:.2f} to {share.high:.2f}"
    return [name, str(len(scores)), curve, f"{share.value:.2f}", interval, f"{unsure:.2f}"]


if __name__ == "__main__":
    typer.run(main)

"""Names and numbers as people read them: the same words on the page and in the card."""

from collections.abc import Mapping, Sequence

from brain_tumor.figure_text import decimals, with_interval
from brain_tumor.report.card import ModelCard
from brain_tumor.report.card_parts import Calibration, Figure, Split

SPLITS: dict[Split, str] = {"train": "training", "val": "validation", "test": "test"}
NOTHING = "-"
_DIGEST_SHOWN = 18  # characters
FIGURES = {
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
    "auroc": "AUROC",
    "auroc_per_fold": "AUROC, mean over folds",
    "auprc": "AUPRC",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "calibration_slope": "Calibration slope",
    "calibration_intercept": "Calibration intercept",
    "ece": "ECE, ten bins",
    "ece_floor": "ECE if perfectly calibrated",
}
IDEAL = {
    "calibration_slope": "1", "calibration_intercept": "0", "brier": "low", "log_loss": "low",
    "ece": "near the next line", "ece_floor": "simulated",
}  # fmt: skip


def figure_name(key: str) -> str:
    """A figure's name for people."""
    return FIGURES.get(key, key.replace("_", " ").capitalize())


def shown(figure: Figure | None) -> str:
    """A figure with its interval: `0.91 (0.82 to 0.96)`."""
    if figure is None:
        return NOTHING
    return with_interval(figure.value, figure.low, figure.high)


def figure_rows(metrics: Mapping[Split, Mapping[str, Figure]]) -> list[list[str]]:
    """A row per figure, a column per split, in the order of `FIGURES` and `SPLITS`."""
    found = {key for figures in metrics.values() for key in figures}
    keys = [key for key in FIGURES if key in found] + sorted(found - set(FIGURES))
    return [
        [figure_name(key), *(shown(metrics.get(split, {}).get(key)) for split in SPLITS)]
        for key in keys
    ]


def calibration_rows(metrics: Mapping[Split, Mapping[str, Figure]]) -> list[list[str]]:
    """A row per figure of calibration: validation, test, what would be ideal."""
    return [
        [
            figure_name(key),
            *(shown(metrics.get(one, {}).get(key)) for one in ("val", "test")),
            ideal,
        ]
        for key, ideal in IDEAL.items()
        if any(key in figures for figures in metrics.values())
    ]


def image_rows(card: ModelCard) -> list[list[str]]:
    """A row per split: images without, with a tumour, together, and clusters."""
    rows = []
    for split, name in SPLITS.items():
        counts = card.images[split]
        cells = (counts.no, counts.yes, counts.no + counts.yes, counts.clusters)
        rows.append([name, *map(str, cells)])
    return rows


IMAGE_HEAD = ("Split", "No tumour", "Tumour", "Images", "Clusters")
FAILURE_HEAD = ("File", "Split", "Label", "Label doubted", "Probability of a tumour")


def failure_rows(card: ModelCard) -> list[list[str]]:
    """A row per error."""
    return [
        [
            f"`{one.path}`",
            SPLITS[one.split],
            one.label,
            "yes" if one.path in card.data.label_suspects else "",
            f"{one.probability:.3f}",
        ]
        for one in card.failures
    ]


def threshold_text(calibration: Calibration) -> str:
    """Where the threshold comes from."""
    target = calibration.target_sensitivity
    if target is None:
        return "no target sensitivity was set: a calibrated probability of one half"
    return (
        f"the highest with a sensitivity of at least {decimals(target)} on {calibration.images} "
        "out-of-fold predictions"
    )


def external_rows(log: Sequence[Mapping[str, str]]) -> list[list[str]]:
    """The log of external evaluations, a row per quantity, a column per evaluation.

    A figure and the ends of its interval (`x`, `x_low`, `x_high`) become one cell; of digests the
    beginning is shown.
    """
    keys = list(dict.fromkeys(key for line in log for key in line))
    ends = {f"{key}{end}" for key in keys for end in ("_low", "_high")}
    return [
        [_quantity(key), *(external_cell(line, key) for line in log)]
        for key in keys
        if key not in ends
    ]


def _quantity(key: str) -> str:
    """A column of the log in words; counts begin with their class."""
    label, _, rest = key.partition("_")
    of = {"no": "no tumour: ", "yes": "tumour: "}.get(label)
    return (f"{of}{rest}" if of else key).replace("_", " ")


def external_cell(line: Mapping[str, str], key: str) -> str:
    """A quantity of the log with its interval if it has one; a dash where it is missing."""
    value, low, high = (line.get(f"{key}{end}", "") for end in ("", "_low", "_high"))
    if key.endswith("_digest") and len(value) > _DIGEST_SHOWN:
        return f"{value[:_DIGEST_SHOWN]}..."
    if not (value and low and high):
        return value or NOTHING
    return shown(Figure(value=float(value), low=float(low), high=float(high)))


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))

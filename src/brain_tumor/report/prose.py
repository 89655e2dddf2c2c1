"""What a report says in words; numbers come from what was found."""

from brain_tumor.report.card_parts import Split
from brain_tumor.report.findings import Findings

INTENDED_USE = (
    "Research only: not for diagnosis, triage or any clinical decision. It estimates the "
    "probability that a single brain MRI slice shows a tumour, among images like those it was "
    "trained on."
)
NOT_FOR = (
    "Decisions about a patient, alone or as a second reader.",
    "Children, scans after surgery, other organs, CT: none of them was tested.",
    "Ruling a tumour out: it sees one slice, and a tumour can lie in another.",
    "Telling kinds or grades of tumours apart.",
)
INPUT = (
    "One file a row (JPEG, PNG, BMP, TIFF, DICOM, NIfTI): its bytes in the column `image`, or its "
    "name in `path`; parameters `engine` (keras or fast) and `slices`."
)
OUTPUT = {
    "probability": "of a tumour, 0 to 1, calibrated by the temperature",
    "label": "`yes` from the threshold up, else `no`",
    "out_of_distribution": "the slice is unlike the training images (`ood_score` above 1): its "
    "probability means little",
    "rows": "a row per slice; `input` and `slice` say which of what",
}
NOTES: dict[Split, str] = {
    "train": "the network was fitted to these images, so figures say how closely, not how well it "
    "will do, and have no interval.",
    "val": "optimistic, since hyperparameters, temperature and threshold were chosen with these "
    "images.",
    "test": "not used by the pipeline for any choice; from the same collection as the training "
    "images.",
}
PHANTOM = (
    "The images are phantoms drawn from an atlas, not patients: the figures show that the "
    "pipeline works and say nothing of its worth on patients."
)
_DRAWN = (
    "{} synthetic phantoms, drawn from an atlas and half of them with a tumour, train beside the "
    "training images; none validates or tests, and no count or figure includes them."
)
_KINSHIPS = {"duplicate": "copies of a picture", "patient": "slices of a known patient"}
_LIMITS = (
    "Single slices, one at a time: no volume, no other sequence, no history.",
    "Test images come from the same collection as the training images; other scanners, sequences "
    "and hospitals can differ much, and then probabilities are wrong as well as calls.",
    "Test sets of this size leave wide intervals; a difference smaller than those is no finding.",
    "The share of tumours among the images is the collection's, not that of any clinic: "
    "precision and calibration do not carry over.",
    "Nothing is known of age, sex, tumour type, scanner or hospital, so no such subgroup could be "
    "looked at.",
)


def limits(found: Findings) -> tuple[str, ...]:
    """What to keep in mind of this model."""
    told = [PHANTOM] if found.is_phantom else []
    if found.weights.note:
        told.append(found.weights.note)
    return (*told, *_LIMITS)


def split(found: Findings) -> tuple[str, ...]:
    """How the images were divided."""
    params = found.settings.split
    kept = " and ".join(_KINSHIPS[one] for one in params.kinships)
    together = (
        f"{kept.capitalize()} stay together, so no cluster is divided."
        if kept
        else "Nothing keeps copies together: they can lie on both sides of the split, so the "
        "figures are those of a leaking protocol."
    )
    sizes = (
        f"About {params.fractions.val:.0%} of the groups validate and {params.fractions.test:.0%} "
        "test; the rest trains."
        if params.mode == "fractions"
        else "Each split has an exact number of images of each class."
    )
    rank = f"Groups are ranked by a hash (seed {params.seed}), so a group keeps its split."
    seed = rank if params.mode == "fractions" else f"Seed {params.seed}."
    drawn = found.settings.augment.phantoms
    return (together, sizes, seed, *([_DRAWN.format(drawn)] if drawn else []))


def preprocessing(found: Findings) -> tuple[str, ...]:
    """The steps from a raw image to the network's input."""
    params = found.settings.preprocess
    steps = ["Decode to grey, turned as EXIF says."]
    if params.normalisation == "none":
        steps.append("No spatial normalisation.")
    else:
        steps.append(
            f"Register to the best-fitting of {_slices(found)} atlas slices (MNI152) by a "
            f"{params.normalisation} transform and mutual information; {_fallback(found)}"
        )
    blanked = ", blacken what lies outside it" if params.blank_outside_head else ""
    steps.append(f"Crop to the head{blanked}.")
    steps.append(
        f"Stretch grey levels from percentile {params.clip_low_percent:g} to "
        f"{params.clip_high_percent:g} of the head to [0, 1]."
    )
    steps.append(f"Resize to {params.size_px} x {params.size_px} pixels.")
    return tuple(steps)


def _slices(found: Findings) -> int:
    params = found.settings.preprocess
    return sum(map(len, (params.axial_mm, params.coronal_mm, params.sagittal_mm)))


def _fallback(found: Findings) -> str:
    parts = [
        f"{found.preprocessing[label]['fallback']['count']} of "
        f"{found.preprocessing[label]['images']} ({name})"
        for label, name in (("no", "no tumour"), ("yes", "tumour"))
    ]
    return f"where that fails the head is centred and scaled only: {' and '.join(parts)}."

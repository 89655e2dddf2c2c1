"""Where each incoming file goes in the data folder, decided before anything is touched."""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from brain_tumor.dataset.growth.diff import images
from brain_tumor.dataset.growth.incoming import Incoming, in_class
from brain_tumor.dataset.growth.listing import md5
from brain_tumor.dataset.growth.patients import grown_table
from brain_tumor.dataset.validation.finding import Finding
from brain_tumor.dataset.validation.layout import PATIENTS_FILE
from brain_tumor.settings import MASKS_FOLDER, ValidateParams


@dataclass
class Plan:
    """What becomes of each incoming file; targets are paths in the data folder.

    Attributes:
        listing: MD5 of every file of the data folder once the plan is carried out.
        images: target of each image that is taken, by its incoming path.
        skipped: the file with the same bytes, by the incoming path of the image that is not taken.
        masks: target of each mask that is taken, by its incoming path.
        table: text of patients.csv, None if it stays as it is.
        problems: what stands against carrying it out.
    """

    listing: dict[str, str]
    images: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)
    table: str | None = None
    problems: list[Finding] = field(default_factory=list)

    @property
    def copies(self) -> dict[str, str]:
        """Target of each file to copy, by its incoming path."""
        return self.images | self.masks

    @property
    def is_empty(self) -> bool:
        """Whether nothing would change."""
        return not self.copies and self.table is None


def make_plan(
    incoming: Incoming,
    listing: Mapping[str, str],
    table: Path,
    folder: str,
    params: ValidateParams,
) -> Plan:
    """Find a place for every incoming image; the same files always get the same places.

    An image whose bytes are in the class folder already is skipped. One whose name is taken by
    other bytes (or would be, where file names know no case) gets eight digits of its MD5 into it.

    Args:
        incoming: what is offered.
        listing: MD5 of the files of the data folder, by their paths in it.
        table: its patients.csv.
        folder: class folder the images are for.
        params: names the class folders and what is left out.
    """
    plan = Plan(dict(listing))
    owners = _owners(listing, folder, params)
    taken = {_folded(path) for path in listing}
    for path, digest in incoming.images.items():
        twin = owners.get(digest)
        if twin and not twin.startswith(f"{folder}/"):
            reason = f"same bytes as {twin} of the other class: which label is right?"
            plan.problems.append(Finding(path, reason))
        elif twin:
            plan.skipped[path] = twin
        else:
            target = _free(f"{folder}/{in_class(path, folder)}", digest, taken)
            taken.add(_folded(target))
            owners[digest] = plan.images[path] = target
            plan.listing[target] = digest
    _place_masks(plan, incoming)
    _place_patients(plan, incoming, table, params)
    return plan


def _owners(listing: Mapping[str, str], folder: str, params: ValidateParams) -> dict[str, str]:
    """The image that has each MD5: one of the class if there is one; of the other, none left out.

    An image left out for its wrong label may come back with the right one.
    """
    excluded = {str(PurePosixPath(item.path)) for item in params.exclude}
    digests = images(listing, tuple(params.folders))
    own = {path for path in digests if path.startswith(f"{folder}/")}
    others = digests.keys() - own - excluded
    return {digests[path]: path for path in [*sorted(others), *sorted(own, reverse=True)]}


def _folded(path: str) -> str:
    """One text for all paths that some file systems take for the same."""
    return unicodedata.normalize("NFC", path).casefold()


def _free(target: str, digest: str, taken: set[str]) -> str:
    path = PurePosixPath(target)
    named = path.with_name(f"{path.stem}-{digest[:8]}{path.suffix}")
    longer = path.with_name(f"{path.stem}-{digest}{path.suffix}")
    return next(
        (str(free) for free in (path, named) if _folded(str(free)) not in taken), str(longer)
    )


def _place_masks(plan: Plan, incoming: Incoming) -> None:
    places = plan.skipped | plan.images
    for image, mask in incoming.masks.items():
        if image not in places:
            continue
        digest, target = md5(incoming.root / mask), f"{MASKS_FOLDER}/{places[image]}.png"
        if target not in plan.listing:
            plan.masks[mask], plan.listing[target] = target, digest
        elif plan.listing[target] != digest:
            plan.problems.append(Finding(mask, f"other bytes than {target} of the data folder"))


def _place_patients(plan: Plan, incoming: Incoming, table: Path, params: ValidateParams) -> None:
    places = plan.skipped | plan.images
    known: dict[str, str] = {}
    for path, patient in incoming.patients.items():
        if patient and path in places and known.setdefault(places[path], patient) != patient:
            reason = f"same bytes as another image, but of patient {patient!r} instead of "
            plan.problems.append(Finding(path, f"{reason}{known[places[path]]!r}"))
    everything = images(plan.listing, tuple(params.folders))
    plan.table, contradictions = grown_table(table, sorted(everything), plan.images.values(), known)
    plan.problems.extend(contradictions)
    if plan.table is not None:
        digest = hashlib.md5(plan.table.encode(), usedforsecurity=False).hexdigest()
        plan.listing[PATIENTS_FILE] = digest

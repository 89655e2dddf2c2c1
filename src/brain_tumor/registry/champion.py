"""Who holds the alias @champion: the rule of `promote`, applied to the store of now."""

import os
from dataclasses import dataclass
from typing import Any

from brain_tumor.atomic import RESTORE, read_json
from brain_tumor.outputs import OutputsError, StageOutputs
from brain_tumor.registry import pages, versions
from brain_tumor.registry.contest import CHALLENGER, CHAMPION, Outcome, champion_of, contest
from brain_tumor.settings import RegisterParams
from brain_tumor.tracking import models, store
from brain_tumor.tracking.models import Version

PROMOTE_VARIABLE = "BRAIN_TUMOR_PROMOTE"
_CONTESTS = 5  # a contest takes seconds to minutes, and promotions are rare


@dataclass(frozen=True)
class Promotion:
    """What `promote` decided: the model's version, its alias, and the figures behind it."""

    uri: str
    alias: str
    decision: dict[str, Any]


def promote(outputs: StageOutputs, params: RegisterParams) -> Promotion:
    """Apply the rule to the registered model of the outputs and the champion of now.

    A second call changes nothing. `register.force` makes it the champion whatever the rule says,
    which is how an older model is brought back.

    Args:
        outputs: the files of the stages; registered.json says which model.
        params: section `register`.

    Raises:
        OutputsError: the store does not have the model.
        ValueError: a file is missing.
        ModelUnusableError: the champion cannot be run to be compared with.
    """
    wanted = read_json(outputs.registered, RESTORE)
    params = params.model_copy(update={"name": str(wanted["name"])})
    client = store.connect()
    version = versions.find_version(client, params.name, str(wanted["digest"]))
    if version is None:
        raise OutputsError(
            f"{outputs.registered}: the store has no version of {params.name} with digest "
            f"{wanted['digest']}; run `brain-tumor registry sync`"
        )
    outcome = judge(client, version, outputs, params)
    alias = give_alias(client, version, outcome.decision.alias, may_promote=True)
    pages.describe(client, version, alias, outcome.as_dict(), outputs)
    return Promotion(version.uri, alias, outcome.as_dict())


def judge(client: Any, version: Version, outputs: StageOutputs, params: RegisterParams) -> Outcome:
    """Hold the contest, again if the champion changed meanwhile: others may promote as well.

    Raises:
        ValueError: the champion changed during each of `_CONTESTS` contests.
    """
    for _ in range(_CONTESTS):
        before = _champion(client, params.name)
        outcome = contest(client, version, outputs, params)
        if _champion(client, params.name) == before:
            return outcome
    raise ValueError(
        f"{params.name}: its champion changed during each of {_CONTESTS} contests with "
        f"{version.uri}; stop what else promotes models, then run the same command again"
    )


def _champion(client: Any, name: str) -> str | None:
    holder = champion_of(client, name)
    return holder.number if holder else None


def may_promote() -> bool:
    """Whether registering may also make a champion: not with `BRAIN_TUMOR_PROMOTE=no`.

    Raises:
        ValueError: `BRAIN_TUMOR_PROMOTE` is neither `yes` nor `no`.
    """
    given = os.environ.get(PROMOTE_VARIABLE) or "yes"
    if given not in ("yes", "no"):
        raise ValueError(f"{PROMOTE_VARIABLE} is {given!r}: set it to yes or no")
    return given == "yes"


def give_alias(client: Any, version: Version, earned: str, *, may_promote: bool) -> str:
    """Give a version the alias it earned; a champion of long standing stays one."""
    alias = earned if may_promote or CHAMPION in version.aliases else CHALLENGER
    models.set_alias(client, version, alias)
    if alias == CHAMPION and CHALLENGER in version.aliases:
        models.drop_alias(client, version, CHALLENGER)
    return alias

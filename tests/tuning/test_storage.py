"""Of several processes that set an attribute at once the first wins, and all know who it was."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING

import pytest
from optuna.study import Study
from optuna.trial import TrialState

from brain_tumor.errors import UserError
from brain_tumor.tuning.search import open_study
from brain_tumor.tuning.storage import claim, open_present_storage, open_storage, storage_url
from tests.damage import DAMAGES, Damage
from tests.tuning.worker import outcomes, search, section

if TYPE_CHECKING:
    import subprocess

CLAIMANTS = 4


def claims(url: str, key: str) -> set[str]:
    """What claimants with a connection each say the attribute is, after all wanted another."""
    together = Barrier(CLAIMANTS)

    def wanted(number: int) -> str:
        storage = open_storage(url)
        together.wait()
        return claim(storage, "claimed", key, f"{key} {number}")

    with ThreadPoolExecutor(CLAIMANTS) as pool:
        return set(pool.map(wanted, range(CLAIMANTS)))


@pytest.mark.parametrize("database", ["sqlite_url", "postgres"])
def test_all_claimants_agree_on_the_first(database: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(database)
    study = open_study(open_storage(url), "claimed", section(), create=True)
    (first,) = claims(url, "run")
    assert study.user_attrs == {"run": first}
    (second,) = claims(url, "run.2")
    assert study.user_attrs == {"run": first, "run.2": second}


def test_a_claim_that_comes_too_late_changes_nothing(sqlite_url: str) -> None:
    storage = open_storage(sqlite_url)
    open_study(storage, "claimed", section(), create=True)
    assert claim(storage, "claimed", "run", "a") == "a"
    assert claim(storage, "claimed", "run", "b") == "a"
    assert claim(storage, "claimed", "run.2", "b") == "b"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with a study in it."""
    path = tmp_path_factory.mktemp("template") / "optuna.db"
    open_study(open_storage(f"sqlite:///{path}"), "search", section(), create=True)
    return path


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_storage_is_named_with_what_to_do(
    damage: Damage, template: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mlruns" / "optuna.db"
    path.parent.mkdir()
    shutil.copyfile(template, path)
    damage(path)
    for reach in (open_storage, open_present_storage):
        with pytest.raises(UserError, match="move it away and search anew") as caught:
            reach(storage_url(tmp_path))
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_a_storage_is_that_of_its_folder_whatever_its_name(template: Path, tmp_path: Path) -> None:
    root, neighbour = tmp_path / "a%20b?{c}#", tmp_path / "a b?{c}#"
    for folder in (root, neighbour):
        (folder / "mlruns").mkdir(parents=True)
        shutil.copyfile(template, folder / "mlruns" / "optuna.db")
    open_study(open_present_storage(storage_url(root)), "another", section(), create=True)
    assert (neighbour / "mlruns" / "optuna.db").read_bytes() == template.read_bytes()
    assert (root / "mlruns" / "optuna.db").read_bytes() != template.read_bytes()
    assert sorted(tmp_path.iterdir()) == sorted([root, neighbour])


def test_who_only_joins_a_search_makes_no_storage(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"optuna\.db: .*start `dvc repro tune` first"):
        open_present_storage(storage_url(tmp_path))
    assert not list(tmp_path.iterdir())


FreshUrl = Callable[[], str]
Spawn = Callable[..., "subprocess.Popen[str]"]


def failed(study: Study) -> list[int]:
    return [trial.number for trial in study.trials if trial.state == TrialState.FAIL]


@pytest.mark.parametrize(("dies_in", "drawn_before"), [(2, 2), (9, 5)])
def test_killed_search_goes_on_as_if_it_had_not_been_killed(
    fresh_url: FreshUrl, dies_in: int, drawn_before: int, sqlite_url: str, spawn: Spawn
) -> None:
    interrupted: list[dict[str, object]] = []
    killed = spawn(sqlite_url, section(), dies_in, drawn_before)
    _, errors = killed.communicate(timeout=60)
    assert killed.returncode == -9, errors

    resumed = search(
        sqlite_url,
        section(),
        on_interrupted=lambda trial: interrupted.append(dict(trial.user_attrs)),
    )
    whole = search(fresh_url(), section())

    assert outcomes(resumed) == outcomes(whole)
    assert len(outcomes(resumed)) == 12
    assert failed(resumed) == [dies_in]
    assert [attrs["note"] for attrs in interrupted] == [f"of trial {dies_in}"]
    assert "note" not in resumed.trials[dies_in + 1].user_attrs


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite_url", "postgres"])
def test_three_workers_share_a_study(
    database: str, spawn: Spawn, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(database)
    workers = [spawn(url, section(n_trials=12)) for _ in range(3)]
    reports = [process.communicate(timeout=120) for process in workers]

    assert [process.returncode for process in workers] == [0, 0, 0], reports
    study = open_study(open_storage(url), "search", section(), create=False)
    numbers = sorted(int(line) for output, _ in reports for line in output.split())
    assert numbers == list(range(len(study.trials)))
    assert 12 <= len(outcomes(study)) <= 14
    proposals = {tuple(trial.params.values()) for trial in study.trials}
    assert len(proposals) == len(study.trials)


@pytest.mark.slow
def test_no_two_workers_take_the_same_queued_trial(sqlite_url: str, spawn: Spawn) -> None:
    study = open_study(open_storage(sqlite_url), "search", section(), create=True)
    for dropout in range(20):
        study.enqueue_trial({"dropout": dropout / 100})

    workers = [spawn(sqlite_url, section(n_trials=20, pruner="none")) for _ in range(3)]
    reports = [process.communicate(timeout=120) for process in workers]

    assert [process.returncode for process in workers] == [0, 0, 0], reports
    numbers = sorted(int(line) for output, _ in reports for line in output.split())
    assert numbers == list(range(len(study.trials)))


def test_worker_dies_while_others_go_on(sqlite_url: str, spawn: Spawn) -> None:
    workers = [spawn(sqlite_url, section(), dies_in, 5) for dies_in in (3, -1)]
    for process in workers:
        process.communicate(timeout=60)
    study = search(sqlite_url, section())

    assert not study.get_trials(states=(TrialState.RUNNING, TrialState.WAITING))
    assert len(failed(study)) <= 1  # whoever got trial 3 may have been the one that goes on
    assert 12 <= len(outcomes(study)) <= 13

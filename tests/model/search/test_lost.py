"""A database that goes away in the middle of a search is named in one line, without secrets."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from tests.postgres_server import PASSWORD, postgres_server

from brain_tumor.model.search.run import run
from brain_tumor.model.search.storage import explaining, open_storage
from brain_tumor.model.search.study import open_study
from brain_tumor.settings import TuneParams

if TYPE_CHECKING:
    from optuna import Trial

Section = Callable[..., TuneParams]


def test_lost_database_is_named(section: Section) -> None:
    with ExitStack() as server:
        storage = open_storage(server.enter_context(postgres_server()), heartbeat_s=600)
        study = open_study(storage, "search", section(), create=True)

        def objective(trial: "Trial") -> float:
            server.close()
            return 1.0

        with (
            pytest.raises(ValueError, match="OPTUNA_STORAGE") as caught,
            explaining(storage.engine.url),
        ):
            run(study, section(), objective, print, print)
    message = str(caught.value)
    assert "connection" in message
    assert "\n" not in message
    assert PASSWORD not in message

"""An attribute of a study that the first of several processes sets."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy import TableClause


def claim(storage: "RDBStorage", study: str, key: str, value: str, former: str | None) -> str:
    """Set a user attribute of a study, unless another process has set it meanwhile.

    Optuna's own `set_user_attr` lets the last one win, and the first would not know.

    Args:
        storage: of the study.
        study: its name.
        key: of the attribute.
        value: what this process wants it to be.
        former: what it was when this process looked; None if it was not set.

    Returns:
        What it is now: `value`, or what the quicker process has set.
    """
    number = storage.get_study_id_from_name(study)
    if former is None:
        _insert(storage, number, key, value)
    else:
        _exchange(storage, number, key, value, former)
    return str(storage.get_study_user_attrs(number)[key])


def _insert(storage: "RDBStorage", number: int, key: str, value: str) -> None:
    from sqlalchemy import insert
    from sqlalchemy.exc import IntegrityError

    row = {"study_id": number, "key": key, "value_json": json.dumps(value)}
    try:
        with storage.engine.begin() as connection:
            connection.execute(insert(_attributes()).values(row))
    except IntegrityError:  # a key is there once per study: another process was quicker
        return


def _exchange(storage: "RDBStorage", number: int, key: str, value: str, former: str) -> None:
    from sqlalchemy import update

    table = _attributes()
    unchanged = (
        (table.c.study_id == number)
        & (table.c.key == key)
        & (table.c.value_json == json.dumps(former))
    )
    with storage.engine.begin() as connection:
        connection.execute(update(table).where(unchanged).values(value_json=json.dumps(value)))


def _attributes() -> "TableClause":
    """The table of Optuna's schema."""
    from sqlalchemy import column, table

    columns = ("study_id", "key", "value_json")
    return table("study_user_attributes", *(column(name) for name in columns))

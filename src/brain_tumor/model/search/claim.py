"""An attribute of a study that the first of several processes sets."""

import json
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.storages import RDBStorage


def claim(storage: "RDBStorage", study: str, key: str, value: str) -> str:
    """Set a user attribute of a study, unless another process has set it.

    Optuna's own `set_user_attr` lets the last one win, and the first would not know.

    Returns:
        What the attribute is now: `value`, or what the quicker process has set.
    """
    from sqlalchemy import column, insert, table
    from sqlalchemy.exc import IntegrityError

    number = storage.get_study_id_from_name(study)
    row = {"study_id": number, "key": key, "value_json": json.dumps(value)}
    attributes = table("study_user_attributes", *map(column, row))  # of Optuna's schema
    with suppress(IntegrityError), storage.engine.begin() as connection:
        connection.execute(insert(attributes).values(row))  # a key is there once per study
    return str(storage.get_study_user_attrs(number)[key])

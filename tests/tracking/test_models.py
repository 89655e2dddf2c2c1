"""What lies beside a model's bundle is read, or named with what to do."""

from pathlib import Path

import pytest

from brain_tumor.errors import UserError
from brain_tumor.files import write_json
from brain_tumor.tracking.models import CARD, CARD_FACTS, ModelFolder
from tests.damage import DAMAGES, flip_bits, folder_in_its_place

NOTE = "registered_model_meta"


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    (tmp_path / NOTE).write_text("model_name: net\nmodel_version: '3'\n", encoding="utf-8")
    (tmp_path / CARD).write_text("# Card\n" * 20, encoding="utf-8")
    write_json(tmp_path / CARD_FACTS, {"name": "net"})
    return ModelFolder(tmp_path)


def test_name_and_card_are_those_of_the_model(folder: ModelFolder, tmp_path: Path) -> None:
    assert (folder.name, folder.card[:6], folder.facts) == (
        "net version 3",
        "# Card",
        {"name": "net"},
    )
    nothing = ModelFolder(tmp_path / "none")
    assert (nothing.name, nothing.card, nothing.facts) == ("unregistered", "", {})


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_name_or_card_is_named(damage: object, folder: ModelFolder) -> None:
    assert callable(damage)
    damage(folder.root / CARD_FACTS)
    with pytest.raises(UserError, match=rf"{CARD_FACTS}: not readable; pull or register"):
        _ = folder.facts
    damage(folder.root / NOTE)
    with pytest.raises(UserError, match=rf"{NOTE}: not readable; pull or register") as caught:
        _ = folder.name
    assert "\n" not in str(caught.value)
    if damage in (flip_bits, folder_in_its_place):
        damage(folder.root / CARD)
        with pytest.raises(UserError, match=rf"{CARD}: not readable; pull or register"):
            _ = folder.card

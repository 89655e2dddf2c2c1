"""A folder of a model, signed and verified by real keys: what is changed since is named."""

import subprocess
from pathlib import Path

import pytest

from brain_tumor.errors import UserError
from brain_tumor.tracking.models import ModelFolder, find_model
from brain_tumor.tracking.signature import (
    PASSWORD,
    SIGNATURE,
    SIGNING_KEY,
    VERIFYING_KEY,
    SignatureError,
    sign,
    verify,
)

CHANGING = ("MODEL_CARD.md", "registered_model_meta")


def write_keys(folder: Path, password: str = "") -> tuple[Path, Path]:
    """A private and a public key, made as docs/team.md says."""
    folder.mkdir(parents=True, exist_ok=True)
    private, public = folder / "signing.pem", folder / "verifying.pem"
    curve = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    lock = ["-aes256", "-pass", f"pass:{password}"] if password else []
    unlock = ["-passin", f"pass:{password}"] if password else []
    for command in (
        [*curve, *lock, "-out", str(private)],
        ["openssl", "pkey", "-in", str(private), *unlock, "-pubout", "-out", str(public)],
    ):
        subprocess.run(command, check=True, capture_output=True)
    return private, public


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def model(tmp_path: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A signed folder of a model."""
    folder = tmp_path / "model"
    files = ("MLmodel", "MODEL_CARD.md", "artifacts/bundle/model.json", "code/package/module.py")
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"what {name} holds", encoding="utf-8")
    monkeypatch.setenv(SIGNING_KEY, str(keys[0]))
    monkeypatch.setenv(VERIFYING_KEY, str(keys[1]))
    sign(folder, CHANGING)
    return folder


def test_what_is_as_it_was_signed_is_verified(model: Path) -> None:
    verify(model)
    assert find_model(str(model)) == ModelFolder(model)
    (model / "MODEL_CARD.md").write_text("renewed", encoding="utf-8")
    (model / "registered_model_meta").write_text("model_name: n\n", encoding="utf-8")
    (model / "code" / "package" / "__pycache__").mkdir()
    (model / "code" / "package" / "__pycache__" / "module.pyc").write_bytes(b"compiled")
    verify(model.rename(model.with_name("moved")))


@pytest.mark.parametrize(
    "name", ["MLmodel", "artifacts/bundle/model.json", "code/package/module.py"]
)
def test_changed_file_is_named(model: Path, name: str) -> None:
    text = (model / name).read_text(encoding="utf-8")
    (model / name).write_text(text.replace("holds", "Holds"), encoding="utf-8")
    with pytest.raises(SignatureError, match=f"Hash mismatch for '{name}'"):
        find_model(str(model))
    (model / name).write_text(text, encoding="utf-8")
    verify(model)
    (model / name).unlink()
    with pytest.raises(SignatureError, match=f"Missing files.*{name}"):
        verify(model)


@pytest.mark.parametrize(
    "name", ["code/package/other.py", "artifacts/bundle/.hidden", "code/.git", ".gitignore"]
)
def test_added_file_is_named(model: Path, name: str) -> None:
    (model / name).write_text("evil", encoding="utf-8")
    with pytest.raises(SignatureError, match=f"Extra files.*{name}"):
        verify(model)


def test_link_in_a_signed_model_is_refused(model: Path, tmp_path: Path) -> None:
    module = model / "code" / "package" / "module.py"
    module.rename(tmp_path / "elsewhere.py")
    module.symlink_to(tmp_path / "elsewhere.py")
    with pytest.raises(SignatureError, match="module"):
        verify(model)


def test_another_key_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = write_keys(tmp_path / "other")
    monkeypatch.setenv(VERIFYING_KEY, str(public))
    with pytest.raises(SignatureError, match="not verified by BRAIN_TUMOR_VERIFYING_KEY"):
        verify(model)
    monkeypatch.setenv(SIGNING_KEY, str(private))
    sign(model, CHANGING)
    verify(model)


def test_without_a_key_nothing_is_verified(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (model / "MLmodel").write_text("changed", encoding="utf-8")
    monkeypatch.delenv(VERIFYING_KEY)
    verify(model)
    monkeypatch.setenv(VERIFYING_KEY, "")
    verify(model)


@pytest.mark.parametrize("content", [None, "", "{}", "[", '{"mediaType": "x"}'])
def test_missing_or_damaged_signature_is_an_error(model: Path, content: str | None) -> None:
    (model / SIGNATURE).unlink()
    if content is not None:
        (model / SIGNATURE).write_text(content, encoding="utf-8")
    with pytest.raises(SignatureError, match=r"registry sync"):
        verify(model)


def test_what_is_signed_may_not_be_replaced_by_a_signature_of_less(model: Path) -> None:
    (model / "code" / "package" / "module.py").write_text("evil", encoding="utf-8")
    signed = (model / SIGNATURE).read_text(encoding="utf-8")
    (model / SIGNATURE).write_text(signed.replace("payload", "Payload"), encoding="utf-8")
    with pytest.raises(SignatureError):
        verify(model)


def test_private_key_with_a_password(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = write_keys(tmp_path / "locked", password="a secret")
    monkeypatch.setenv(SIGNING_KEY, str(private))
    monkeypatch.setenv(VERIFYING_KEY, str(public))
    with pytest.raises(UserError, match=r"signing\.pem \(BRAIN_TUMOR_SIGNING_KEY\): no usable"):
        sign(model, CHANGING)
    monkeypatch.setenv(PASSWORD, "another")
    with pytest.raises(UserError, match="no usable private key"):
        sign(model, CHANGING)
    monkeypatch.setenv(PASSWORD, "a secret")
    sign(model, CHANGING)
    verify(model)


@pytest.mark.parametrize("variable", [SIGNING_KEY, VERIFYING_KEY])
def test_unusable_keys_are_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "none.pem"))
    with pytest.raises(UserError, match=rf"{variable} is '.*none\.pem': no such file"):
        sign(model, CHANGING) if variable == SIGNING_KEY else verify(model)
    (tmp_path / "none.pem").write_text("no key", encoding="utf-8")
    with pytest.raises(UserError, match=rf"none\.pem \({variable}\): no usable"):
        sign(model, CHANGING) if variable == SIGNING_KEY else verify(model)


def test_nothing_unsigned_is_made_where_models_are_verified(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SIGNING_KEY)
    with pytest.raises(UserError, match="set BRAIN_TUMOR_SIGNING_KEY"):
        sign(model, CHANGING)
    monkeypatch.delenv(VERIFYING_KEY)
    (model / SIGNATURE).unlink()
    sign(model, CHANGING)
    assert not (model / SIGNATURE).exists()

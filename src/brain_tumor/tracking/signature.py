"""Signatures of registered models in the format of OpenSSF Model Signing, by a pair of keys.

`BRAIN_TUMOR_SIGNING_KEY` names the private key by which models are signed when they are registered,
`BRAIN_TUMOR_VERIFYING_KEY` the public key that every model must be signed by to be read. Both are
PEM files of an elliptic curve. Without them nothing is signed or verified, and `model-signing` is
not needed.
"""

import ast
import os
from pathlib import Path
from typing import Any, Final

from brain_tumor.errors import UserError

SIGNATURE: Final = "model.sig"  # in the folder of a model
SIGNING_KEY: Final = "BRAIN_TUMOR_SIGNING_KEY"
PASSWORD: Final = "BRAIN_TUMOR_SIGNING_PASSWORD"
VERIFYING_KEY: Final = "BRAIN_TUMOR_VERIFYING_KEY"


class SignatureError(UserError):
    """A model is not signed by the key that it must be signed by, or was changed since."""


def sign(folder: Path, changing: tuple[str, ...]) -> None:
    """Sign the folder of a model, if there is a key: all files but those that change later.

    Raises:
        UserError: the key is not usable, or there is none although models are verified.
    """
    key = _key(SIGNING_KEY)
    if key is None:
        if is_required():
            raise UserError(
                f"{VERIFYING_KEY} is set, so an unsigned model could not be read: set {SIGNING_KEY}"
            )
        return
    model_signing = _model_signing()
    hashing = model_signing.hashing.Config().set_ignored_paths(
        paths=[*changing, SIGNATURE], ignore_git_paths=False
    )
    try:
        signing = model_signing.signing.Config().use_elliptic_key_signer(
            private_key=key,
            password=os.environ.get(PASSWORD, "").encode() or None,  # it takes no text
        )
    except (ValueError, TypeError) as error:
        raise UserError(f"{key} ({SIGNING_KEY}): no usable private key: {error}") from error
    signing.set_hashing_config(hashing).sign(folder, folder / SIGNATURE)


def is_required() -> bool:
    """Whether models must be signed to be read."""
    return bool(os.environ.get(VERIFYING_KEY))


def verify(folder: Path) -> None:
    """Verify the folder of a model, if there is a key.

    Compiled Python files are passed over: no command reads those that lie in a model, and `pull`
    leaves them out.

    Raises:
        SignatureError: it is not signed by that key, or a file was changed, added or removed.
        UserError: the key is not usable.
    """
    key = _key(VERIFYING_KEY)
    if key is None:
        return
    signature = folder / SIGNATURE
    if not signature.is_file():
        raise SignatureError(f"{folder}: not signed ({SIGNATURE} is missing); {_REMEDY}")
    model_signing = _model_signing()
    compiled = [path.relative_to(folder) for path in folder.rglob("__pycache__")]
    hashing = model_signing.hashing.Config().set_ignored_paths(
        paths=compiled, ignore_git_paths=False
    )
    try:
        verifying = model_signing.verifying.Config().use_elliptic_key_verifier(public_key=key)
    except (ValueError, TypeError) as error:
        raise UserError(f"{key} ({VERIFYING_KEY}): no usable public key: {error}") from error
    try:
        verifying.set_hashing_config(hashing).verify(folder, signature)
    except Exception as error:  # what a damaged signature raises is not documented
        raise SignatureError(f"{folder}: {_reason(error)}; {_REMEDY}") from error


def _reason(error: Exception) -> str:
    """What is wrong with a model, without the digests that model-signing prints as bytes."""
    text = str(error) or type(error).__name__
    start, _, differences = text.partition("Signature mismatch: ")
    if start or not differences.startswith("["):
        return f"no valid signature ({text})"
    parts = [part.partition(": Expected")[0] for part in ast.literal_eval(differences)]
    return "; ".join(parts)


_REMEDY = (
    f"so it is not verified by {VERIFYING_KEY}. Where {SIGNING_KEY} is set, `brain-tumor registry "
    "sync` registers the current model anew"
)


def _key(variable: str) -> Path | None:
    """The file that a variable names; None where it is not set."""
    name = os.environ.get(variable)
    if not name:
        return None
    path = Path(name).expanduser()
    if not path.is_file():
        raise UserError(f"{variable} is {name!r}: no such file; name a PEM file")
    return path


def _model_signing() -> Any:
    try:
        import model_signing
    except ImportError as error:
        raise UserError(
            f"signed models need model-signing: pip install 'brain-tumor[signing]' ({error})"
        ) from error
    return model_signing

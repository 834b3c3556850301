"""Ed25519 keys: one that signs what is registered here, and those that are trusted when it is loaded.

Keys come in files or variables, never in a URI or an option. `cryptography` is imported only where there is a key.
"""

import base64
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from harness.errors import InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_FILE: Final = "HARNESS_SIGNING_KEY_FILE"
KEY: Final = "HARNESS_SIGNING_KEY"
TRUSTED: Final = "HARNESS_TRUSTED_KEYS"
_PUBLIC: Final = re.compile(r"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signed, and the signature; both are empty where nobody has."""

    key: str = ""
    """``ed25519:`` and the first 16 hexadecimal digits of the SHA-256 of the public key's 32 bytes."""
    value: str = ""
    """Base64 of the 64 bytes."""


@dataclass(frozen=True, slots=True)
class Trust:
    """The public keys whose signatures count, by their id; None of them configured: nothing has to be signed."""

    keys: Mapping[str, Any]

    def problem(self, text: str, signature: Signature) -> str:
        """Why a text is not to be trusted; empty where it is, or where no trust is configured."""
        from cryptography.exceptions import InvalidSignature

        if not self.keys:
            return ""
        if not signature.value:
            return f"it is not signed, and only what {', '.join(self.keys)} signed is trusted ({TRUSTED})"
        if signature.key not in self.keys:
            return f"it is signed by {signature.key}, which is not among the trusted keys: {', '.join(self.keys)}"
        try:
            self.keys[signature.key].verify(base64.b64decode(signature.value, validate=True), text.encode())
        except (InvalidSignature, ValueError):
            return f"its signature by {signature.key} does not fit: someone has changed the manifest, or the signature"
        return ""


def sign(text: str) -> Signature:
    """A text signed with the key of the environment; an empty signature where there is none.

    Raises:
        InputError: the key cannot be read, or is none.
    """
    key = _signing_key()
    if key is None:
        return Signature()
    return Signature(key_id(key.public_key()), base64.b64encode(key.sign(text.encode())).decode())


def trust() -> Trust:
    """Whose signatures count: the public keys in the files that HARNESS_TRUSTED_KEYS names.

    Raises:
        InputError: a file cannot be read, or holds no public key.
    """
    found: dict[str, Any] = {}
    named = os.environ.get(TRUSTED, "")
    places = [place for place in named.split(os.pathsep) if place.strip()]
    if named and not places:  # to trust nobody in particular would be to load anything
        raise InputError(f"{TRUSTED} is set and names no file; name the public keys, or unset it")
    for place in places:
        keys = [_public(text, place) for text in _PUBLIC.findall(_read(Path(place), TRUSTED))]
        if not keys:
            raise InputError(f"{TRUSTED}: {place} holds no public key (-----BEGIN PUBLIC KEY-----); name the .pub file")
        found |= {key_id(key): key for key in keys}
    return Trust(found)


def key_id(public: Any) -> str:
    """The name of a public key."""
    return f"ed25519:{hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]}"


def make_key(output: Path) -> tuple[Path, str]:
    """Make a pair of keys: the private one at ``output``, for its owner alone, the public one beside it as ``.pub``.

    Returns:
        The public key's file, and its id.

    Raises:
        InputError: one of the files exists, or cannot be written.
    """
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = output.with_name(f"{output.name}.pub")
    for path in (output, public):
        if path.exists():
            raise InputError(f"{path} exists already, and a key that is replaced cannot be got back; name another file")
    key = Ed25519PrivateKey.generate()
    private_text = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    public_text = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(private_text)
        public.write_bytes(public_text)
    except OSError as error:
        raise InputError(f"{output}: the key cannot be written: {error.strerror or error}") from error
    return public, key_id(key.public_key())


def _signing_key() -> "Ed25519PrivateKey | None":
    if place := os.environ.get(KEY_FILE):
        return _private(_read(Path(place), KEY_FILE), f"{KEY_FILE} ({place})")
    if text := os.environ.get(KEY):
        return _private(text, KEY)
    return None


def _private(text: str, where: str) -> "Ed25519PrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = text.strip().replace("\\n", "\n")  # as CI systems keep it in one line
    try:
        if not text.startswith("-----"):
            return Ed25519PrivateKey.from_private_bytes(base64.b64decode(text, validate=True))
        key = load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(
            f"{where} holds no private key of Ed25519 without a passphrase (PEM, or base64 of its 32 bytes); make one: "
            "harness registry keygen -o FILE"
        )
    return key


def _public(text: str, place: str) -> Any:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{TRUSTED}: {place} holds a public key that is none of Ed25519")
    return key


def _read(path: Path, variable: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"{variable}: {path} cannot be read: {reason}") from None

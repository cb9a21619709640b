"""The key that marks and signs: an Ed25519 private key in a file of its own; the mark's secret is derived from it."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from stale_diffusion.errors import StaleError

MAX_BYTES = 10_000  # of a key file


@dataclass(frozen=True)
class PublicKey:
    """What is known of somebody who signs: 32 bytes."""

    raw: bytes

    @property
    def id(self) -> str:
        """The first 4 bytes of the SHA-256 of the key, as hexadecimal digits: also the beginning of a payload."""
        return hashlib.sha256(self.raw).hexdigest()[:8]

    def has_signed(self, data: bytes, signature: bytes) -> bool:
        """Whether a signature is of this key, over these bytes."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True)
class Key:
    """A private key: 32 bytes that its owner keeps."""

    raw: bytes

    @cached_property
    def public(self) -> PublicKey:
        """What others may know."""
        mine = Ed25519PrivateKey.from_private_bytes(self.raw).public_key()
        return PublicKey(mine.public_bytes(Encoding.Raw, PublicFormat.Raw))

    @property
    def secret(self) -> bytes:
        """Of the mark; the private key cannot be found from it."""
        return hashlib.sha256(b"stale-diffusion watermark 1\0" + self.raw).digest()

    def sign(self, data: bytes) -> bytes:
        """An Ed25519 signature, 64 bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.raw).sign(data)

    def pem(self) -> bytes:
        """As PKCS #8, which openssl reads."""
        private = Ed25519PrivateKey.from_private_bytes(self.raw)
        return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def folder() -> Path:
    """The user's configuration folder of this program."""
    from click import get_app_dir

    return Path(get_app_dir("stale-diffusion"))


def own_path() -> Path:
    """Where the user's own key is."""
    return folder() / "key.pem"


def own(path: Path | None = None) -> Key:
    """The key of a file, or the user's own; made if it is not there, readable by its owner only.

    Raises:
        StaleError: it is no private key, others can read it, or it cannot be made.
    """
    path = path or own_path()
    if not path.exists():
        _make(path)
    found = load(path)
    if isinstance(found, PublicKey):
        raise StaleError(f"{path} is a public key.", "marking and signing need the private one", "--key key.pem",
                         usage=True)  # fmt: skip
    return found


def load(path: Path) -> Key | PublicKey:
    """A private or a public key from a PEM file.

    Raises:
        StaleError: it is missing, others can read a private key, or it is no Ed25519 key.
    """
    try:
        with path.open("rb") as file:
            mode, data = stat.S_IMODE(os.fstat(file.fileno()).st_mode), file.read(MAX_BYTES)
    except OSError as error:
        why = error.strerror or str(error)
        raise StaleError(f"{path} cannot be read as a key.", why, "check the name", usage=True) from None
    try:
        if b"PRIVATE" not in data:
            public = load_pem_public_key(data)
            if isinstance(public, Ed25519PublicKey):
                return PublicKey(public.public_bytes(Encoding.Raw, PublicFormat.Raw))
            raise ValueError
        private = load_pem_private_key(data, None)
        if not isinstance(private, Ed25519PrivateKey):
            raise ValueError
    except (ValueError, TypeError):  # TypeError: it has a password
        why = "a key is a PEM file of an Ed25519 key, without a password"
        raise StaleError(
            f"{path} is not a key.", why, "leave out --key: your own is made at first use", usage=True
        ) from None
    if os.name == "posix" and mode & 0o077:
        raise StaleError(f"{path} is a private key that others can read.", "whoever has it can sign as you",
                         f"chmod 600 {path}")  # fmt: skip
    return Key(private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))


def known() -> list[PublicKey]:
    """The user's own key, if there is one, and those in the folder `known`, NAME.pem; damaged ones are left out."""
    found = []
    for path in (own_path(), *sorted((folder() / "known").glob("*.pem"))):
        with suppress(StaleError):
            key = load(path)
            found.append(key.public if isinstance(key, Key) else key)
    return found


def _make(path: Path) -> None:
    """Write a new key; if another process was faster, its key stays."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(Key(secrets.token_bytes(32)).pem())
        with suppress(FileExistsError):
            os.link(part, path)
    except OSError as error:
        why = f"{path}: {error.strerror or error}"
        raise StaleError("Your key cannot be made.", why, "--key FILE elsewhere, or --no-watermark") from None
    finally:
        with suppress(OSError):
            part.unlink()

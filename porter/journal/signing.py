"""Signed heads: a leader's Ed25519 signature (RFC 8032) over where the journal ended, and its check by a public key.

What is signed is a text of five lines, each ended by a newline: `porter head 1`, the genesis, the epoch, the position,
and the hash in hex. A key's name is the first 16 hex digits of the SHA-256 of its raw 32 bytes.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from porter.events.decided import HeadSigned
from porter.events.envelope import Head
from porter.files import PRIVATE, write_atomically
from porter.ports import JournalError

KEY_NAME_DIGITS = 16


class InvalidKey(JournalError):
    """A key cannot be used; the message names the file and the mend."""


class Signer:
    """Signs heads with one private key."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.name = _name(private.public_key())

    @property
    def public_pem(self) -> bytes:
        """The public key, as files hold it."""
        return self._private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, head: Head) -> HeadSigned:
        """The event that says and proves where the journal ended."""
        text = _text(head.genesis, head.epoch, head.position, head.hash.hex())
        return HeadSigned(head.epoch, head.position, head.hash.hex(), self.name, self._private.sign(text).hex())


class Verifier:
    """Checks signed heads against the public keys that somebody trusts."""

    def __init__(self, files: Iterable[Path]) -> None:
        """Read the keys, each a file in PEM.

        Raises:
            InvalidKey: a file cannot be read, or holds no public key of Ed25519.
        """
        keys = [_public_key(path) for path in files]
        self._keys = {_name(key): key for key in keys}

    def problem(self, genesis: str, signed: HeadSigned) -> str:
        """What is wrong with a signature; "" for nothing."""
        key = self._keys.get(signed.key)
        if key is None:
            return f"is signed by the key {signed.key}, which is not among those that were given"
        try:
            key.verify(bytes.fromhex(signed.signature), _text(genesis, signed.epoch, signed.position, signed.hash))
        except (InvalidSignature, ValueError):
            return f"has no valid signature of the key {signed.key}"
        return ""


def load_signer(path: Path) -> Signer:
    """The signer of a private key in PEM (PKCS #8).

    Raises:
        InvalidKey: it cannot be read, others may read it, or it is no private key of Ed25519.
    """
    try:
        content = path.read_bytes()
        if stat.S_IMODE(path.stat().st_mode) & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
            raise InvalidKey(f"the signing key {path} is open to others; make its mode 0600 or 0400")
        private = load_pem_private_key(content, password=None)
    except OSError as error:
        raise InvalidKey(f"the signing key {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidKey(f"{path} holds no private key in PEM: {error}; make one: {_MAKE}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise InvalidKey(f"{path} holds a key of another kind than Ed25519; make one: {_MAKE}")
    return Signer(private)


_MAKE = "openssl genpkey -algorithm ed25519 -out FILE"


def make_key(path: Path) -> None:
    """Make a private key (mode 0600), and its public one beside it (`.pub`), where there is none.

    Raises:
        InvalidKey: the disk refused.
    """
    if path.exists():
        return
    private = Ed25519PrivateKey.generate()
    content = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        write_atomically(path.with_suffix(".pub"), Signer(private).public_pem, durable=True)
        write_atomically(path, content, durable=True, mode=PRIVATE)
    except OSError as error:
        raise InvalidKey(f"the signing key {path} cannot be written: {error.strerror}") from error


def _public_key(path: Path) -> Ed25519PublicKey:
    try:
        content = path.read_bytes()
        key = load_pem_public_key(content)
    except OSError as error:
        raise InvalidKey(f"the public key {path} cannot be read: {error.strerror}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidKey(f"{path} holds no public key in PEM: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidKey(f"{path} holds a key of another kind than Ed25519")
    return key


def _name(key: Ed25519PublicKey) -> str:
    return sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:KEY_NAME_DIGITS]


def _text(genesis: str, epoch: int, position: int, hash_: str) -> bytes:
    return f"porter head 1\n{genesis}\n{epoch}\n{position}\n{hash_}\n".encode()

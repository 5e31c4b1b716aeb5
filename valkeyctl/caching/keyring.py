"""The keys that entries are encrypted with, and what an encrypted payload looks like.

::

    offset  bytes
    0       4     id of the key, big endian
    4       12    nonce, random for every entry
    16      n+16  AES-256-GCM: the ciphertext, then its tag
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Mapping

from valkeyctl.caching.codec import UndecodableError, UnreadableError
from valkeyctl.errors import MissingError, UsageError

KEY_BYTES = 32
ENCRYPTION_BYTES = 4 + 12 + 16
"""What an encrypted payload has more than the plain one."""

_NONCE_BYTES = 12
_LARGEST_ID = 2**32 - 1
_ID = re.compile(r"[0-9]{1,10}", re.ASCII)


class KeyRing:
    """AES-256 keys by id, one of which encrypts while all of them decrypt.

    To rotate: give every reader the new key beside the old one, then make it the current
    one, and drop the old one after the longest ttl. A reader that meets a key it does not
    have yet counts a miss and leaves the entry alone.

    A key is good for 4,294,967,296 entries, for nonces are random; rotate before.

    Args:
        keys: 32 random bytes each, by an id from 0 to 4,294,967,295.
        current: Id of the key that encrypts.
        random: Source of nonces, for tests. One nonce twice under one key breaks it.

    Raises:
        UsageError: A key or an id is not as described; no message repeats a key.
        MissingError: The extra ``encryption`` is not installed.
    """

    def __init__(
        self,
        keys: Mapping[int, bytes],
        current: int,
        *,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        for key_id, key in keys.items():
            if not 0 <= key_id <= _LARGEST_ID:
                raise UsageError(f"the id of a key is from 0 to {_LARGEST_ID}, not {key_id}")
            if len(key) != KEY_BYTES:
                raise UsageError(
                    f"key {key_id} has {len(key)} bytes, not {KEY_BYTES}",
                    hint="Make one: openssl rand -base64 32",
                )
        if current not in keys:
            known = ", ".join(map(str, sorted(keys))) or "none"
            raise UsageError(f"key {current} cannot be the current one of {known}")
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ModuleNotFoundError as error:
            raise MissingError(
                "encryption needs the package cryptography, which is not installed",
                hint="Install it: pip install 'valkeyctl[encryption]'",
            ) from error
        self._invalid_tag = InvalidTag
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._random = random
        self.current = current

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """Return the key ring that ``id:base64,id:base64`` describes; the first key is current.

        Both alphabets of base64 will do, with or without padding.

        Raises:
            UsageError: It is something else; no message repeats a part of *text*.
            MissingError: The extra ``encryption`` is not installed.
        """
        keys: dict[int, bytes] = {}
        for place, part in enumerate(text.split(","), start=1):
            key_id, colon, encoded = part.strip().partition(":")
            if not colon or not _ID.fullmatch(key_id):
                raise _malformed(place)
            if int(key_id) in keys:
                raise UsageError(f"the key ring has two keys {int(key_id)}")
            digits = encoded.rstrip("=").replace("-", "+").replace("_", "/")
            try:
                key = base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
            except (binascii.Error, ValueError) as error:
                raise _malformed(place) from error
            keys[int(key_id)] = key
        return cls(keys, next(iter(keys)))

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids of all keys, ascending."""
        return tuple(sorted(self._ciphers))

    def __repr__(self) -> str:
        return f"KeyRing(ids={self.ids}, current={self.current})"

    def encrypt(self, data: bytes, associated: bytes) -> bytes:
        """Return *data* under the current key; only with the same *associated* it opens."""
        nonce = self._random(_NONCE_BYTES)
        sealed = self._ciphers[self.current].encrypt(nonce, data, associated)
        return self.current.to_bytes(4, "big") + nonce + sealed

    def decrypt(self, payload: bytes, associated: bytes) -> bytes:
        """Return what `encrypt` was given.

        Raises:
            UnreadableError: Its key is not in this ring.
            UndecodableError: It is cut short, or was changed, or *associated* is another.
        """
        key_id = key_id_of(payload)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise UnreadableError(f"encrypted with key {key_id}, which is not in {self!r}")
        try:
            return cipher.decrypt(payload[4:16], payload[16:], associated)
        except self._invalid_tag as error:
            raise UndecodableError(
                f"the payload was not encrypted with key {key_id} for this entry"
            ) from error


def key_id_of(payload: bytes) -> int:
    """Return the id of the key that *payload*, or its beginning, says it is encrypted with.

    Raises:
        UndecodableError: It is too short to be encrypted.
    """
    if len(payload) < ENCRYPTION_BYTES:
        raise UndecodableError(f"{len(payload)} bytes are too few for an encrypted payload")
    return int.from_bytes(payload[:4], "big")


def _malformed(place: int) -> UsageError:
    return UsageError(
        f"part {place} of the key ring is not id:base64",
        hint="Give it as 2:<new key>,1:<old key>; make a key: openssl rand -base64 32",
    )

"""Encryption of backups, by age: a file format that other tools read too.

Each 64 KiB are sealed with a counter and a mark on the last (STREAM), so a file that was
cut, changed or put together anew does not decrypt. With the key file,
``age --decrypt -i KEYFILE dump.rdb.age`` gives the RDB without valkeyctl.
"""

from __future__ import annotations

import hmac
import importlib.util
import io
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from valkeyctl.errors import FolderError, MissingError, RefusedError, UsageError

if TYPE_CHECKING:
    import pyrage
    from typing_extensions import Buffer

SUFFIX = ".age"
_PREFIX = "AGE-SECRET-KEY-1"
_PURPOSE = b"valkeyctl backup manifest"
_LONGEST = 64 * 1024


class Readable(Protocol):
    """Where bytes come from."""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to *size* bytes; empty at the end."""


class Writable(Protocol):
    """Where bytes go to."""

    def write(self, data: bytes, /) -> int:
        """Take all of *data*."""


@dataclass(frozen=True)
class Key:
    """The key of a backup; ``repr`` does not show it.

    Attributes:
        file: Where it is kept.
    """

    file: Path
    _identity: pyrage.x25519.Identity = field(repr=False)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Return the key in *file*.

        Raises:
            MissingError: There is no such file, or age is not installed.
            RefusedError: Others can read it.
            UsageError: It holds no key.
        """
        require_age()
        import pyrage

        try:
            with file.open(encoding="utf-8") as opened:
                mode = os.fstat(opened.fileno()).st_mode
                text = opened.read(_LONGEST)
        except OSError as error:
            raise MissingError(
                f"cannot read the key file {file}: {error.strerror or error}",
                hint="Make one: valkeyctl backup --new-key FILE",
            ) from error
        except UnicodeDecodeError as error:
            raise _no_key(file) from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise RefusedError(
                f"the key file {file} is open to others (mode {stat.S_IMODE(mode):04o})",
                hint=f"Close it: chmod 600 {file}",
            )
        lines = [line.strip() for line in text.splitlines()]
        found = [line for line in lines if line.startswith(_PREFIX)]
        if len(found) != 1:
            raise _no_key(file)
        try:
            return cls(file, pyrage.x25519.Identity.from_str(found[0]))
        except pyrage.IdentityError as error:
            raise _no_key(file) from error

    @classmethod
    def make(cls, file: Path) -> Self:
        """Return a new key, written to *file* with mode 0600.

        Raises:
            MissingError: age is not installed.
            RefusedError: There is such a file.
            FolderError: It cannot be written.
        """
        require_age()
        import pyrage

        identity = pyrage.x25519.Identity.generate()
        text = f"# made by valkeyctl; public key: {identity.to_public()}\n{identity}\n"
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as opened:
                opened.write(text)
                opened.flush()
                os.fsync(opened.fileno())
        except FileExistsError as error:
            # Whoever overwrites a key loses every backup that was made with it.
            raise RefusedError(
                f"{file} is there already", hint=f"Use it: --key-file {file}"
            ) from error
        except OSError as error:
            raise FolderError(f"cannot write {file}: {error.strerror or error}") from error
        return cls(file, identity)

    @property
    def id(self) -> str:
        """Tells this key from others, and nothing of it."""
        return self.mac(b"")[:16]

    def mac(self, data: bytes) -> str:
        """Return what only a holder of this key can make of *data*, as hex digits.

        age encrypts for a public key, so anybody who has that could make a file which
        opens; this needs the secret one.
        """
        derived = hmac.digest(str(self._identity).encode(), _PURPOSE, "sha256")
        return hmac.digest(derived, data, "sha256").hex()

    def seal(self, source: Readable, sink: Writable) -> None:
        """Encrypt all of *source* into *sink*; raises what they raise."""
        require_age()
        import pyrage

        reading, writing = _Source(source), _Sink(sink)
        try:
            pyrage.encrypt_io(reading, writing, [self._identity.to_public()])
        except (pyrage.EncryptError, OSError) as error:
            raise (reading.failure or writing.failure or error) from error

    def unseal(self, source: Readable, sink: Writable, name: object) -> None:
        """Decrypt all of *source* into *sink*; raises what they raise.

        Bytes reach *sink* before the end of *source* was checked: only when this returns
        are they known to be whole.

        Args:
            source: What was sealed.
            sink: Where its contents go.
            name: What it is called in an error.

        Raises:
            UsageError: It was sealed with another key.
            FolderError: It was cut or changed, or was never sealed.
        """
        require_age()
        import pyrage

        reading, writing = _Source(source), _Sink(sink)
        try:
            pyrage.decrypt_io(reading, writing, [self._identity])
        except (pyrage.DecryptError, OSError) as error:
            failure = reading.failure or writing.failure
            if failure is not None:
                raise failure from error
            if "key" in str(error).lower():
                raise UsageError(
                    f"{name} was encrypted with another key than the one in {self.file}",
                    hint="Give the key file that it was made with: --key-file FILE",
                ) from error
            raise FolderError(f"{name} cannot be decrypted: it was cut or changed") from error


class _Source(io.BufferedIOBase):
    """Remembers why reading failed; age would only keep the words."""

    def __init__(self, source: Readable) -> None:
        super().__init__()
        self._source = source
        self.failure: BaseException | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return self._source.read(-1 if size is None else size)
        except BaseException as error:
            self.failure = error
            raise


class _Sink(io.BufferedIOBase):
    """Remembers why writing failed."""

    def __init__(self, sink: Writable) -> None:
        super().__init__()
        self._sink = sink
        self.failure: BaseException | None = None

    def write(self, data: Buffer, /) -> int:
        try:
            return self._sink.write(bytes(data))
        except BaseException as error:
            self.failure = error
            raise

    def flush(self) -> None:
        """Do nothing: whoever opened the sink flushes it."""


def require_age() -> None:
    """Make sure that age can be had.

    Raises:
        MissingError: It is not installed.
    """
    if importlib.util.find_spec("pyrage") is None:
        raise MissingError(
            "encrypted backups need age, which is not installed",
            hint="Install it: pip install 'valkeyctl[encryption]'",
        )


def _no_key(file: Path) -> UsageError:
    return UsageError(
        f"{file} holds no age key, or more than one",
        hint="Make one: valkeyctl backup --new-key FILE",
    )

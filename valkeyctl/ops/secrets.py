"""The passwords of a deployment: made, kept, and brought into the form that a server reads.

::

    secrets/<name>/app             the password that clients use now
    secrets/<name>/app.next        the one that takes its place, when every server knows it
    secrets/<name>/app.previous    the one before, valid until the rotation is finished
    secrets/<name>/tls/            certificates and keys; see `valkeyctl.ops.tls`

A server accepts all three. Each step from one state to the next writes or renames one file,
so that whoever is killed in between leaves no password that works nowhere, and none that is
needed and gone.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from valkeyctl.errors import FolderError, MissingError, ProfileError
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.tls.pair import kept_tls_files, tls_files
from valkeyctl.profile.schema import Profile
from valkeyctl.render.acl import (
    ACL_FILE,
    APP,
    EXPORTER,
    REPLICA,
    SENTINEL,
    acl_text,
    password_users,
    users,
)
from valkeyctl.render.artefacts import Artefacts
from valkeyctl.render.replication import REPLICA_FILE, SENTINEL_FILE
from valkeyctl.render.tls import TLS_FILES
from valkeyctl.runtime.files import private_folder, write_private
from valkeyctl.runtime.material import Material

_BYTES = 32
_NEXT, _PREVIOUS = ".next", ".previous"


class Passwords:
    """The passwords of one deployment, a file of 0600 each.

    Args:
        folder: Where they are, or will be; see `StateFolder.secrets`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def file(self, user: str) -> Path:
        """Return the file with the password that *user* logs in with now."""
        return self._folder / user

    def current(self, user: str) -> str | None:
        """Return the password that *user* logs in with now; None without one."""
        return self._read(user)

    def coming(self, user: str) -> str | None:
        """Return the password that will take its place; None outside of a rotation's begin."""
        return self._read(user + _NEXT)

    def previous(self, user: str) -> str | None:
        """Return the one before, which still works; None when none does."""
        found = self._read(user + _PREVIOUS)
        # Killed just before the new one took its place, a rotation leaves the same twice.
        return found if found != self.current(user) else None

    def since(self, user: str) -> float | None:
        """Return when the present password of *user* took its place, in seconds since the epoch.

        None when no rotation is under way.
        """
        if self.previous(user) is None:
            return None
        return (self._folder / (user + _PREVIOUS)).stat().st_mtime

    def accepted(self, user: str, *, previous: bool = True) -> tuple[str, ...]:
        """Return every password that a server is to accept of *user*.

        Args:
            user: Whose.
            previous: Whether the one before the present is among them.
        """
        found = [self.current(user), self.coming(user)]
        if previous:
            found.append(self.previous(user))
        return tuple(dict.fromkeys(password for password in found if password is not None))

    def keep(self, user: str, password: str) -> None:
        """Make *password* that of *user*; one that it had before still works.

        Raises:
            FolderError: It cannot be written.
        """
        before = self.current(user)
        if before == password:
            return
        private_folder(self._folder)
        if before is not None:
            write_private(self._folder / (user + _PREVIOUS), before)
        write_private(self.file(user), password)

    def prepare(self, user: str, password: str) -> None:
        """Keep *password* as the coming one of *user*, unless there is a coming one.

        Raises:
            FolderError: It cannot be written.
        """
        if self.coming(user) is None:
            private_folder(self._folder)
            write_private(self._folder / (user + _NEXT), password)

    def promote(self, user: str) -> None:
        """Make the coming password of *user* the present one, and the present the previous.

        Raises:
            FolderError: It cannot be written.
        """
        if self.coming(user) is None:
            return
        current = self.current(user)
        if current is not None:
            write_private(self._folder / (user + _PREVIOUS), current)
        try:
            (self._folder / (user + _NEXT)).replace(self.file(user))
        except OSError as error:
            raise self._failed("write", user, error) from error

    def retire(self, user: str) -> None:
        """Forget the previous password of *user*.

        Raises:
            FolderError: It cannot be removed.
        """
        try:
            (self._folder / (user + _PREVIOUS)).unlink(missing_ok=True)
        except OSError as error:
            raise self._failed("remove", user + _PREVIOUS, error) from error

    def _read(self, name: str) -> str | None:
        try:
            # An editor ends a file with a line break; no password of ours has one.
            return (self._folder / name).read_text(encoding="utf-8").rstrip("\r\n") or None
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise self._failed("read", name, error) from error

    def _failed(self, what: str, name: str, error: OSError | UnicodeDecodeError) -> FolderError:
        file = self._folder / name
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        return FolderError(
            f"cannot {what} the password {file}: {why}",
            hint="Restore that file, or remove it: the next deploy makes a new password",
        )


def passwords(state: StateFolder, name: str) -> Passwords:
    """Return the passwords of the deployment *name*."""
    return Passwords(state.secrets(name))


def password_of(name: str, state: StateFolder, user: str) -> str:
    """Return the password that *user* of the deployment *name* logs in with now.

    Raises:
        MissingError: There is none: it was not deployed from here.
        FolderError: It cannot be read.
    """
    found = passwords(state, name).current(user)
    if found is None:
        raise MissingError(
            f"there is no password of the user {user} of {name} in {state.secrets(name)}",
            hint=f"Deploy it: valkeyctl deploy -p {name}; or give --url with a login",
        )
    return found


def material(
    profile: Profile | None,
    unit: Artefacts,
    state: StateFolder,
    *,
    dry_run: bool = False,
    retired: Iterable[str] = (),
) -> Material:
    """Return the secret files that *unit* reads; made where they are missing.

    Call it with the deployment's lock held.

    Args:
        profile: Which the unit was rendered from; a password that it gives takes the place
            of the application's, and the one before still works until the rotation is
            finished. None makes nothing: for a unit that is to run as it did before.
        unit: A server or sentinel.
        state: Our own files.
        dry_run: Write nothing; a password that is missing is one for this call alone.
        retired: Users whose previous password is not accepted any more.

    Raises:
        MissingError: A password or a certificate is not there.
        ProfileError: The password in the profile cannot be one.
        FolderError: A file cannot be read or written.
    """
    kept = passwords(state, unit.deployment)
    made: dict[str, str] = {}
    if unit.auth and profile is not None:
        made = _wanted(profile, unit, kept)
        if not dry_run:
            for user, password in made.items():
                kept.keep(user, password)
    files: dict[str, bytes] = {}
    if ACL_FILE in unit.material:
        exported = (
            kept.current(EXPORTER) is not None if profile is None else profile.exporter.enabled
        )
        found = users(unit.app, topology=unit.topology, kind=unit.kind, exporter=exported)
        hashes = {
            user.name: [
                _hash(password)
                for password in _accepted(user.name, unit, state, made, frozenset(retired))
            ]
            for user in found
            if user.login == "password"
        }
        files[ACL_FILE] = acl_text(found, hashes).encode()
    if REPLICA_FILE in unit.material:
        login = made.get(REPLICA) or password_of(unit.deployment, state, REPLICA)
        files[REPLICA_FILE] = f"primaryuser {REPLICA}\nprimaryauth {login}\n".encode()
    if SENTINEL_FILE in unit.material:
        login = made.get(SENTINEL) or password_of(unit.deployment, state, SENTINEL)
        files[SENTINEL_FILE] = (
            f"sentinel auth-user {unit.deployment} {SENTINEL}\n"
            f"sentinel auth-pass {unit.deployment} {login}\n"
            f"sentinel sentinel-user {SENTINEL}\nsentinel sentinel-pass {login}\n"
        ).encode()
    if not set(TLS_FILES).isdisjoint(unit.material):
        files.update(
            kept_tls_files(unit.deployment, state) if profile is None else tls_files(profile, state)
        )
    return Material(files)


def exposed(name: str, state: StateFolder) -> list[str]:
    """Return a warning for each secret file of *name* that other users can read, or folder."""
    folder = state.secrets(name)
    found = []
    for path in [folder, *sorted(folder.rglob("*"))]:
        with contextlib.suppress(OSError):
            wanted = 0o700 if path.is_dir() else 0o600
            if path.suffix != ".crt" and path.stat().st_mode & 0o777 & ~wanted:
                found.append(f"{path} is open to other users: chmod {wanted:o} {path}")
    return found


def _wanted(profile: Profile, unit: Artefacts, kept: Passwords) -> dict[str, str]:
    """Return the passwords to keep beside, or instead of, those that there are."""
    names = password_users(unit.app, topology=unit.topology, exporter=profile.exporter.enabled)
    made = {name: secrets.token_urlsafe(_BYTES) for name in names if kept.current(name) is None}
    if profile.auth.password is not None:
        given = profile.auth.password.get_secret_value()
        if not given.isprintable():
            text = "the password has control characters or line breaks; an application could not"
            raise ProfileError((profile.problem("auth.password", f"{text} send it"),))
        if given != kept.current(APP):
            made[APP] = given
    return made


def _accepted(
    user: str,
    unit: Artefacts,
    state: StateFolder,
    made: Mapping[str, str],
    retired: frozenset[str],
) -> tuple[str, ...]:
    """Return the passwords that *user* may log in with, the present one first."""
    now = made.get(user) or password_of(unit.deployment, state, user)
    kept = passwords(state, unit.deployment).accepted(user, previous=user not in retired)
    return tuple(dict.fromkeys((now, *kept)))


def _hash(password: str) -> str:
    """Return what ``users.acl`` has of *password*: SHA-256, in hex.

    Unsalted, as the server wants it: only a password that nobody can guess is safe behind
    it, such as 32 random bytes.
    """
    return hashlib.sha256(password.encode()).hexdigest()

"""A new password for a user of a deployment while clients go on with the old one.

First both are valid: the servers are given an ACL file with two hashes, and read it (ACL
LOAD cuts no connection of a user that still exists). When every client has the new one,
the old one is taken away; a connection that it opened stays open even then.

Killed at any point, the next call goes on where it was: the new password is written down
before any server hears of it, and the old one is forgotten last.
"""

from __future__ import annotations

import secrets as randomness
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import RefusedError, UsageError
from valkeyctl.ops.aclload import load_users
from valkeyctl.ops.secrets import material
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.users import Kept, Site, kept_by, site_of
from valkeyctl.profile.schema import Profile
from valkeyctl.render import Artefacts
from valkeyctl.render.acl import APP, REPLICA, SENTINEL

_BYTES = 32
_TIMEOUT = 5.0
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Rotation:
    """What a step of a rotation has done.

    Attributes:
        name: Of the deployment.
        users: Whose passwords it was about, as they are now.
        told: Servers and sentinels that read the new list of users.
        finished: Whether the old passwords were taken away.
        warnings: What the operator should know although it worked.
    """

    name: str
    users: tuple[Kept, ...]
    told: tuple[str, ...]
    finished: bool
    warnings: tuple[str, ...]


def rotate(
    profile: Profile,
    state: StateFolder,
    names: Sequence[str] = (),
    *,
    progress: Progress,
) -> Rotation:
    """Give the users *names* a new password beside the one that they have.

    Args:
        profile: What is deployed.
        state: Our own files.
        names: Users; without any, all whose password is not being changed already.
        progress: Called with one line per step.

    Raises:
        UsageError: There are no users, or not one of *names*.
        RefusedError: The password of one is being changed already, or is the profile's.
        LockedError: Another command works on the deployment.
        UnreachableError, AuthError, TlsError, ServerReplyError: A server could not be
            told; the same call goes on from there.
        ToolError, FolderError: Podman, or a file, failed.
    """
    with state.lock(profile.name):
        site = site_of(profile, state)
        chosen = _to_rotate(site, names)
        for user in chosen:
            site.passwords.prepare(user, randomness.token_urlsafe(_BYTES))
        progress(f"letting the servers of {profile.name} accept a new password beside the old one")
        _tell(site)
        for user in chosen:
            site.passwords.promote(user)
        _hand_over(site, chosen)
        return _result(site, chosen, finished=False)


def finish(
    profile: Profile,
    state: StateFolder,
    names: Sequence[str] = (),
    *,
    progress: Progress,
) -> Rotation:
    """Take the old password away from the users *names*; who is connected stays connected.

    Args:
        profile: What is deployed.
        state: Our own files.
        names: Users; without any, all whose password is being changed.
        progress: Called with one line per step.

    Raises:
        RefusedError: A rotation was interrupted before the servers knew the new password.
        UsageError, LockedError, UnreachableError, AuthError, TlsError, ServerReplyError,
        ToolError, FolderError: As `rotate`.
    """
    with state.lock(profile.name):
        site = site_of(profile, state)
        chosen = _to_finish(site, names)
        if chosen:
            progress(f"taking the old passwords of {', '.join(chosen)} away")
            _hand_over(site, chosen)
            _tell(site, retired=chosen)
            for user in chosen:
                site.passwords.retire(user)
        return _result(site, chosen, finished=True)


def due(
    profile: Profile, state: StateFolder, names: Sequence[str] = (), *, finish: bool
) -> tuple[str, ...]:
    """Return the users that `finish`, or `rotate`, would be about; raises what that would."""
    site = site_of(profile, state)
    return tuple(_to_finish(site, names) if finish else _to_rotate(site, names))


def hand_over(unit: Artefacts, endpoint: Endpoint, user: str, password: str) -> None:
    """Let a running *unit* itself log in elsewhere with the new *password* of *user*.

    A replica logs in to its primary, a sentinel to the servers that it watches and to the
    other sentinels. Links that stand stay; does nothing for any other user.

    Raises:
        ServerReplyError: The unit refuses it.
        UnreachableError, AuthError, TlsError: It cannot be told.
    """
    commands: list[tuple[str, ...]] = []
    if user == REPLICA and unit.kind == "server":
        commands = [("CONFIG", "SET", "primaryauth", password)]
    if user == SENTINEL and unit.kind == "sentinel":
        commands = [
            ("SENTINEL", "SET", unit.deployment, "auth-pass", password),
            ("SENTINEL", "CONFIG", "SET", "sentinel-pass", password),
        ]
    if commands:
        with Wire(endpoint, timeout=_TIMEOUT) as wire:
            for words in commands:
                wire.call(*words)


def _to_rotate(site: Site, names: Sequence[str]) -> list[str]:
    """Return the users whose turn it is; those of an interrupted rotation first go on."""
    kept = site.passwords
    for user in names:
        _require_user(site, user)
    if APP in names and site.profile.auth.password is not None:
        raise RefusedError(
            f"the password of {APP} is given by the profile {site.profile.name}",
            hint="Change the variable that auth.password names, and deploy: the old one stays "
            "valid until valkeyctl secrets rotate --finish",
        )
    free = [
        user
        for user in names or site.names
        if kept.coming(user) is not None or kept.previous(user) is None
    ]
    busy = [user for user in names or site.names if user not in free]
    if names and busy:
        raise RefusedError(
            f"the password of {busy[0]} is being changed already",
            hint=f"Finish that first: valkeyctl secrets rotate {busy[0]} --finish",
        )
    if site.profile.auth.password is not None:
        free = [user for user in free if user != APP]
    if not free:
        raise RefusedError(
            f"all passwords of {site.profile.name} are being changed already",
            hint="Finish that first: valkeyctl secrets rotate --finish",
        )
    return free


def _to_finish(site: Site, names: Sequence[str]) -> list[str]:
    kept = site.passwords
    for user in names:
        _require_user(site, user)
    for user in names or site.names:
        if kept.coming(user) is not None:
            raise RefusedError(
                f"the change of the password of {user} was interrupted, and not every server "
                "may know the new one",
                hint=f"Let it go on: valkeyctl secrets rotate {user}",
            )
    return [user for user in names or site.names if kept.previous(user) is not None]


def _require_user(site: Site, user: str) -> None:
    if user not in site.names:
        raise UsageError(
            f"{site.profile.name} has no user {user} with a password",
            hint=f"Choose from {', '.join(site.names)}",
        )


def _tell(site: Site, retired: Collection[str] = ()) -> None:
    """Bring every unit its files, and then let each that runs read its list of users."""
    files = {
        unit.name: material(site.profile, unit, site.state, retired=retired)
        for unit in (*site.running, *site.ended)
    }
    for unit in (*site.running, *site.ended):
        if site.runtime is not None:
            site.runtime.deliver(unit, files[unit.name])
    for unit in site.running:
        load_users(site.endpoint(unit), files[unit.name])


def _hand_over(site: Site, chosen: Sequence[str]) -> None:
    """Let units that log in elsewhere do so by the present password of *chosen*, from now on."""
    ours = [user for user in chosen if user in (REPLICA, SENTINEL)]
    for unit in site.running if ours else ():
        files = material(site.profile, unit, site.state)
        if site.runtime is not None:
            site.runtime.deliver(unit, files)
        for user in ours:
            password = site.passwords.current(user)
            if password is not None:
                hand_over(unit, site.endpoint(unit), user, password)


def _result(site: Site, chosen: Sequence[str], *, finished: bool) -> Rotation:
    warnings = [
        f"{unit.name} does not run, and reads the passwords when it is started"
        for unit in site.ended
    ]
    if not site.running:
        warnings.append(f"no server of {site.profile.name} runs here; none was told")
    return Rotation(
        name=site.profile.name,
        users=kept_by(site, chosen),
        told=tuple(unit.name for unit in site.running),
        finished=finished,
        warnings=tuple(warnings),
    )

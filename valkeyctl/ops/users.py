"""The users of a deployment: whose password is where, how it stands, and who uses it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UsageError, ValkeyctlError
from valkeyctl.ops.access import unit_access
from valkeyctl.ops.deployed import find_units
from valkeyctl.ops.fallback import render_of
from valkeyctl.ops.secrets import Passwords, passwords
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.tls.pair import with_certificates
from valkeyctl.profile.schema import Profile
from valkeyctl.render import Artefacts, render
from valkeyctl.render.acl import password_users, users
from valkeyctl.runtime.protocol import Runtime

_TIMEOUT = 5.0


@dataclass(frozen=True)
class Kept:
    """The password of one user, without the password.

    Attributes:
        user: Its name.
        purpose: Who that is.
        file: Where the password is kept; it may not exist yet.
        made: Whether it does.
        rotating: Whether the password before it is still valid.
        since: When the present one took its place, in seconds since the epoch; None when
            no rotation is under way.
        clients: Clients that are logged in as this user; None when no server was asked.
        older_clients: How many of them connected before *since*, and so by the old
            password; None when there is no telling.
    """

    user: str
    purpose: str
    file: Path
    made: bool
    rotating: bool
    since: float | None
    clients: int | None
    older_clients: int | None


@dataclass(frozen=True)
class Site:
    """The units of a deployment that have users, and how to reach them.

    Attributes:
        profile: What is deployed, as it is now.
        state: Our own files.
        artefacts: What it was made from.
        runtime: Where it is; None when nothing of it is anywhere.
        running: Units that run.
        ended: Units that are there and do not run.
    """

    profile: Profile
    state: StateFolder
    artefacts: Artefacts
    runtime: Runtime | None
    running: tuple[Artefacts, ...]
    ended: tuple[Artefacts, ...]

    @property
    def passwords(self) -> Passwords:
        """Their passwords."""
        return passwords(self.state, self.artefacts.name)

    @property
    def names(self) -> tuple[str, ...]:
        """Users that have a password."""
        return password_users(
            self.artefacts.app,
            topology=self.artefacts.topology,
            exporter=self.profile.exporter.enabled,
        )

    def endpoint(self, unit: Artefacts) -> Endpoint:
        """Return where *unit* is, with the login of the admin; raises what `access` does."""
        return with_certificates(unit_access(unit, self.state), self.profile, self.state)


def kept_passwords(profile: Profile, state: StateFolder) -> tuple[Kept, ...]:
    """Return the users of *profile* that have a password, and how each stands.

    Raises:
        UsageError: Its servers have no users.
    """
    site = site_of(profile, state)
    return kept_by(site, site.names)


def site_of(profile: Profile, state: StateFolder) -> Site:
    """Return where the deployment of *profile* is.

    Raises:
        UsageError: Its servers have no users.
        ProfileError: The profile cannot be rendered.
        MissingError: The runtime that has it is not there any more.
    """
    wanted = render(profile)
    deployed = find_units(wanted, state)
    if deployed.missing is not None:
        raise deployed.missing
    digest = deployed.record.digest if deployed.record else ""
    artefacts = render_of(state, profile.name, digest) or wanted
    if not artefacts.auth:
        raise UsageError(
            f"{profile.name} has no users: it asks for no password",
            hint="Write auth.enabled: true in the profile, and deploy it",
        )
    runtime = deployed.runtime
    running: list[Artefacts] = []
    ended: list[Artefacts] = []
    for unit in artefacts.units if runtime is not None else ():
        instance = runtime.find(unit.name) if runtime is not None else None
        if instance is not None:
            (running if instance.running else ended).append(unit)
    return Site(profile, state, artefacts, runtime, tuple(running), tuple(ended))


def kept_by(site: Site, names: Sequence[str]) -> tuple[Kept, ...]:
    """Return how the passwords of the users *names* stand."""
    kept = site.passwords
    ages = _ages(site)
    purposes = {
        user.name: user.purpose
        for user in users(
            site.artefacts.app,
            topology=site.artefacts.topology,
            exporter=site.profile.exporter.enabled,
        )
    }
    found = []
    for user in names:
        since = kept.since(user)
        mine = None if ages is None else [age for name, age in ages if name == user]
        older = None
        if mine is not None and since is not None:
            # The server counts whole seconds: one that connected in the same is counted.
            older = sum(age >= int(time.time() - since) for age in mine)
        found.append(
            Kept(
                user=user,
                purpose=purposes[user],
                file=kept.file(user),
                made=kept.current(user) is not None,
                rotating=kept.previous(user) is not None,
                since=since,
                clients=None if mine is None else len(mine),
                older_clients=older,
            )
        )
    return tuple(found)


def _ages(site: Site) -> list[tuple[str, int]] | None:
    """Return user and seconds of each connection to any unit; None when none could be asked."""
    found: list[tuple[str, int]] = []
    asked = False
    for unit in site.running:
        try:
            with Wire(site.endpoint(unit), timeout=_TIMEOUT) as wire:
                own, listed = wire.call("CLIENT", "ID"), wire.call("CLIENT", "LIST")
        except ValkeyctlError:  # it is not asked to say no
            continue
        asked = True
        text = listed.decode(errors="replace") if isinstance(listed, bytes) else ""
        for line in text.splitlines():
            fields = dict(word.split("=", 1) for word in line.split() if "=" in word)
            if fields.get("id") != str(own):
                found.append((fields.get("user", ""), int(fields.get("age", "0"))))
    return found if asked else None

"""How our own commands, and an application, get into a deployment: addresses, login, CA."""

from __future__ import annotations

from dataclasses import replace

from valkeyctl.endpoint import Endpoint, Node
from valkeyctl.ops.endpoints import reached
from valkeyctl.ops.secrets import password_of
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.tls.pair import with_certificates
from valkeyctl.profile.schema import Profile
from valkeyctl.render.acl import ADMIN
from valkeyctl.render.artefacts import Artefacts


def address(profile: Profile, state: StateFolder, user: str = ADMIN) -> Endpoint:
    """Return where the deployment of *profile* is published, without a password.

    Args:
        profile: What is deployed.
        state: Our own files, for the CA.
        user: Whose name is in it, where servers have users.

    Raises:
        ProfileError: Its files for TLS do not belong together.
    """
    username = user if profile.auth.enabled else None
    nodes = _nodes(profile)
    plain = Endpoint(
        host=reached(profile.host),
        port=profile.port,
        username=username,
        tls=profile.tls.enabled,
        topology=profile.topology,
        nodes=nodes,
        primary_name=profile.name if profile.topology == "sentinel" else None,
        sentinel_username=username if profile.topology == "sentinel" else None,
    )
    return with_certificates(plain, profile, state)


def access(profile: Profile, state: StateFolder, user: str = ADMIN) -> Endpoint:
    """Return where the deployment of *profile* is published, with the login of *user*.

    Args:
        profile: What is deployed.
        state: Our own files, which hold the passwords and the CA.
        user: An ACL user; without authentication nobody logs in.

    Raises:
        MissingError: There is no password of *user*: it was not deployed from here.
        ProfileError: Its files for TLS do not belong together.
        FolderError: The password cannot be read.
    """
    found = address(profile, state, user)
    if not profile.auth.enabled:
        return found
    password = password_of(profile.name, state, user)
    if profile.topology == "sentinel":
        return replace(found, password=password, sentinel_password=password)
    return replace(found, password=password)


def log_in(
    endpoint: Endpoint, name: str, state: StateFolder, *, auth: bool, user: str = ADMIN
) -> Endpoint:
    """Return *endpoint*, a server's or a sentinel's, with the login of *user*.

    Args:
        endpoint: Where it listens.
        name: Of its deployment.
        state: Our own files.
        auth: Whether it has users. What runs may differ from what its profile says now,
            and a server without users refuses every login.
        user: An ACL user.

    Raises:
        MissingError: There is no password of *user*: it was not deployed from here.
        FolderError: The password cannot be read.
    """
    if not auth:
        return endpoint
    return replace(endpoint, username=user, password=password_of(name, state, user))


def unit_access(unit: Artefacts, state: StateFolder, user: str = ADMIN) -> Endpoint:
    """Return where one server or sentinel is published, with the login of *user*.

    Its certificate is not looked at; see `with_certificates`. Raises what `log_in` does.
    """
    found = Endpoint(host=reached(unit.host), port=unit.port, tls=unit.tls)
    return log_in(found, unit.deployment, state, auth=unit.auth, user=user)


def _nodes(profile: Profile) -> tuple[Node, ...]:
    """Return the published ports that a client of a topology asks first."""
    if profile.topology == "standalone":
        return ()
    count = (
        profile.sentinel.count
        if profile.topology == "sentinel"
        else profile.cluster.primaries * (1 + profile.replication.replicas)
    )
    return tuple((profile.host, profile.port + number) for number in range(count))

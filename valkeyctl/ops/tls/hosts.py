"""Under which names and addresses clients reach a deployment."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from valkeyctl.profile.schema import Profile
from valkeyctl.render import render

_ALWAYS = ("localhost", "127.0.0.1", "::1")


def hosts_of(profile: Profile, addresses: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the hosts that a certificate for *profile* must name.

    A server that is published on all addresses is reached under this machine's name.

    Args:
        profile: The deployment.
        addresses: More places under which clients reach a server, such as those of the
            units of a topology on their bridge.
    """
    published = socket.gethostname() if wildcard(profile.host) else profile.host
    return merged((published,), _ALWAYS, addresses)


def wildcard(host: str) -> bool:
    """Say whether *host* stands for every address of a machine, so that nobody connects to it."""
    return host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound


def merged(*lists: Iterable[str]) -> tuple[str, ...]:
    """Return the hosts of *lists* in order, each once."""
    return tuple(dict.fromkeys(host for hosts in lists for host in hosts))


def unit_addresses(profile: Profile) -> tuple[str, ...]:
    """Return the addresses of the units of *profile* on the bridge that they share.

    Raises:
        ProfileError: The profile cannot be rendered.
    """
    return tuple(unit.address for unit in render(profile).units if unit.address)

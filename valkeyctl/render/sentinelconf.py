"""From a profile to sentinel.conf."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from valkeyctl.profile.schema import Profile
from valkeyctl.render.acl import ACL_FILE
from valkeyctl.render.conf import (
    DATA_DIR,
    SECRETS_DIR,
    SENTINEL_PORT,
    SERVER_PORT,
    directive_line,
    origin,
)
from valkeyctl.render.replication import login_files
from valkeyctl.render.tls import tls_directives

# Of valkey.conf, what a sentinel understands alike.
_SHARED = ("bind", "protected-mode", "tcp-backlog", "tcp-keepalive")
_MONITOR = re.compile(r"(sentinel monitor \S+) (\S+) (\d+) (\d+)")
_LEARNT = re.compile(r"sentinel (?:myid|monitor|[a-z]+-epoch|known-[a-z]+) ")


def sentinel_text(profile: Profile, settings: Mapping[str, str], primary: str) -> str:
    """Return the text of sentinel.conf, which a sentinel begins with.

    Args:
        profile: Its name is what the sentinels call the primary.
        settings: The directives of valkey.conf.
        primary: Address of the server that is the primary at first.
    """
    name = profile.name
    directives = {
        **{key: settings[key] for key in _SHARED},
        "daemonize": "no",
        "dir": DATA_DIR,
        "port": str(SENTINEL_PORT),
        **tls_directives(profile, SECRETS_DIR, SENTINEL_PORT),
    }
    if profile.auth.enabled:
        directives["aclfile"] = f"{SECRETS_DIR}/{ACL_FILE}"
    own = sentinel_settings(profile)
    quorum = own.pop("quorum")
    lines = [origin(profile), ""]
    lines += [directive_line(key, value) for key, value in sorted(directives.items())]
    lines += [
        # Addresses are fixed; a name that stops to resolve would stop a failover.
        "sentinel resolve-hostnames no",
        f"sentinel monitor {name} {primary} {SERVER_PORT} {quorum}",
        *(f"sentinel {key} {name} {value}" for key, value in own.items()),
        # The login for the servers and the other sentinels, mounted like the users.
        *(f"include {SECRETS_DIR}/{file}" for file in login_files(profile, "sentinel")),
    ]
    return "\n".join(lines) + "\n"


def sentinel_settings(profile: Profile) -> dict[str, str]:
    """Return what SENTINEL SET can change, in its own words and units."""
    sentinel = profile.sentinel
    return {
        "down-after-milliseconds": str(_ms(sentinel.down_after)),
        "failover-timeout": str(_ms(sentinel.failover_timeout)),
        # One replica at a time takes a full copy from the new primary; the others serve.
        "parallel-syncs": "1",
        "quorum": str(sentinel.quorum),
    }


def watching(text: str, address: str, port: int) -> str:
    """Return sentinel.conf *text* with the primary at *address* and *port*."""
    return _MONITOR.sub(rf"\g<1> {address} {port} \g<4>", text)


def learnt_by_sentinel(written: str) -> list[str]:
    """Return the lines in which a sentinel has *written* down whom it knows."""
    return [line for line in written.splitlines() if _LEARNT.match(line)]


def with_learnt(rendered: str, learnt: Sequence[str]) -> str:
    """Return *rendered* with what a sentinel has *learnt* of those that it knows.

    The same as the start script of the container does: who is the primary, and who else
    is there, is kept; all else, the quorum too, is as it was rendered.
    """
    if not any(line.startswith("sentinel monitor ") for line in learnt):
        return rendered
    found = _MONITOR.search(rendered)
    quorum = found[4] if found else ""
    kept = [line for line in rendered.splitlines() if not line.startswith("sentinel monitor ")]
    known = [_MONITOR.sub(rf"\g<1> \g<2> \g<3> {quorum}", line) for line in learnt]
    return "\n".join([*kept, *known]) + "\n"


def _ms(seconds: float) -> int:
    return max(round(seconds * 1000), 1)

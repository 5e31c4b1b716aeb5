"""Whether a deployment is whole as `health` sees it: what a deploy asks before it says so."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from valkeyctl.errors import ServerReplyError, UnreachableError
from valkeyctl.ops.checks import STANDARD, Check
from valkeyctl.ops.deployment import Access
from valkeyctl.ops.topology.health import check_topology
from valkeyctl.ops.topology.members import TIMEOUT, whole_endpoint
from valkeyctl.render import Artefacts

# What no waiting mends, and no unit does wrong: too little room, a full disk, a slow line, a
# certificate about to end. The operator is told; the deployment is made all the same.
_NOT_OF_UNITS = ("memory", "eviction", "persistence", "tls")
_NO_ROOM = ("OOM", "MISCONF")
# Warnings that a start leaves for a second or two. While a sentinel holds the primary for
# down, or leads a failover, there may be two primaries a moment later.
_PASSING = ("failover", "seen_down")


@dataclass(frozen=True)
class Wholeness:
    """What health finds at this moment, sorted by what a deploy does about it.

    Attributes:
        broken: Keeps it from serving, or from surviving the next fault: waited for, and the
            deploy fails when it stays.
        passing: Goes by itself where nothing else is wrong: waited for a little.
        lasting: Health fails for it, and waiting does not help.
    """

    broken: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()
    lasting: tuple[str, ...] = ()


def wholeness(artefacts: Artefacts, access: Access) -> Wholeness:
    """Return what health finds of the deployment of *artefacts*, through its published addresses.

    Args:
        artefacts: All of its units run.
        access: From a unit to its address, with a login that may use CONFIG.

    Raises:
        AuthError, TlsError: Nobody lets us in.
    """
    endpoint = whole_endpoint(artefacts, access)
    try:
        checks, _ = check_topology(
            endpoint, artefacts.app, STANDARD, until=time.monotonic() + TIMEOUT
        )
    except (UnreachableError, ServerReplyError) as error:
        return Wholeness(broken=(str(error),))
    failed = [check for check in checks if check.verdict == "fail"]
    return Wholeness(
        broken=_told(check for check in failed if not _lasts(check)),
        passing=_told(
            check for check in checks if check.verdict == "warn" and check.name in _PASSING
        ),
        lasting=_told(filter(_lasts, failed)),
    )


def _lasts(check: Check) -> bool:
    if check.name == "write_read":
        return check.value.startswith(_NO_ROOM)
    # A median of pings is how slow it is; a server that loads its data answers an error.
    return check.name in _NOT_OF_UNITS or (check.name == "ping" and check.value[:1].isdigit())


def _told(checks: Iterable[Check]) -> tuple[str, ...]:
    return tuple(f"{check.name}: {check.detail or check.value}" for check in checks)

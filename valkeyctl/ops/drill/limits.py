"""What a drill cannot be asked for: times that do not fit, and replicas that are not there."""

from __future__ import annotations

from valkeyctl.errors import UsageError
from valkeyctl.ops.drill.load import KEY_LIFE
from valkeyctl.units import format_duration, several

# The keys of a drill must be there when they are read back.
LONGEST = KEY_LIFE * 2 / 3


def require_time(drill: str, hold: float | None, timeout: float) -> None:
    """Make sure that a fault begins, lasts as long as it is said to, and ends in time.

    Args:
        drill: Which one.
        hold: Seconds that its fault lasts; None until another server has taken over.
        timeout: Seconds after the fault until the drill gives up.

    Raises:
        UsageError: It cannot be so.
    """
    if not 0 < timeout <= LONGEST:
        raise UsageError(
            f"--timeout is {format_duration(timeout)}: it must be above 0 s, and "
            f"{format_duration(LONGEST)} at most",
            hint="The keys of a drill expire by themselves, and are read back before",
        )
    if hold == 0 and drill in ("hang", "partition"):
        raise UsageError(f"a {drill} for 0 s is none", hint="Give it time: --for 5s")
    if hold is not None and hold >= timeout:
        raise UsageError(
            f"the fault lasts {format_duration(hold)}, and the drill gives up "
            f"{format_duration(timeout)} after its beginning",
            hint="Raise --timeout above --for, with time to recover",
        )


def require_confirmers(name: str, wanted: int, replicas: int) -> None:
    """Make sure that *wanted* replicas can confirm a write to *name*.

    Args:
        name: Of the deployment.
        wanted: How many are to; 0 asks none.
        replicas: How many its primaries have, the one with the fewest.

    Raises:
        UsageError: There are fewer, so that no write would ever be confirmed.
    """
    if wanted <= replicas:
        return
    if not replicas:
        raise UsageError(
            f"{name} has no replicas that could confirm a write",
            hint="Leave --confirm-replicas out",
        )
    raise UsageError(
        f"a primary of {name} has {several(replicas, 'replica')}: "
        f"{wanted} can never confirm a write",
        hint=f"Ask for fewer: --confirm-replicas {replicas}",
    )

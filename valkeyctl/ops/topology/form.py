"""What of a topology cannot become another: its kind, its primaries, and how many units."""

from __future__ import annotations

from valkeyctl.errors import RefusedError
from valkeyctl.ops.topology.members import servers_of
from valkeyctl.render import Artefacts


def require_same_form(before: Artefacts, after: Artefacts) -> None:
    """Make sure that no data would have to move between servers.

    Args:
        before: What runs, or parts of it.
        after: What is to run.

    Raises:
        RefusedError: Another topology runs, or other primaries, or more units.
    """
    name = after.name
    down = f"Back up, take it down and deploy anew: valkeyctl backup, valkeyctl down -p {name}"
    if before.topology != after.topology:
        raise RefusedError(
            f"{name} is deployed as {before.topology}, and its data is not converted to "
            f"{after.topology}",
            hint=down,
        )
    primaries = [sum(unit.primary for unit in servers_of(one)) for one in (before, after)]
    if primaries[0] != primaries[1]:
        raise RefusedError(
            f"{name} has {primaries[0]} primaries; {primaries[1]} would mean moving slots, "
            "which deploy does not do",
            hint=f"Move them with valkey-cli --cluster, or: {down}",
        )
    gone = {unit.name for unit in before.units} - {unit.name for unit in after.units}
    if gone:
        raise RefusedError(
            f"{', '.join(sorted(gone))} would go, and deploy takes no unit away",
            hint=down,
        )

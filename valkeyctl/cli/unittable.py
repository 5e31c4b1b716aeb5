"""The units of a topology as `status` shows them: who does what, and who is behind or away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from valkeyctl.cli.grid import print_grid
from valkeyctl.ops.checks import STANDARD
from valkeyctl.units import format_duration, format_size, several

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from valkeyctl.cli.console import Console
    from valkeyctl.ops.status import Status, Unit

_SLOTS = 16_384
_RANKS = ("primary", "replica", "unknown", "sentinel")


def summary(found: Status) -> Iterable[tuple[str, str]]:
    """Yield label and text of what a topology is asked first: who takes writes, who is behind."""
    units = found.nodes
    if found.topology == "cluster":
        serving = [one for one in units if one.role == "primary" and one.reachable and one.slots]
        slots = sum(one.slots or 0 for one in serving)
        primaries = several(len(serving), "primary", "primaries")
        yield "slots", f"{slots:,} of {_SLOTS:,} served by {primaries}"
    else:
        yield "primary", _primary(found)
    replicas = [one for one in units if _follows(one)]
    yield "replicas", f"{_in_sync(replicas)} of {len(replicas)} in sync{_behind(replicas)}"
    sentinels = [one for one in units if one.kind == "sentinel"]
    if sentinels:
        answering = sum(one.reachable for one in sentinels)
        yield "sentinels", f"{answering} of {len(sentinels)} answer"


def print_units(console: Console, found: Status) -> None:
    """Print a line a unit, each replica below its primary; those to look at are marked."""
    rows = [
        [f"{'!' if _odd(one, found) else ' '} {_short(one, found)}", one.address, _state(one), text]
        for one in _ordered(found)
        for text in [_does(one, found)]
    ]
    print_grid(console, ["  unit", "address", "state", "role"], rows)


def _primary(found: Status) -> str:
    primary = next((one for one in found.nodes if one.name == found.primary), None)
    if primary is None:
        return f"{found.primary}, none of these units" if found.primary else "nobody knows"
    where = f"{_short(primary, found)} at {primary.address}"
    if not primary.running:
        return f"{where}, which does not run"
    return where if primary.reachable else f"{where}, which {_mute(primary)}"


def _follows(one: Unit) -> bool:
    """Say whether it is a replica; a server of which nobody knows the role is not the primary."""
    return one.kind == "server" and one.role != "primary"


def _in_sync(replicas: Sequence[Unit]) -> int:
    return sum(_synced(one) for one in replicas)


def _synced(one: Unit) -> bool:
    return one.reachable and one.link == "up" and not one.syncing and not one.loading


def _behind(replicas: Sequence[Unit]) -> str:
    """Return how far the worst replica is behind; nothing where nobody knows."""
    sizes = [one.lag_bytes for one in replicas if one.lag_bytes is not None]
    ages = [one.lag_s for one in replicas if one.lag_s is not None]
    worst = [format_size(max(sizes))] if sizes else []
    worst += [format_duration(max(ages))] if ages else []
    return f", {' and '.join(worst)} behind at most" if worst else ""


def _ordered(found: Status) -> list[Unit]:
    """Return the units as they belong together: shard by shard, sentinels last."""
    shards = {one.name: one.slot_ranges for one in found.nodes if one.role == "primary"}

    def place(one: Unit) -> tuple[bool, tuple[tuple[int, int], ...], int]:
        own = shards.get(one.name if one.role == "primary" else one.primary, ())
        # Whoever serves no slot, and follows nobody who does, comes after those that do.
        lost = found.topology == "cluster" and not own
        return one.kind == "sentinel" or lost, own, _RANKS.index(one.role)

    return sorted(found.nodes, key=place)


def _short(one: Unit, found: Status) -> str:
    return one.name.removeprefix(f"{found.name}-")


def _state(one: Unit) -> str:
    """Return the first word of how its process or container is; the image is no news."""
    return one.detail.partition(",")[0].partition(";")[0].removeprefix("container ")


def _odd(one: Unit, found: Status) -> bool:
    """Say whether somebody should look at *one*."""
    if not (one.running and one.reachable) or one.loading or one.drift:
        return True
    if one.role == "replica":
        late = (one.lag_s or 0) > STANDARD.lag_warn_s
        return late or (one.lag_bytes or 0) > STANDARD.lag_warn_bytes or not _synced(one)
    if one.role == "sentinel":
        return one.primary != found.primary
    bare = not one.replicas and any(_follows(other) for other in found.nodes)
    return bare or (not one.slots if found.topology == "cluster" else one.name != found.primary)


def _does(one: Unit, found: Status) -> str:
    """Return what it does in the deployment, or keeps it from that."""
    if not one.running:
        return f"{one.role}, does not run" if one.role != "unknown" else "does not run"
    if not one.reachable:
        return f"{one.role}, {_mute(one)}" if one.role != "unknown" else _mute(one)
    if one.loading:
        return f"{one.role}, loads its data"
    if one.role == "sentinel":
        return f"sentinel, names {_named(one.primary, found) or 'nobody'}"
    if one.role == "replica":
        return f"replica of {_named(one.primary, found) or 'nobody'}, {_following(one)}"
    if found.topology == "cluster":
        return f"primary, {_slots(one)}, {several(one.replicas or 0, 'replica')}"
    if found.primary not in ("", one.name):
        return f"primary, too; sentinels name {_named(found.primary, found)}"
    return f"primary, {several(one.replicas or 0, 'replica')}"


def _mute(one: Unit) -> str:
    if one.silent:
        return "does not answer"
    return "refuses us" if one.uptime_s is None else "answers too late"


def _named(unit: str, found: Status) -> str:
    return unit.removeprefix(f"{found.name}-")


def _following(one: Unit) -> str:
    if one.syncing:
        return "fetches a copy"
    if one.link != "up":
        since = f" {format_duration(one.link_down_s)}" if one.link_down_s is not None else ""
        return f"link down{since}"
    # An acknowledgement comes each second: younger ones tell nothing.
    if one.lag_s is not None and one.lag_s > STANDARD.lag_warn_s:
        return f"{format_duration(one.lag_s)} behind"
    return f"{format_size(one.lag_bytes)} behind" if one.lag_bytes else "in sync"


def _slots(one: Unit) -> str:
    if not one.slots:
        return "no slots"
    if len(one.slot_ranges) == 1:
        first, last = one.slot_ranges[0]
        return f"slots {first}-{last}"
    return f"{one.slots:,} slots"

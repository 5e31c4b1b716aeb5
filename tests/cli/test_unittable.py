"""`status` of a topology at 80 columns, as somebody reads it at three in the morning."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

import pytest

from valkeyctl.cli.console import Console
from valkeyctl.cli.status import print_status
from valkeyctl.ops.drift import Drift
from valkeyctl.ops.status import Status, Unit

WIDTH = 80


def unit(name: str, role: str, **facts: object) -> Unit:
    """Return a unit that runs and answers, with *facts* of its own."""
    kind = "sentinel" if role == "sentinel" else "server"
    known = {"role": role, "reachable": True, "uptime_s": 60, **facts}
    return Unit(
        name=f"shop-{name}",
        kind=kind,
        address="127.0.0.1:26382",
        running=bool(known.pop("running", True)),
        detail=str(known.pop("detail", "pid 123456, valkey 9.1.2 (embedded)")),
        version=str(known.pop("version", "9.1.2")),
        drift=(),
        **known,  # type: ignore[arg-type]  # facts of its own
    )


REPLICA = {"primary": "shop-node-1", "link": "up", "lag_bytes": 0, "lag_s": 1}
PRIMARY = unit("node-1", "primary", replicas=2)
UNITS = (
    *(unit(f"sentinel-{n}", "sentinel", primary="shop-node-1") for n in (1, 2, 3)),
    PRIMARY,
    unit("node-2", "replica", **REPLICA),
    unit("node-3", "replica", **REPLICA),
)


def shop(*units: Unit, **facts: object) -> Status:
    """Return a deployment of *units*."""
    found = Status(
        name="shop",
        running=all(one.running for one in units),
        url="redis+sentinel://127.0.0.1:26379/shop",
        password_file=None,
        runtime="process",
        runtime_reason="process was asked for",
        detail=f"{sum(one.running for one in units)} of {len(units)} units run",
        version="9.1.2",
        uptime_s=60,
        digest="0",
        image="",
        nodes=units,
        drift=(),
        unchecked=(),
        warnings=(),
        topology="sentinel",
        primary="shop-node-1",
    )
    return replace(found, **facts)  # type: ignore[arg-type]  # facts of its own


def printed(found: Status) -> list[str]:
    """Return the lines of `status`, none of them wider than a terminal."""
    stream = StringIO()
    print_status(Console(stream), found)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= WIDTH
    return lines


def row(lines: list[str], name: str) -> str:
    """Return the line of the unit called *name*."""
    return next(line for line in lines if line[2:].startswith(f"{name} "))


def test_all_is_well_at_one_look() -> None:
    """The primary first, its replicas below it, sentinels last, and nothing marked."""
    lines = printed(shop(*UNITS))

    assert "primary     node-1 at 127.0.0.1:26382" in lines
    assert "replicas    2 of 2 in sync, 0 B and 1 s behind at most" in lines
    assert "sentinels   3 of 3 answer" in lines
    table = lines[lines.index("") + 1 :]
    names = [line[2:].split()[0] for line in table[1:]]
    assert names == ["node-1", "node-2", "node-3", "sentinel-1", "sentinel-2", "sentinel-3"]
    assert not [line for line in table if line.startswith("!")]
    assert row(lines, "node-2").endswith("pid 123456  replica of node-1, in sync")


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"lag_bytes": 3 * 2**20}, "replica of node-1, 3.0 MiB behind"),
        ({"lag_s": 40, "lag_bytes": 3 * 2**20}, "replica of node-1, 40 s behind"),
        ({"link": "down", "link_down_s": 75}, "replica of node-1, link down 1m 15s"),
        ({"syncing": True, "link": "down"}, "replica of node-1, fetches a copy"),
        ({"loading": True}, "replica, loads its data"),
        ({"reachable": False, "silent": True, "uptime_s": None}, "replica, does not answer"),
        ({"reachable": False, "uptime_s": None}, "replica, refuses us"),
        ({"reachable": False}, "replica, answers too late"),
        ({"running": False, "detail": "ended; it was pid 9"}, "ended       replica, does not run"),
    ],
)
def test_a_replica_that_is_behind_or_away_is_marked(facts: dict[str, object], says: str) -> None:
    """With why, in its own line."""
    lines = printed(shop(*UNITS[:4], unit("node-2", "replica", **{**REPLICA, **facts}), UNITS[5]))

    assert row(lines, "node-2").startswith("! ")
    assert row(lines, "node-2").endswith(says)
    assert [line[2:].split()[0] for line in lines if line.startswith("!")] == ["node-2"]


def test_two_primaries_are_told_apart() -> None:
    """The one that the sentinels do not name is marked."""
    stray = unit("node-2", "primary", replicas=0)

    lines = printed(shop(*UNITS[:4], stray, UNITS[5]))

    assert row(lines, "node-2").startswith("! ")
    assert row(lines, "node-2").endswith("primary, too; sentinels name node-1")
    assert row(lines, "node-1").startswith("  ")


def test_nobody_knows_the_primary() -> None:
    """Said, and not guessed."""
    away = [
        replace(one, role="unknown", reachable=False, silent=True, uptime_s=None, primary="")
        for one in UNITS
    ]

    lines = printed(shop(*away, primary=""))

    assert "deployment  shop: running, 0 of 6 answer, up 1m" in lines
    assert "primary     nobody knows" in lines
    assert sum(line.startswith("!") for line in lines) == 6
    assert "drift       none, as far as is known: 6 units cannot be asked" in lines


def test_a_cluster_is_told_shard_by_shard() -> None:
    """With its slots; who serves none comes last."""
    units = (
        unit("node-1", "primary", replicas=1, slots=8192, slot_ranges=((0, 8191),)),
        unit("node-2", "primary", replicas=0, slots=8192, slot_ranges=((8192, 16383),)),
        unit("node-3", "replica", **REPLICA),
        unit("node-4", "primary", replicas=0),
    )

    lines = printed(shop(*units, topology="cluster", primary=""))

    assert "slots       16,384 of 16,384 served by 2 primaries" in lines
    table = lines[lines.index("") + 2 :]
    assert [line[2:8] for line in table] == ["node-1", "node-3", "node-2", "node-4"]
    assert row(lines, "node-1").endswith("primary, slots 0-8191, 1 replica")
    assert row(lines, "node-2").startswith("! ")
    assert row(lines, "node-4").endswith("primary, no slots, 0 replicas")


def test_versions_and_drift_are_told_by_unit() -> None:
    """An upgrade that stopped half way shows who runs what."""
    drift = (Drift("maxmemory", "1", "2", "live"),)
    old = replace(PRIMARY, version="8.1.1", drift=drift)

    lines = printed(shop(*UNITS[:3], old, *UNITS[4:]))

    assert "server      9.1.2, 8.1.1 on node-1" in lines
    assert row(lines, "node-1").startswith("! ")

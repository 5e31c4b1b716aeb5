"""What writers feel while a deployment is changed: the gap, and what was lost.

Each run puts keys into a deployment, starts writers, and changes it under them:
a directive that can be set live, one that needs a restart, or the image. Every write that
was acknowledged is read back afterwards. The gap is that of the writers, and not the one
that the deploy reports of itself; both are in the table.

    python -m benchmarks.redeploy --runs 20 --podman podman --podman podman5
"""

from __future__ import annotations

import argparse
import json
import logging
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import structlog

from benchmarks.micro.tables import Table
from benchmarks.placing import changed, small_profile, using
from valkeyctl.caching.wire import Wire
from valkeyctl.ops.access import access
from valkeyctl.ops.deploy import Deployment, deploy, take_down
from valkeyctl.ops.drill.load import KeyNames, Load
from valkeyctl.ops.drill.readback import missing, remove
from valkeyctl.ops.drill.shards import Finder
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile import Profile
from valkeyctl.runtime.select import Wanted

_RATE = 400.0  # writes a second of each of the two writers
_KEYS = 5000  # there before, and counted after
_BEFORE, _AFTER = 0.5, 1.0  # seconds of undisturbed writing
_LIVE = {"tuning": {"maxclients": 700}}
_RESTART = {"tuning": {"io_threads": 2}}  # live since Valkey 9; the images here are 8.1
_IMAGES = ("docker.io/valkey/valkey:8.1", "docker.io/valkey/valkey:9")
_PROFILES = ("default", "state", "sentinel", "cluster")
_TOPOLOGIES = {"sentinel", "cluster"}
_CHANGES = ("live", "restart", "image")


@dataclass(frozen=True)
class Run:
    """One change under load.

    Attributes:
        where: ``process``, or the podman that was used.
        profile: Which.
        change: What changed.
        action: What the deploy says that it did.
        gap_ms: Longest time without an acknowledged write, of the direct writers.
        client_gap_ms: The same of the library's client.
        reported_ms: What the deploy says of the gap.
        acknowledged: Writes.
        lost: Of these, not there afterwards.
        keys_lost: Of the keys that were there before.
    """

    where: str
    profile: str
    change: str
    action: str
    gap_ms: float
    client_gap_ms: float
    reported_ms: float | None
    acknowledged: int
    lost: int
    keys_lost: int


def main(words: Sequence[str] | None = None) -> None:
    """Print the table, and write all runs where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.redeploy", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="of each row; default 20")
    parser.add_argument("--podman", action="append", default=[], help="a podman to use; repeatable")
    parser.add_argument("--process", action="store_true", help="the process runtime, too")
    parser.add_argument("--profile", nargs="+", choices=_PROFILES, default=["default", "state"])
    parser.add_argument("--change", nargs="+", choices=_CHANGES, default=list(_CHANGES))
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for redeploy.json")
    asked = parser.parse_args(words)
    # What the library says of servers that go is the point here, and no news.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    places = [*asked.podman, *(["process"] if asked.process else [])] or ["podman"]
    rows = [
        (where, profile, change)
        for where in places
        for profile in asked.profile
        for change in asked.change
        if not (where == "process" and change == "image")
    ]
    runs: list[Run] = []
    # Single servers round by round, so that a machine that is busy for a while touches
    # every row; topologies one after the other, for eight at once are 48 pods.
    single = [row for row in rows if row[1] not in _TOPOLOGIES]
    for group in filter(None, [single, *([row] for row in rows if row[1] in _TOPOLOGIES)]):
        with ExitStack() as stack:
            benches = [stack.enter_context(_bench(*row)) for row in group]
            for number in range(asked.runs):
                for bench in benches:
                    runs.append(bench.run())
                    print(f"{number + 1}/{asked.runs} {runs[-1]}", file=sys.stderr)
    print(_table(rows, runs).text())
    if asked.out:
        (asked.out / "redeploy.json").write_text(json.dumps([asdict(run) for run in runs]) + "\n")


@dataclass
class _Bench:
    """A deployment that is changed and changed back, run after run.

    Attributes:
        where: ``process``, or the podman to use.
        base: Name of the profile.
        change: What changes.
        first: The profile before.
        second: The profile after.
        state: Where it is deployed from.
    """

    where: str
    base: str
    change: str
    first: Profile
    second: Profile
    state: StateFolder

    def deploy(self, profile: Profile) -> Deployment:
        with using(self.where):
            runtime: Wanted = "process" if self.where == "process" else "podman"
            return deploy(profile, self.state, runtime=runtime)

    def take_down(self) -> None:
        with using(self.where):
            take_down(self.first.name, self.state, purge=True)

    def run(self) -> Run:
        """Change it once under load, and look what that has cost."""
        if self.change == "image":
            self.take_down()  # data of the later version is unreadable to the earlier one
            self.deploy(self.first)
        names = KeyNames(self.first.app, secrets.token_hex(4))
        finder = Finder(access(self.first, self.state), timeout=0.25)
        _fill(finder, names)
        with Load(finder, names, rate=_RATE, confirm=0) as load:
            time.sleep(_BEFORE)
            began = time.monotonic()
            done = self.deploy(self.second)
            time.sleep(_AFTER)
            ended = time.monotonic()
        if self.change != "image":
            self.first, self.second = self.second, self.first
        written = load.written()
        kept = {names.key(f"kept{number}"): b"v" for number in range(_KEYS)}
        run = Run(
            where=self.where,
            profile=self.base,
            change=self.change,
            action=done.action,
            gap_ms=max(one.writes.gap(began, ended).seconds for one in load.direct) * 1000,
            client_gap_ms=max(one.writes.gap(began, ended).seconds for one in load.client) * 1000,
            reported_ms=done.write_gap_ms,
            acknowledged=len(written),
            lost=len(missing(finder, written)),
            keys_lost=len(missing(finder, kept)),
        )
        remove(finder, [*written, *kept])
        return run


@contextmanager
def _bench(where: str, base: str, change: str) -> Iterator[_Bench]:
    both: dict[str, tuple[Mapping[str, object], Mapping[str, object]]] = {
        "live": ({}, _LIVE),
        "restart": ({}, _RESTART),
        "image": ({"image": _IMAGES[0]}, {"image": _IMAGES[1]}),
    }
    before, after = both[change]
    first = small_profile(base, before)
    with tempfile.TemporaryDirectory() as folder:
        state = StateFolder(Path(folder))
        bench = _Bench(where, base, change, first, changed(first, after), state)
        try:
            bench.deploy(first)
            yield bench
        finally:
            bench.take_down()


def _fill(finder: Finder, names: KeyNames) -> None:
    shards = finder.shards()
    for shard, server in zip(shards, finder.all_primaries(shards), strict=True):
        keys = [names.key(f"kept{number}") for number in range(_KEYS)]
        mine = [key for key in keys if shard.owns(key)]
        with Wire(server, timeout=10.0) as wire:
            for start in range(0, len(mine), 500):
                wire.pipeline([("SET", key, "v") for key in mine[start : start + 500]])


def _table(rows: Sequence[tuple[str, str, str]], runs: Sequence[Run]) -> Table:
    lines = []
    for where, profile, change in rows:
        mine = [
            run for run in runs if (run.where, run.profile, run.change) == (where, profile, change)
        ]
        gaps = [run.gap_ms for run in mine]
        lines.append(
            [
                f"{where} {profile} {change}",
                f"{median(gaps):,.0f}",
                f"{max(gaps):,.0f}",
                f"{median(run.client_gap_ms for run in mine):,.0f}",
                f"{max(run.reported_ms or 0 for run in mine):,.0f}",
                f"{sum(run.acknowledged for run in mine):,}",
                f"{sum(run.lost for run in mine)}",
                f"{sum(run.keys_lost for run in mine)}",
                "/".join(sorted({run.action for run in mine})),
            ]
        )
    columns = ("", "gap", "max", "client", "told", "acked", "lost", "keys", "action")
    notes = (
        f"{len(runs) // max(len(rows), 1)} runs of each row. Milliseconds: median and longest "
        "gap of the direct writers, median gap of the library's client, longest gap that deploy "
        "told of; acknowledged writes, of them lost, and keys lost of those there before.",
    )
    return Table("Changes under write load", columns, lines, notes)


if __name__ == "__main__":
    main()

"""What drills show of each topology: the table of gaps, losses and times to healthy.

Each topology is deployed once on each runtime, and every drill is done to it, one after
the other, round by round; a drill waits until all is well again before it ends.

    python -m benchmarks.drills --rounds 3 --podman podman --podman podman5
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import get_args

import structlog

from benchmarks.micro.tables import Table
from benchmarks.placing import small_profile, using
from valkeyctl.ops.deploy import deploy, take_down
from valkeyctl.ops.drill.plan import Drill, LoadPlan, plan_drill, take_aim
from valkeyctl.ops.drill.report import DrillReport
from valkeyctl.ops.drill.run import run_drill
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile import Profile
from valkeyctl.runtime.select import Wanted

_PROFILES = ("state", "sentinel", "cluster")
_DRILLS = ("kill", "hang", "partition", "failover", "restart")
_NINE = "docker.io/valkey/valkey:9"  # Cluster: a planned stop fails over since Valkey 9


@dataclass(frozen=True)
class Shown:
    """One drill.

    Attributes:
        where: ``process``, or the podman that was used.
        base: Name of the profile.
        drill: Which.
        report: What it has shown.
    """

    where: str
    base: str
    drill: Drill
    report: DrillReport


def main(words: Sequence[str] | None = None) -> None:
    """Print the table, and write all reports where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of each row; default 3")
    parser.add_argument("--podman", action="append", default=[], help="a podman to use; repeatable")
    parser.add_argument("--process", action="store_true", help="the process runtime, too")
    parser.add_argument("--profile", nargs="+", choices=_PROFILES, default=list(_PROFILES))
    parser.add_argument("--drill", nargs="+", choices=get_args(Drill), default=list(_DRILLS))
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for drills.json")
    asked = parser.parse_args(words)
    # What the library says of servers that go is the point here, and no news.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    places = [*asked.podman, *(["process"] if asked.process else [])] or ["podman"]
    rows = [
        (where, base, drill)
        for where in places
        for base in asked.profile
        for drill in asked.drill
        if not (where == "process" and drill == "partition")
        and not (base == "state" and drill in {"failover", "partition"})
    ]
    shown: list[Shown] = []
    for where in places:
        for base in asked.profile:
            drills = [drill for place, kind, drill in rows if (place, kind) == (where, base)]
            with _deployed(where, base) as (profile, state):
                for number in range(asked.rounds):
                    for drill in drills:
                        report = _drill(where, drill, profile, state)
                        shown.append(Shown(where, base, drill, report))
                        gap = f"{report.write_gap_s:.2f} s, {report.status}"
                        print(f"{number + 1} {where} {base} {drill}: {gap}", file=sys.stderr)
    print(_table(rows, shown).text())
    if asked.out:
        told = [{"where": one.where, "profile": one.base, **asdict(one.report)} for one in shown]
        (asked.out / "drills.json").write_text(json.dumps(told) + "\n")


def _drill(where: str, drill: Drill, profile: Profile, state: StateFolder) -> DrillReport:
    confirm = 0 if profile.topology == "standalone" else 1
    with using(where):
        aim = take_aim(drill, profile, state)
        plan = plan_drill(drill, aim, load=LoadPlan(confirm=confirm))
        return run_drill(plan, aim, state, profile, progress=lambda _: None)


@contextmanager
def _deployed(where: str, base: str) -> Iterator[tuple[Profile, StateFolder]]:
    image = {"image": _NINE} if base == "cluster" else {}
    profile = small_profile(base, image)
    runtime: Wanted = "process" if where == "process" else "podman"
    with ExitStack() as stack:
        stack.enter_context(using(where))
        state = StateFolder(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        stack.callback(lambda: take_down(profile.name, state, purge=True))
        deploy(profile, state, runtime=runtime)
        yield profile, state


def _table(rows: Sequence[tuple[str, str, Drill]], shown: Sequence[Shown]) -> Table:
    lines = []
    for where, base, drill in rows:
        mine = [
            one.report for one in shown if (one.where, one.base, one.drill) == (where, base, drill)
        ]
        gaps = [report.write_gap_s for report in mine]
        healthy = [report.time_to_healthy_s for report in mine]
        well = [seconds for seconds in healthy if seconds is not None]
        lines.append(
            [
                f"{where} {base} {drill}",
                f"{median(gaps):.2f}",
                f"{max(gaps):.2f}",
                f"{median(report.client_write_gap_s for report in mine):.2f}",
                f"{sum(report.losses.acknowledged for report in mine):,}",
                f"{sum(report.losses.lost or 0 for report in mine)}",
                f"{sum(report.losses.lost_confirmed or 0 for report in mine)}",
                f"{median(well):.0f}" if len(well) == len(healthy) else "never",
            ]
        )
    columns = ("", "gap", "max", "client", "acked", "lost", "confirmed", "healthy")
    notes = (
        "Seconds: median and longest write gap of the direct probe, median gap of the library's "
        "client; acknowledged writes, of them lost, of those that a replica had confirmed lost; "
        "median time to healthy again.",
    )
    return Table("Drills", columns, lines, notes)


if __name__ == "__main__":
    main()

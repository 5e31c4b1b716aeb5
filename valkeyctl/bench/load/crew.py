"""A player whose stages are played by workers, in this machine's processes or elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from urllib.parse import urlsplit

from valkeyctl.bench.arm import Node
from valkeyctl.bench.load.blocks import WARMUP, Stage
from valkeyctl.bench.load.calls import Desk, Member, Words
from valkeyctl.bench.load.clocks import clock_name, loopback_name, offset
from valkeyctl.bench.load.fingerprint import fingerprint, fingerprints
from valkeyctl.bench.load.kinds import Kinds
from valkeyctl.bench.load.ledger import Ledger
from valkeyctl.bench.load.orders import Orders
from valkeyctl.bench.load.player import Played, Tally
from valkeyctl.errors import ToolError, UsageError

# Questions for the clock of a machine elsewhere: when it joins, and before each stage.
_FIRST_LOOK, _EVERY_LOOK = 16, 4
# From the message that begins a stage to its beginning; it must have arrived everywhere.
_LEAD = 0.1
# Records that one message carries: a megabyte.
_MOST_RECORDS = 16_384
_LOOPBACK = ("127.", "localhost", "::1")
_clock = time.perf_counter


class Crew:
    """A `Player` that hands each stage to all workers, and keeps what they measure.

    Every worker plays its part of the stage from one common moment on; then its samples
    are fetched, brought to our clock, and counted: as many as it says it has taken.

    Args:
        orders: Plan and URLs.
        desk: Where the workers are.
        ledger: Where samples go.
        kinds: Names of requests, where a locustfile brings them; None takes the plan's.
    """

    def __init__(self, orders: Orders, desk: Desk, ledger: Ledger, kinds: Kinds | None) -> None:
        self._orders = orders
        self._desk = desk
        self._ledger = ledger
        self._kinds = kinds
        self._fetched: dict[str, int] = {}
        self._due = 0.0
        self._error = 0.0
        self._held: float | None = None
        self._sent = [0] * len(orders.plan.arms)
        # How many requests each arm has been sent by the end of each round, at least.
        self._edges: list[int] = []

    def enlist(self, patience: float) -> None:
        """Wait for the workers and tell each of them what to play.

        Raises:
            MissingError: They did not come within *patience* seconds.
            UsageError: One could not reach an arm, or has other files than we.
            ToolError: One is gone already.
        """
        self._desk.gather(patience)
        for member in self._desk.members:
            self._check_reach(member)
        self._tune(_FIRST_LOOK)
        plan = self._orders.plan
        locustfile = None if plan.locustfile is None else fingerprint(plan.locustfile)
        replies = self._desk.ask_all(
            "orders",
            lambda member: {
                "plan": plan.to_json(show_secrets=True),
                "urls": list(self._orders.urls),
                "salt": self._orders.salt,
                "locustfile": locustfile,
                "worker": member.number,
                "workers": len(self._desk.members),
            },
        )
        ours = fingerprints(plan)
        for member, reply in zip(self._desk.members, replies, strict=True):
            theirs = reply["files"]
            for name, print_ in ours.items():
                if not isinstance(theirs, Mapping) or theirs.get(name) != print_:
                    raise UsageError(
                        f"{member.name} has another {Path(name).name} than the master",
                        hint=f"Copy {name} there, as it is here",
                    )

    def facts(self) -> dict[str, Node]:
        """Return who sent the load, and how far their clocks may be off."""
        return {
            "clock_error_ms": round(self._error * 1000, 3),
            "members": [
                {
                    "name": one.name,
                    "host": one.host,
                    "same_clock": self._same_clock(one),
                    "clock_error_ms": round(one.offset.error * 1000, 3),
                }
                for one in self._desk.members
            ],
        }

    def tally(self) -> Tally:
        """Return how many samples there are by now, those that are still with the workers too."""
        told = [one.tally for one in self._desk.members]
        return Tally(sum(one.samples for one in told), sum(one.failed for one in told))

    def warm_up(self, arm: int, seconds: float) -> float:
        """Play load in *arm* that is thrown away; return its right answers per second."""
        replies = self._desk.ask_all("warm_up", lambda _: {"arm": arm, "seconds": seconds})
        self._collect(Stage(arm, WARMUP, 0), replies)
        known = [reply["held"] for reply in replies]
        # All arms so far are in it.
        self._held = None if None in known else sum(_number(reply, "held") for reply in replies)
        return sum(_number(reply, "rate") for reply in replies)

    def held(self) -> float | None:
        """Return what all workers together have the processor time for; see `Player`."""
        return self._held

    def begin(self, sizes: Sequence[int]) -> None:
        """Take in the sizes of all blocks."""
        self._edges = list(accumulate(sizes))
        self._desk.ask_all("begin", lambda _: {"sizes": list(sizes)})

    def prepare(self, stage: Stage) -> float | None:
        """Have all workers make their part of *stage*; see `Player`."""
        replies = self._desk.ask_all("prepare", lambda _: _words(stage))
        self._tune(_EVERY_LOOK)
        # Whoever has the stage's first request says when the whole stage begins.
        dues = [_number(reply, "due") for reply in replies if reply["due"] is not None]
        self._due = min(dues, default=0.0)
        spans = [_number(reply, "span") for reply in replies if reply["span"] is not None]
        return max(spans, default=None)

    def play(self, stage: Stage) -> Played:
        """Have all workers play their part, and fetch their samples; see `Player`."""
        at = _clock() + _LEAD
        replies = self._desk.ask_all(
            "play", lambda member: {"at": at - member.offset.seconds, "due": self._due}
        )
        requests = self._collect(stage, replies)
        self._sent[stage.arm] += requests
        if self._kinds is None:
            self._check_sent(stage)
        cpu = [_number(reply, "cpu") for reply in replies]
        late = [
            _number(reply, "lateness_p99_ms")
            for reply in replies
            if reply["lateness_p99_ms"] is not None
        ]
        ends = [
            _number(reply, "end") + member.offset.seconds
            for member, reply in zip(self._desk.members, replies, strict=True)
        ]
        return Played(
            begin=at,
            end=max(ends),
            cpu=sum(cpu),
            lateness_p99_ms=max(late, default=None),
            requests=requests,
        )

    def _check_sent(self, stage: Stage) -> None:
        """See to it that nothing up to the end of *stage* is missing, or came twice.

        A stage may have sent requests of later ones; see `OpenLoop`.

        Raises:
            ToolError: Something is, or did.
        """
        sent, due = self._sent[stage.arm], self._edges[stage.round]
        if not due <= sent <= self._edges[-1]:
            raise ToolError(
                f"the workers have sent {sent:,} requests by the end of round "
                f"{stage.round + 1}, where {due:,} were due",
                hint="Run it again; what was measured until then is kept",
            )

    def finish(self) -> None:
        """Have all workers add what they did to Locust's totals here, and end."""
        self._desk.ask_all("finish", lambda _: {})

    def close(self) -> None:
        """Write out what is still buffered."""
        self._ledger.close()

    def _collect(self, stage: Stage, replies: Sequence[Words]) -> int:
        """Fetch the samples that the workers say they have; return how many of *stage*."""
        requests = 0
        for member, reply in zip(self._desk.members, replies, strict=True):
            member.tally = Tally(int(_number(reply, "samples")), int(_number(reply, "failed")))
            requests += self._fetch(member, stage, member.tally.samples)
        self._ledger.flush()
        kept = self._ledger.count
        if kept != self.tally().samples:
            raise ToolError(
                f"the workers have {self.tally().samples:,} samples, and {kept:,} arrived",
                hint="Run it again; what was measured until then is kept",
            )
        return requests

    def _fetch(self, member: Member, stage: Stage, until: int) -> int:
        first = done = self._fetched.get(member.id, 0)
        while done < until:
            most = min(_MOST_RECORDS, until - done)
            reply = self._desk.ask(member, "fetch", first=done, most=most)
            records, errors, kinds = reply["records"], reply["errors"], reply["kinds"]
            if (
                not isinstance(records, bytes)
                or not isinstance(errors, list)
                or not isinstance(kinds, list)
            ):
                raise ToolError(f"{member.name} sent no samples", hint="Run it again")
            kept = self._ledger.merge(
                records,
                stage,
                worker=member.number,
                clock=member.offset,
                errors=[str(text) for text in errors],
                kinds=None if self._kinds is None else [self._kinds.code(str(k)) for k in kinds],
            )
            if not 0 < kept <= most:
                raise ToolError(
                    f"{member.name} sent {kept:,} samples where {most:,} were asked for",
                    hint="Run it again; what was measured until then is kept",
                )
            done += kept
        self._fetched[member.id] = done
        return done - first

    def _tune(self, questions: int) -> None:
        """Ask the clocks of workers elsewhere anew, as clocks drift apart."""
        for member in self._desk.members:
            if self._same_clock(member):
                continue
            asked = []
            for _ in range(questions):
                before = _clock()
                theirs = _number(self._desk.ask(member, "clock"), "clock")
                asked.append((before, theirs, _clock()))
            member.offset = offset(asked)
            self._error = max(self._error, member.offset.error)

    def _same_clock(self, member: Member) -> bool:
        return member.clock != "" and member.clock == clock_name()

    def _check_reach(self, member: Member) -> None:
        """Prove that *member* does not take our loopback addresses for its own.

        Raises:
            UsageError: It would.
        """
        if member.loopback and member.loopback == loopback_name():
            return
        for arm, url in zip(self._orders.plan.arms, self._orders.urls, strict=True):
            host = urlsplit(url).hostname or ""
            if host.startswith(_LOOPBACK):
                raise UsageError(
                    f"arm {arm.name!r} goes to {host}, which on {member.host} is that machine "
                    "itself",
                    hint="Let the application listen on an address that the workers reach, and "
                    "give it with --target or --arm NAME=url:URL",
                )


def _words(stage: Stage) -> Words:
    return {"arm": stage.arm, "round": stage.round, "size": stage.size}


def _number(words: Words, name: str) -> float:
    value = words[name]
    if not isinstance(value, int | float):
        raise ToolError(f"a worker's answer has no number {name}", hint="Run it again")
    return value

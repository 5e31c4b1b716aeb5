"""What the parent process tells its Locust child, and what the child tells it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from valkeyctl.bench.plan import Plan

# In the environment, not in an argument or a file: headers of an arm may hold a secret.
ORDERS_VARIABLE = "VALKEYCTL_BENCH_ORDERS"
HIRE_VARIABLE = "VALKEYCTL_BENCH_HIRE"
# Linux takes 128 KiB in one variable, which a scenario with large bodies does not fit into.
_PART = 100_000
# Locust's masters and workers exchange a heartbeat every second.
SILENCE = 10.0


@dataclass(frozen=True)
class Meeting:
    """Where a Locust master meets its workers.

    Attributes:
        host: Address that it listens on.
        port: TCP port; 0 takes a free one.
        token: What a worker must know.
        patience: Seconds that it waits for all of them.
    """

    host: str
    port: int
    token: str = field(repr=False)
    patience: float


@dataclass(frozen=True)
class Hire:
    """What a worker's process needs to know before it hears from its master.

    Attributes:
        host: The master's address.
        port: Its port.
        token: What it wants to hear.
        patience: Seconds until it must have answered.
        progress_fd: Pipe for JSON lines, each with an ``event``: ``connected``, ``hired``
            (the master has taken us), ``stage``, ``tick``, ``finished`` and ``failed``.
        locustfile: The user's own; None where none was given.
        folder: Where the user is, for what the locustfile opens.
        silence: Seconds without a word after which the master counts as gone.
    """

    host: str
    port: int
    token: str = field(repr=False)
    patience: float
    progress_fd: int
    locustfile: Path | None = None
    folder: Path = Path()
    silence: float = SILENCE

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"

    def environment(self) -> dict[str, str]:
        """Return the variable that carries all of it."""
        return {HIRE_VARIABLE: json.dumps(asdict(self), default=str)}


def read_hire(environment: Mapping[str, str]) -> Hire:
    """Return what *environment* carries; a KeyError means that no parent gave any."""
    values = json.loads(environment[HIRE_VARIABLE])
    own = values.pop("locustfile")
    return Hire(
        **{**values, "folder": Path(values["folder"])},
        locustfile=None if own is None else Path(own),
    )


@dataclass(frozen=True)
class Orders:
    """Everything that the Locust child needs to know.

    Attributes:
        plan: What to play.
        urls: Base URL of each arm, in the plan's order.
        salt: Goes into every prompt; see `traffic.stream`.
        folder: Where samples, stages and error texts are written.
        progress_fd: Pipe for JSON lines, each with an ``event``: ``stage`` (one begins, of
            about so many ``seconds``; 0 where nothing is known), ``tick`` (samples so
            far), ``sizes`` (of the blocks, once known), ``shortened`` (why less is played
            than the plan has), ``all_failed`` (the warm-up had no right answer; the run
            ends), ``finished`` (with Locust's own totals), ``failed`` (why the run cannot
            go on), ``kinds`` (names of requests that a locustfile has sent), ``listening``
            (the master's port) and ``crew`` (who sent).
        servers: Process ids to end when the parent is gone and cannot do it.
        meeting: Where workers come to; None where this process sends the load itself.
        home: Where the user is, for what a locustfile opens.
    """

    plan: Plan
    urls: tuple[str, ...]
    salt: str
    folder: Path
    progress_fd: int
    servers: tuple[int, ...] = ()
    meeting: Meeting | None = None
    home: Path = Path()

    @property
    def users(self) -> int:
        """How many users of ours the plan needs; one alone has an open loop's requests.

        Those of a locustfile are not among them.
        """
        plan = self.plan
        return plan.users if plan.load_model == "closed" and plan.locustfile is None else 1

    def environment(self) -> dict[str, str]:
        """Return the variables that carry these orders."""
        document = {
            "plan": self.plan.to_json(show_secrets=True),
            "urls": list(self.urls),
            "salt": self.salt,
            "folder": str(self.folder),
            "progress_fd": self.progress_fd,
            "servers": list(self.servers),
            "meeting": None if self.meeting is None else asdict(self.meeting),
            "home": str(self.home),
        }
        text = json.dumps(document)
        parts = [text[place : place + _PART] for place in range(0, len(text), _PART)]
        return {_variable(number): part for number, part in enumerate(parts)}


def _variable(number: int) -> str:
    return f"{ORDERS_VARIABLE}_{number}" if number else ORDERS_VARIABLE


def read_orders(environment: Mapping[str, str]) -> Orders:
    """Return the orders in *environment*; a KeyError means that no parent gave any."""
    parts = [environment[ORDERS_VARIABLE]]
    while (more := environment.get(_variable(len(parts)))) is not None:
        parts.append(more)
    document = json.loads("".join(parts))
    return Orders(
        plan=Plan.from_json(document["plan"]),
        urls=tuple(document["urls"]),
        salt=document["salt"],
        folder=Path(document["folder"]),
        progress_fd=document["progress_fd"],
        servers=tuple(document["servers"]),
        meeting=None if document["meeting"] is None else Meeting(**document["meeting"]),
        home=Path(document["home"]),
    )

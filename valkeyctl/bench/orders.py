"""What the parent process tells its Locust child, and what the child tells it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from valkeyctl.bench.plan import Plan

# In the environment, not in an argument or a file: headers of an arm may hold a secret.
ORDERS_VARIABLE = "VALKEYCTL_BENCH_ORDERS"


@dataclass(frozen=True)
class Orders:
    """Everything that the Locust child needs to know.

    Attributes:
        plan: What to play.
        urls: Base URL of each arm, in the plan's order.
        salt: Goes into every prompt; see `traffic.stream`.
        folder: Where samples, stages and error texts are written.
        progress_fd: Pipe for JSON lines, each with an ``event``: ``stage`` (one begins),
            ``tick`` (samples so far), ``sizes`` (of the blocks, once known),
            ``all_failed`` (the warm-up had no right answer; the run ends) and
            ``finished`` (with Locust's own totals).
        servers: Process ids to end when the parent is gone and cannot do it.
    """

    plan: Plan
    urls: tuple[str, ...]
    salt: str
    folder: Path
    progress_fd: int
    servers: tuple[int, ...] = ()

    def environment(self) -> dict[str, str]:
        """Return the variable that carries these orders."""
        document = {
            "plan": self.plan.to_json(show_secrets=True),
            "urls": list(self.urls),
            "salt": self.salt,
            "folder": str(self.folder),
            "progress_fd": self.progress_fd,
            "servers": list(self.servers),
        }
        return {ORDERS_VARIABLE: json.dumps(document)}


def read_orders(environment: Mapping[str, str]) -> Orders:
    """Return the orders in *environment*; a KeyError means that no parent gave any."""
    document = json.loads(environment[ORDERS_VARIABLE])
    return Orders(
        plan=Plan.from_json(document["plan"]),
        urls=tuple(document["urls"]),
        salt=document["salt"],
        folder=Path(document["folder"]),
        progress_fd=document["progress_fd"],
        servers=tuple(document["servers"]),
    )

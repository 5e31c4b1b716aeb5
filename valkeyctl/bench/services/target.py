"""Where a run's load goes, and what the run may use of the rest of the program.

`bench` imports nothing of `runtime` and `ops`: what it needs of them, the command line
hands in as callables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, TypeAlias

from valkeyctl.bench.arm import check_url, mask_url
from valkeyctl.bench.plan import Plan
from valkeyctl.endpoint import Endpoint

Counters: TypeAlias = Mapping[str, float | str]
SIMULATED = "simulated"
# Far above the applications' default, as a run must count a slow read as slow, not as a miss.
PATIENT = 30.0
# The applications' default, for a run with a fault: it is about what clients feel.
PRODUCT = 0.025


class Fault(Protocol):
    """Something done to a server on purpose. Its calls come from a thread of their own."""

    def inflict(self) -> str:
        """Do it; return what was done, for the report, as soon as it is in force.

        Raises:
            ValkeyctlError: It could not be done.
        """

    def over(self, elapsed: float) -> bool:
        """Say whether it has lasted long enough, *elapsed* seconds after `inflict` began."""

    def mend(self) -> str:
        """Undo it, whatever has become of it; return what was done, for the report.

        Called once, also when `inflict` has raised.

        Raises:
            ValkeyctlError: It cannot be undone.
        """


class ThrowawayServer(Protocol):
    """A server that lives as long as the run, and never longer than this process."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""

    @property
    def facts(self) -> Mapping[str, str]:
        """What it is and how it is set, for the report."""

    def fault(self, kind: str) -> Fault:
        """Return the fault *kind* of it; nothing is done yet.

        Raises:
            UsageError: There is no such fault of one server.
        """

    def trouble(self) -> str:
        """Return why it has ended by itself; empty while it runs, or was ended by a fault."""

    def close(self) -> None:
        """End it and remove its files; closing again changes nothing."""


@dataclass(frozen=True)
class Target:
    """What a run's load goes to.

    Attributes:
        cache: Server that the applications cache on; None where every arm has a URL, or a
            server of its own.
        url: Base URL of an application of the user's; then none is started.
        app: First part of the applications' keys; each adds a part of its own, so that
            no run finds what another has stored.
        upstream: Origin of the gateways: ``simulated``, or a provider's URL.
        cache_budget: Seconds that an application may wait for the cache; None is `PATIENT`,
            or `PRODUCT` where the scenario has a fault.
        ttl: Seconds that answers stay cached; None is longer than the run takes.
        server: Settings of the cache's server, for the report.
        forget: Called after the run with each app on *cache* whose keys are no longer needed.
        serve: Starts a throwaway server with the given settings; None starts none.
        disturb: Makes the named fault of the deployment behind *cache* ready, without
            doing anything yet; raises where it cannot be. None makes none.
        server_info: Reads the counters of a cache's servers, for the report; ``run_id`` among
            them is text, and changes when they are of other servers or began anew.
        command: Starts an application instead of its own command; options are added.
        master: Address and port that workers on other machines come to; None has none.
        token: What those workers must know; empty makes one that nobody is told.
    """

    cache: Endpoint | None = None
    url: str | None = None
    app: str = "bench"
    upstream: str = SIMULATED
    cache_budget: float | None = None
    ttl: float | None = None
    server: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    forget: Callable[[str], None] | None = field(default=None, repr=False)
    serve: Callable[[Mapping[str, str]], ThrowawayServer] | None = field(default=None, repr=False)
    disturb: Callable[[str], Fault] | None = field(default=None, repr=False)
    server_info: Callable[[Endpoint], Counters] | None = field(default=None, repr=False)
    command: tuple[str, ...] | None = None
    master: tuple[str, int] | None = None
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.url is not None:
            object.__setattr__(self, "url", check_url(self.url, "the target's URL"))

    def budget(self, plan: Plan) -> float:
        """Return the seconds that an application may wait for the cache when *plan* is played."""
        if self.cache_budget is not None:
            return self.cache_budget
        return PATIENT if plan.scenario.during is None else PRODUCT

    def origin(self, plan: Plan) -> str:
        """Return who answers on a miss when *plan* is played, in words for the report."""
        if self.url is not None or plan.scenario.application == "none":
            return "the application under test"
        if plan.scenario.application == "sample":
            return "simulated database (the one stand-in of this run)"
        if self.upstream == SIMULATED:
            return "simulated LLM (the one stand-in of this run)"
        return mask_url(self.upstream)

"""All that a run has started to be asked: applications and their servers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from valkeyctl.bench.arm import Node
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.services.applications import (
    COMMANDS,
    Application,
    AppPlan,
    arm_urls,
    assign,
    check_reachable,
    options,
    wait_until_healthy,
)
from valkeyctl.bench.services.children import Interruptions, end_all
from valkeyctl.bench.services.target import Counters, Fault, Target, ThrowawayServer
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ToolError, UsageError, ValkeyctlError

# What only grows while a server runs; the rest of its counters is as it is.
GROWING = frozenset(
    {
        *("keyspace_hits", "keyspace_misses", "evicted_keys", "expired_keys", "commands"),
        *("net_input_bytes", "net_output_bytes", "cpu_s"),
    }
)


@dataclass
class _Store:
    """A cache server, or deployment, that applications of the run use."""

    endpoint: Endpoint
    settings: Mapping[str, str]
    arms: list[int]
    throwaway: ThrowawayServer | None = None
    before: Counters | None = None
    after: Counters | None = None


@dataclass
class Lineup:
    """What a run's load goes to, from its start to its end.

    Attributes:
        plan: What is played.
        target: Where to.
        run_id: Part of the applications' keys.
        folder: Where their logs go.
        ttl: Seconds that answers stay cached.
        applications: Those that run, in the order of their numbers.
    """

    plan: Plan
    target: Target
    run_id: str
    folder: Path
    ttl: float
    planned: list[AppPlan] = field(init=False)
    applications: list[Application] = field(default_factory=list)
    _stores: list[_Store] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.planned = assign(self.plan, self.target, self.run_id)

    @property
    def addresses(self) -> int:
        """How many different ones the load goes to."""
        given = {url for arm in self.plan.arms if (url := arm.url or self.target.url)}
        return len(given) + len(self.planned)

    def start(self, interruptions: Interruptions) -> None:
        """Start all of it; returns when every application answers.

        Raises:
            UnreachableError: Nothing listens at an arm's URL.
            StartError: An application, or a throwaway server, ended or never answered.
            PortTakenError: There was no free port.
            MissingError: There is no server to start.
        """
        for arm in self.plan.arms:
            if url := arm.url or self.target.url:
                check_reachable(arm, url)
        for planned in self.planned:
            with interruptions.shield():
                cache = self._cache(planned)
            with interruptions.shield():
                self.applications.append(
                    Application(
                        planned,
                        cache,
                        self.target.command or COMMANDS[planned.kind],
                        options(planned.kind, self.plan, self.target, self.ttl),
                        self.folder,
                    )
                )
        wait_until_healthy(self.applications)

    def urls(self) -> tuple[str, ...]:
        """Return each arm's base URL."""
        started = {arm: one.url for one in self.applications for arm in one.plan.arms}
        return arm_urls(self.plan, self.target, started)

    def pids(self) -> tuple[int, ...]:
        """Return the processes that somebody else must end when we are killed.

        Throwaway servers end by themselves.
        """
        return tuple(one.child.process.pid for one in self.applications)

    def check_servers(self) -> None:
        """Prove that no throwaway server has ended that was not ended on purpose.

        Raises:
            ToolError: One has: arms would be measured without the cache that they name.
        """
        for store in self._stores:
            if store.throwaway is not None and (why := store.throwaway.trouble()):
                names = ", ".join(self.plan.arms[arm].name for arm in store.arms)
                raise ToolError(
                    f"the throwaway server of {names} ended during the run: {why}",
                    hint="Give it other server settings, or the machine more memory",
                )

    def check_faults(self) -> None:
        """Prove, before anything is started, that caches which are there can be disturbed.

        Raises:
            UsageError, ValkeyctlError: As `fault`.
        """
        for arm in range(len(self.plan.arms)):
            if not self._on_throwaway(arm):
                self.fault(arm)

    def fault(self, arm: int) -> Fault:
        """Return the scenario's fault of the cache that *arm* uses; nothing is done yet.

        Raises:
            UsageError: There is no such cache of ours.
            ValkeyctlError: It cannot be disturbed.
        """
        scenario = self.plan.scenario
        kind = scenario.during.kind if scenario.during else ""
        if self._on_throwaway(arm):
            servers = (one.throwaway for one in self._stores if arm in one.arms)
            server = next(one for one in servers if one is not None)
            return server.fault(kind)
        named = any(arm in one.arms and one.cache == "named" for one in self.planned)
        if named or self.target.disturb is None:
            raise UsageError(
                f"the scenario {scenario.name} disturbs the cache ({kind}), and that "
                f"of arm {self.plan.arms[arm].name!r} is no deployment of ours",
                hint="Name the deployment's profile with -p, or give the scenario server: "
                "settings, for a throwaway server",
            )
        return self.target.disturb(kind)

    def note_before(self) -> None:
        """Read the counters of all caches; one that does not answer is left out."""
        for store in self._stores:
            store.before = self._info(store.endpoint)

    def note_after(self) -> None:
        """Read them again."""
        for store in self._stores:
            store.after = self._info(store.endpoint)

    def end(self) -> None:
        """End every process; raises nothing that a run would die of."""
        end_all([application.child for application in self.applications])
        for store in self._stores:
            if store.throwaway is not None:
                # It dies with us at the latest; the measurement is not lost for it.
                with contextlib.suppress(ValkeyctlError):
                    store.throwaway.close()

    def forget(self) -> None:
        """Remove the keys that the applications have left on a cache that goes on."""
        if self.target.forget is None:
            return
        for application in self.applications:
            if application.plan.cache == "given":
                # Keys that stay expire by themselves.
                with contextlib.suppress(ValkeyctlError):
                    self.target.forget(application.plan.app)

    def facts(self) -> dict[str, Node]:
        """Return what the report says of it; what was not started yet is not in it."""
        names = [arm.name for arm in self.plan.arms]
        caches = [store.endpoint.url() for store in self._stores]
        return {
            "origin": self.target.origin(self.plan),
            "cache": ", ".join(dict.fromkeys(caches)) or self._cache_to_be(),
            "cache_budget_s": self.target.budget(self.plan) if self.planned else None,
            "gateways": [
                {
                    "app": one.app,
                    "application": one.kind,
                    "arms": [names[arm] for arm in one.arms],
                    "options": " ".join(options(one.kind, self.plan, self.target, self.ttl)),
                }
                for one in self.planned
            ],
            "server": dict(self._common_settings()),
            "servers": [_told(store, names) for store in self._stores],
        }

    def _on_throwaway(self, arm: int) -> bool:
        return any(arm in one.arms and one.cache == "throwaway" for one in self.planned)

    def _cache_to_be(self) -> str | None:
        return str(self.target.cache) if self.planned and self.target.cache else None

    def _cache(self, planned: AppPlan) -> Endpoint:
        """Return where *planned* caches, after starting that where it is a throwaway server."""
        if planned.cache == "named":
            return Endpoint()  # its variables say where
        if planned.cache == "throwaway":
            serve = _given(self.target.serve)
            server = serve(dict(planned.server))
            arms = list(planned.arms)
            self._stores.append(_Store(server.endpoint, server.facts, arms, server))
            return server.endpoint
        endpoint = self.target.cache
        if endpoint is None:
            raise AssertionError("assign gives a server to who has none")
        shared = next((one for one in self._stores if one.throwaway is None), None)
        if shared is None:
            shared = _Store(endpoint, self.target.server, [])
            self._stores.append(shared)
        shared.arms.extend(planned.arms)
        return endpoint

    def _info(self, endpoint: Endpoint) -> Counters | None:
        if self.target.server_info is None:
            return None
        try:
            return dict(self.target.server_info(endpoint))
        except ValkeyctlError:
            return None  # a fact less; it must not fail a run that is about the load

    def _common_settings(self) -> Mapping[str, str]:
        if not self._stores:
            return self.target.server
        first, *others = (store.settings for store in self._stores)
        return {
            name: value
            for name, value in first.items()
            if all(one.get(name) == value for one in others)
        }


def _given(
    serve: Callable[[Mapping[str, str]], ThrowawayServer] | None,
) -> Callable[[Mapping[str, str]], ThrowawayServer]:
    if serve is None:
        raise AssertionError("assign asks for no server that cannot be started")
    return serve


def _told(store: _Store, names: list[str]) -> dict[str, Node]:
    return {
        "address": store.endpoint.address,
        "arms": [names[arm] for arm in sorted(store.arms)],
        "throwaway": store.throwaway is not None,
        "settings": dict(store.settings),
        "before": _plain(store.before),
        "after": _plain(store.after),
        "delta": _delta(store.before, store.after),
    }


def _plain(counters: Counters | None) -> dict[str, Node] | None:
    """Return what of *counters* is a number, whole ones as such."""
    if counters is None:
        return None
    numbers = {name: value for name, value in counters.items() if not isinstance(value, str)}
    return {name: int(v) if float(v).is_integer() else v for name, v in numbers.items()}


def _delta(before: Counters | None, after: Counters | None) -> dict[str, Node] | None:
    """Return by how much the counters grew; None when they are not of one life of a server."""
    if before is None or after is None or before.get("run_id") != after.get("run_id"):
        return None
    return _plain(
        {
            name: round(float(after[name]) - float(before[name]), 6)
            for name in before
            if name in GROWING and name in after
        }
    )

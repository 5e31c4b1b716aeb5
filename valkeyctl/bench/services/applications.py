"""The applications that a run starts: a gateway, or the sample application, for its arms."""

from __future__ import annotations

import http.client
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psutil

from valkeyctl.bench.arm import Arm, Pairs, mask_url
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.services.children import Child
from valkeyctl.bench.services.target import Target
from valkeyctl.bench.traffic.scenario import Scenario
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import PortTakenError, StartError, UnreachableError, UsageError

Kind = Literal["gateway", "sample"]
# Without the user's folder on the import path: a redis.py in it is not the driver.
_PYTHON = (sys.executable, "-P", "-m")
COMMANDS: Mapping[Kind, tuple[str, ...]] = {
    "gateway": (*_PYTHON, "valkeyctl", "gateway", "serve"),
    "sample": (*_PYTHON, "valkeyctl.sample"),
}
NAMES: Mapping[Kind, str] = {"gateway": "the gateway", "sample": "the sample application"}
LOGS = tuple(f"{kind}-*.log" for kind in COMMANDS)
_URL_VARIABLE = "VALKEYCTL_URL"
_HEALTH_DEADLINE = 60.0
_PORT_ATTEMPTS = 3
_CONNECT_TIMEOUT = 5.0
_PORT_WORDS = ("address already in use", "errno 98", "errno 48", "is taken by another process")
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class AppPlan:
    """One application that a run needs.

    Attributes:
        number: From 1.
        kind: Which one.
        app: Its own first part of keys.
        env: Variables set for it: the scenario's, and its arms'.
        arms: Indices of the arms that it serves; at most one of them uses its cache.
        server: Settings of the throwaway server that is started for it.
        cache: Where it caches: ``given``, on the run's target; ``throwaway``, on a server
            of its own; ``named``, where its variables say.
    """

    number: int
    kind: Kind
    app: str
    env: Pairs = field(repr=False)
    arms: tuple[int, ...]
    server: Pairs = ()
    cache: Literal["given", "throwaway", "named"] = "given"


@dataclass
class _Group:
    """Arms that one application serves."""

    env: Pairs
    server: Pairs
    members: list[int]


def assign(plan: Plan, target: Target, run_id: str) -> list[AppPlan]:
    """Return the applications that *plan* needs; none for arms that have a URL.

    Arms that differ by headers share an application, but two arms that both use the cache
    never do, nor a throwaway server: the second to play a block would be answered from
    what the first stored, and would find its memory taken.

    Raises:
        UsageError: An arm sets variables, or a server, of an application that the run
            does not start; or there is no cache for one, or no application at all.
    """
    scenario = plan.scenario
    groups: list[_Group] = []
    # Those that use the cache come first; the others find a place beside them.
    for index in sorted(range(len(plan.arms)), key=lambda arm: plan.arms[arm].bypasses):
        arm = plan.arms[index]
        if arm.url or target.url:
            _require_nothing_set(arm, scenario)
            continue
        if scenario.application == "none":
            raise UsageError(
                f"the scenario {scenario.name} starts no application",
                hint="Give --target, or a URL for every arm: --arm NAME=url:URL",
            )
        env, server = _merged(scenario.env, arm.env), _merged(scenario.server, arm.server)
        shared = next(
            (
                group
                for group in groups
                if arm.bypasses and group.env == env and (not arm.server or group.server == server)
            ),
            None,
        )
        if shared is None:
            groups.append(_Group(env, server, [index]))
        else:
            shared.members.append(index)
    return [
        AppPlan(
            number,
            scenario.application,  # type: ignore[arg-type]  # "none" has no groups
            f"{target.app}-{run_id}-{number}",
            group.env,
            tuple(sorted(group.members)),
            group.server,
            _cache_of(group, target),
        )
        for number, group in enumerate(groups, start=1)
    ]


def needs_cache(plan: Plan, url: str | None) -> bool:
    """Say whether a run of *plan* needs a cache from outside.

    It does not where each arm that uses one has a URL, a throwaway server, or variables
    that name another; *url* is the target's.
    """
    scenario = plan.scenario
    if scenario.application == "none":
        return False
    return any(
        not (arm.bypasses or arm.url or url or arm.server or scenario.server)
        and _URL_VARIABLE not in dict(_merged(scenario.env, arm.env))
        for arm in plan.arms
    )


def _merged(common: Pairs, own: Pairs) -> Pairs:
    return tuple(sorted({**dict(common), **dict(own)}.items()))


def _require_nothing_set(arm: Arm, scenario: Scenario) -> None:
    own = f"arm {arm.name!r}"
    for given, who, what in (
        (arm.env, own, "variables"),
        (arm.server, own, "the server"),
        (scenario.server, f"scenario {scenario.name!r}", "the server"),
    ):
        if given:
            raise UsageError(
                f"{who} sets {what} of an application that bench does not start",
                hint="Start one application per arm and name them with --arm NAME=url:URL",
            )


def _cache_of(group: _Group, target: Target) -> Literal["given", "throwaway", "named"]:
    if _URL_VARIABLE in dict(group.env):
        return "named"
    if group.server or target.cache is None:
        if target.serve is None and group.server:
            raise UsageError(
                "a server with settings of its own cannot be started here",
                hint="Leave out server: settings, and give --url or deploy a cache",
            )
        if target.serve is None:
            raise UsageError(
                "there is no cache to measure",
                hint="Give --url, or deploy one: valkeyctl deploy",
            )
        return "throwaway"
    return "given"


def arm_urls(plan: Plan, target: Target, started: Mapping[int, str]) -> tuple[str, ...]:
    """Return each arm's base URL; *started* has those of the arms that applications serve."""
    return tuple(arm.url or target.url or started[index] for index, arm in enumerate(plan.arms))


def options(kind: Kind, plan: Plan, target: Target, ttl: float) -> tuple[str, ...]:
    """Return the options that all applications of a run have in common; none is a secret."""
    return (
        *(("--upstream", target.upstream) if kind == "gateway" else ()),
        *("--seed", str(plan.seed)),
        *("--speedup", f"{plan.speedup:g}"),
        *("--cache-budget", f"{target.budget(plan):g}"),
        # Not :g, which gives a month an exponent that no duration has.
        *("--ttl", f"{ttl:.3f}"),
        # A line for every request is work that both arms would pay for.
        *("--log-level", "warning"),
    )


class Application:
    """An application that runs as a child, on a free loopback port.

    Args:
        plan: Which one.
        cache: Where it caches; not used where its variables name a cache.
        command: Starts it.
        common: Its options beside those that are its own.
        folder: Where its log goes.
    """

    def __init__(
        self,
        plan: AppPlan,
        cache: Endpoint,
        command: Sequence[str],
        common: Sequence[str],
        folder: Path,
    ) -> None:
        self.plan = plan
        self._cache = cache
        self._command = tuple(command)
        self._common = tuple(common)
        self._log = folder / f"{plan.kind}-{plan.number}.log"
        self._attempts = 0
        self.start()

    def start(self) -> None:
        """Start the process on a port that is free at this moment."""
        self._attempts += 1
        self.port = free_port()
        own = dict(self.plan.env)
        # The URL may hold a password, so it becomes neither an argument nor a variable.
        given = () if self.plan.cache == "named" else ("--url", "-")
        environment = {**os.environ, **_certificates(self._cache), **own}
        if given:
            environment.pop(_URL_VARIABLE, None)
        self.child = Child(
            [
                *(*self._command, *given),
                *("--host", "127.0.0.1", "--port", str(self.port), "--app", self.plan.app),
                # Killed, we could not end it.
                *("--parent", str(os.getpid())),
                *self._common,
            ],
            log=self._log,
            environment=environment,
            said=f"{self._cache.url(show_secret=True)}\n".encode() if given else b"",
        )

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return NAMES[self.plan.kind]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def healthy(self) -> bool:
        """Say whether it answers; starts it again when its port was taken meanwhile.

        Raises:
            StartError: It ended; carries its last lines.
            PortTakenError: Its port was taken again and again.
        """
        if self.child.status is not None:
            self._restart()
            return False
        try:
            with _opener.open(f"{self.url}/healthz", timeout=1.0) as answer:
                right = bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except (OSError, http.client.HTTPException):
            return False
        # Two runs at one time can choose one port, and the other's gateway answers as ours.
        return right and self._listens()

    def _listens(self) -> bool:
        """Say whether the child, or one of its own, listens on the port; True if hidden."""
        try:
            leader = psutil.Process(self.child.process.pid)
            group = [leader, *leader.children(recursive=True)]
            found = [one for process in group for one in process.net_connections(kind="tcp")]
        except psutil.AccessDenied:
            return True
        except psutil.Error:
            return False
        return any(
            one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == self.port
            for one in found
        )

    def _restart(self) -> None:
        lines = self.child.last_lines()
        if not any(word in line.lower() for line in lines for word in _PORT_WORDS):
            raise StartError(
                f"{self.name} ended with status {self.child.status} before it answered"
                + (f": {lines[-1]}" if lines else ""),
                log=lines,
                hint=f"Its output is in {self._log}",
            )
        if self._attempts >= _PORT_ATTEMPTS:
            raise PortTakenError(
                f"no free port for {self.name} in {self._attempts} attempts",
                hint="See what takes ports on 127.0.0.1: ss -ltnp",
            )
        self.child.end()
        self.start()


def _certificates(cache: Endpoint) -> dict[str, str]:
    """Return the variables that tell an application whom to trust and what to show by TLS."""
    files = {
        "VALKEYCTL_CACERT": cache.ca_file,
        "VALKEYCTL_CLIENT_CERT": cache.cert_file,
        "VALKEYCTL_CLIENT_KEY": cache.key_file,
    }
    return {name: str(file.absolute()) for name, file in files.items() if file is not None}


def wait_until_healthy(
    applications: Sequence[Application], deadline: float = _HEALTH_DEADLINE
) -> None:
    """Return when every application answers.

    Raises:
        StartError: One ended, or did not answer within *deadline* seconds.
        PortTakenError: There was no free port for one.
    """
    until = time.monotonic() + deadline
    for application in applications:
        while not application.healthy():
            if time.monotonic() > until:
                raise StartError(
                    f"{application.name} did not answer on {application.url}/healthz "
                    f"in {deadline:.0f} s",
                    log=application.child.last_lines(),
                    hint=f"Its output is in {application.child.log}",
                )
            time.sleep(0.05)  # the only way to learn that a foreign process listens


def check_reachable(arm: Arm, url: str) -> None:
    """Prove that something listens where *arm*'s requests will go.

    Raises:
        UnreachableError: Nothing does.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=_CONNECT_TIMEOUT):
            pass
    except OSError as error:
        raise UnreachableError(
            f"no answer from {mask_url(url)}, which arm {arm.name!r} needs: "
            f"{error.strerror or error}",
            hint="Start the application, or correct --target or --arm",
        ) from error


def free_port() -> int:
    """Return a loopback port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

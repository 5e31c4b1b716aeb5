"""What the load is sent to: gateways that the run starts, or an application of the user's."""

from __future__ import annotations

import http.client
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from valkeyctl.bench.children import Child
from valkeyctl.bench.plan import Arm, Plan, check_url, mask_url
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import PortTakenError, StartError, UnreachableError, UsageError

GATEWAY_COMMAND = (sys.executable, "-m", "valkeyctl", "gateway", "serve")
SIMULATED = "simulated"
_URL_VARIABLE = "VALKEYCTL_URL"
_HEALTH_DEADLINE = 60.0
_PORT_ATTEMPTS = 3
_CONNECT_TIMEOUT = 5.0
_PORT_WORDS = ("address already in use", "errno 98", "errno 48", "port_taken", "port is taken")
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Target:
    """What a run's load goes to.

    Attributes:
        cache: Server that the gateways cache on; None only where every arm has a URL.
        url: Base URL of an application of the user's; then no gateway is started.
        app: First part of the gateways' keys; each gateway adds a part of its own, so
            that no run finds what another has stored.
        upstream: Origin of the gateways: ``simulated``, or a provider's URL.
        cache_budget: Seconds that a gateway may wait for the cache. Far above the default
            of the gateway, as a run must count a slow read as slow, not as a miss.
        ttl: Seconds that answers stay cached; None is longer than the run takes.
        server: Settings of the cache's server, for the report.
        forget: Called after the run with each app whose keys are no longer needed.
        command: Starts a gateway; options are added to it.
    """

    cache: Endpoint | None = None
    url: str | None = None
    app: str = "bench"
    upstream: str = SIMULATED
    cache_budget: float = 30.0
    ttl: float | None = None
    server: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    forget: Callable[[str], None] | None = field(default=None, repr=False)
    command: tuple[str, ...] = GATEWAY_COMMAND

    def __post_init__(self) -> None:
        if self.url is not None:
            object.__setattr__(self, "url", check_url(self.url, "the target's URL"))

    @property
    def origin(self) -> str:
        """Who answers on a miss, in words for the report."""
        if self.url is not None:
            return "the application under test"
        if self.upstream == SIMULATED:
            return "simulated LLM (the one stand-in of this run)"
        return mask_url(self.upstream)


@dataclass(frozen=True)
class GatewayPlan:
    """One gateway that a run needs.

    Attributes:
        number: From 1.
        app: Its own first part of keys.
        env: Variables set for it.
        arms: Indices of the arms that it serves; at most one of them uses its cache.
    """

    number: int
    app: str
    env: tuple[tuple[str, str], ...] = field(repr=False)
    arms: tuple[int, ...]


def assign(plan: Plan, target: Target, run_id: str) -> list[GatewayPlan]:
    """Return the gateways that *plan* needs; none for arms that have a URL.

    Arms that differ by headers share a gateway, but two arms that both use the cache
    never do: the second to play a block would be answered from what the first stored.

    Raises:
        UsageError: An arm sets variables of an application that the run does not start,
            or there is no cache for a gateway.
    """
    groups: list[tuple[tuple[tuple[str, str], ...], list[int], bool]] = []
    # Those that use the cache come first; the others find a place beside them.
    for index in sorted(range(len(plan.arms)), key=lambda arm: plan.arms[arm].bypasses):
        arm = plan.arms[index]
        if arm.url or target.url:
            if arm.env:
                raise UsageError(
                    f"arm {arm.name!r} sets variables of an application that bench does not start",
                    hint="Start one application per arm and name them with --arm NAME=url:URL",
                )
            continue
        for env, members, _ in groups:
            if env == arm.env and arm.bypasses:
                members.append(index)
                break
        else:
            groups.append((arm.env, [index], not arm.bypasses))
    if groups and target.cache is None:
        raise UsageError(
            "there is no cache to measure",
            hint="Give --url, or deploy one: valkeyctl deploy",
        )
    return [
        GatewayPlan(number, f"{target.app}-{run_id}-{number}", env, tuple(sorted(members)))
        for number, (env, members, _) in enumerate(groups, start=1)
    ]


def arm_urls(plan: Plan, target: Target, started: Mapping[int, str]) -> tuple[str, ...]:
    """Return each arm's base URL; *started* has those of the arms that gateways serve."""
    return tuple(arm.url or target.url or started[index] for index, arm in enumerate(plan.arms))


def options(plan: Plan, target: Target, ttl: float) -> tuple[str, ...]:
    """Return the options that all gateways of a run have in common; none is a secret."""
    return (
        *("--upstream", target.upstream),
        *("--seed", str(plan.seed)),
        *("--speedup", f"{plan.speedup:g}"),
        *("--cache-budget", f"{target.cache_budget:g}"),
        *("--ttl", f"{ttl:g}"),
        # A line for every request is work that both arms would pay for.
        *("--log-level", "warning"),
    )


class Gateway:
    """A gateway that runs as a child, on a free loopback port."""

    def __init__(
        self, wanted: GatewayPlan, target: Target, common: tuple[str, ...], folder: Path
    ) -> None:
        self.plan = wanted
        self._target = target
        self._common = common
        self._log = folder / f"gateway-{wanted.number}.log"
        self._attempts = 0
        self.start()

    def start(self) -> None:
        """Start the process on a port that is free at this moment."""
        self._attempts += 1
        self.port = free_port()
        cache, own = self._target.cache or Endpoint(), dict(self.plan.env)
        # The URL may hold a password, so it becomes neither an argument nor a variable.
        given = () if _URL_VARIABLE in own else ("--url", "-")
        environment = {**os.environ, **_certificates(cache), **own}
        if given:
            environment.pop(_URL_VARIABLE, None)
        self.child = Child(
            [
                *(*self._target.command, *given),
                *("--host", "127.0.0.1", "--port", str(self.port), "--app", self.plan.app),
                # Killed, we could not end it.
                *("--parent", str(os.getpid())),
                *self._common,
            ],
            log=self._log,
            environment=environment,
            said=f"{cache.url(show_secret=True)}\n".encode() if given else b"",
        )

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
                return bool(answer.status == 200)
        except (OSError, http.client.HTTPException):
            return False

    def _restart(self) -> None:
        lines = self.child.last_lines()
        if not any(word in line.lower() for line in lines for word in _PORT_WORDS):
            raise StartError(
                f"the gateway ended with status {self.child.status} before it answered"
                + (f": {lines[-1]}" if lines else ""),
                log=lines,
                hint=f"Its output is in {self._log}",
            )
        if self._attempts >= _PORT_ATTEMPTS:
            raise PortTakenError(
                f"no free port for the gateway in {self._attempts} attempts",
                hint="See what takes ports on 127.0.0.1: ss -ltnp",
            )
        self.start()


def _certificates(cache: Endpoint) -> dict[str, str]:
    """Return the variables that tell a gateway whom to trust and what to show by TLS."""
    files = {
        "VALKEYCTL_CACERT": cache.ca_file,
        "VALKEYCTL_CLIENT_CERT": cache.cert_file,
        "VALKEYCTL_CLIENT_KEY": cache.key_file,
    }
    return {name: str(file.absolute()) for name, file in files.items() if file is not None}


def wait_until_healthy(gateways: list[Gateway], deadline: float = _HEALTH_DEADLINE) -> None:
    """Return when every gateway answers.

    Raises:
        StartError: One ended, or did not answer within *deadline* seconds.
        PortTakenError: There was no free port for one.
    """
    until = time.monotonic() + deadline
    for gateway in gateways:
        while not gateway.healthy():
            if time.monotonic() > until:
                raise StartError(
                    f"the gateway did not answer on {gateway.url}/healthz in {deadline:.0f} s",
                    log=gateway.child.last_lines(),
                    hint=f"Its output is in {gateway.child.log}",
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

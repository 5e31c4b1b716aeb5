"""Whether a deployment can take traffic: asked through the addresses that clients use."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.checks import STANDARD, Check, HealthReport, Thresholds, Verdict
from valkeyctl.ops.serverchecks import check_identity, check_ping, check_server, probe_key
from valkeyctl.ops.topology.health import check_topology
from valkeyctl.ops.topology.readings import mode_of
from valkeyctl.ops.topology.view import sentinel_given

__all__ = ["Check", "HealthReport", "Thresholds", "Verdict", "probe"]


def probe(
    endpoint: Endpoint,
    *,
    deadline: float = 2.0,
    thresholds: Thresholds = STANDARD,
    app: str = "valkeyctl",
    ours: Collection[str] = (),
) -> HealthReport:
    """Return whether what is at *endpoint* can take traffic, check by check.

    Of one server it takes one round trip per ping and one for everything else. Behind
    Sentinel and in a Cluster all nodes are looked at, and each primary is written to and
    read from; so is a Cluster behind the plain URL of one of its nodes. It leaves nothing
    behind: the keys that it writes are deleted, and would expire.

    Args:
        endpoint: The published address.
        deadline: Seconds for the whole probe.
        thresholds: What is worth a warning or a failure.
        app: First part of the keys that are written, and of those in which state is
            looked for.
        ours: Configuration files by which the servers are known that were deployed; see
            `own_files`. Empty where that is not asked.

    Raises:
        UnreachableError: Nobody answers there, or not within the deadline.
        AuthError: It refuses the user, the password or one of the commands.
        TlsError: The handshake failed.
        UsageError: It is a sentinel, and the URL does not say so.
    """
    began = time.monotonic()
    until = began + deadline
    view = None
    checks: list[Check] = []
    if endpoint.topology == "standalone":
        checks, mode = _one_server(endpoint, app, thresholds, until, ours)
        if mode == "cluster":
            endpoint = replace(endpoint, topology="cluster", db=0)
    if endpoint.topology != "standalone":
        checks, view = check_topology(endpoint, app, thresholds, until, ours)
    elapsed_ms = (time.monotonic() - began) * 1000
    return HealthReport(endpoint.address, tuple(checks), elapsed_ms, view)


def _one_server(
    endpoint: Endpoint, app: str, thresholds: Thresholds, until: float, ours: Collection[str]
) -> tuple[list[Check], str]:
    """Return the checks of one server, and its mode; the checks are those of no Cluster."""
    with Wire(endpoint, timeout=until - time.monotonic()) as wire:
        ping, serves = check_ping(wire, thresholds, until)
        if not serves:
            return [ping], ""
        checks, info = check_server(wire, probe_key(app), app, thresholds, until)
    mode = mode_of(info)
    if mode == "sentinel":
        raise sentinel_given(endpoint.address)
    return [ping, *check_identity(info, ours, endpoint.address), *checks], mode

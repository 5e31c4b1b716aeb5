"""What runs, and how it differs from its profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import NotFoundError, ValkeyctlError
from valkeyctl.ops.deployed import Deployed, look_up
from valkeyctl.ops.rollout import render_of
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.profile.schema import Profile
from valkeyctl.render import CONF, Artefacts, render
from valkeyctl.runtime.directives import change_of, differences, readings
from valkeyctl.runtime.processconf import OVERRIDDEN

Kind = Literal["live", "restart", "recreate"]

_TIMEOUT = 2.0


@dataclass(frozen=True)
class Drift:
    """One thing that is otherwise than the profile says.

    Attributes:
        field: A directive of valkey.conf, or ``image``, ``publish``, ``memory.limit``,
            ``pod``.
        wanted: What the profile says.
        actual: What runs.
        kind: What it takes to bring it there: ``live`` a CONFIG SET, ``restart`` of the
            server, ``recreate`` of its container or process.
    """

    field: str
    wanted: str
    actual: str
    kind: Kind


@dataclass(frozen=True)
class Status:
    """A deployment as it is.

    Attributes:
        name: Of the deployment.
        running: Whether its process or container is up; says nothing about health.
        url: Where it listens; never with a password.
        password_file: Where its password is kept; None without one.
        runtime: ``podman`` or ``process``; empty when it was never deployed.
        runtime_reason: Why that one.
        detail: For a person: its pid, or its container's state.
        version: Of the server; empty when it does not run.
        uptime_s: Seconds that it is up; None when it cannot be asked.
        digest: Of the artefacts that it was made from; empty when unknown.
        drift: What differs from the profile, by field.
        unchecked: Directives of the profile that this server does not report.
        warnings: Why something here is unknown.
    """

    name: str
    running: bool
    url: str
    password_file: Path | None
    runtime: str
    runtime_reason: str
    detail: str
    version: str
    uptime_s: int | None
    digest: str
    drift: tuple[Drift, ...]
    unchecked: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Server:
    """What a running server says of itself."""

    uptime_s: int | None
    directives: Mapping[str, str]


def status(profile: Profile | str, state: StateFolder) -> Status:
    """Return how the deployment stands that *profile*, or its name, describes.

    Args:
        profile: A profile, to compare with what runs; or the name of a deployment,
            which is compared with the render that it was made from.
        state: Our own files.

    Raises:
        NotFoundError: A name that nothing is known of.
        ProfileError: The profile cannot be rendered.
        MissingError: The runtime that has it is not there any more.
    """
    name = profile if isinstance(profile, str) else profile.name
    deployed = look_up(name, state)
    if deployed.missing is not None:
        raise deployed.missing
    digest = _digest(deployed)
    made_from = render_of(state, name, digest)
    wanted = made_from if isinstance(profile, str) else render(profile)
    if wanted is None:
        if deployed.record is None and deployed.instance is None:
            raise NotFoundError(
                f"nothing is known of a deployment called {name}",
                hint="Deploy it: valkeyctl deploy",
            )
        warnings = [f"drift is unknown: no render of {name} is kept"]
    else:
        warnings = []
    if deployed.warning:
        warnings.insert(0, deployed.warning)
    endpoint = _endpoint(deployed, wanted)
    server = _ask(endpoint, warnings) if deployed.running else None
    drift: list[Drift] = []
    unchecked: tuple[str, ...] = ()
    if wanted is not None and deployed.instance is not None:
        version = deployed.instance.version
        # Of a server that cannot be asked, its render says what it was told.
        told = made_from.directives if made_from is not None else {}
        reported = server.directives if server else told
        drift, unchecked = _directives(wanted, deployed, reported, version)
        drift += _around(wanted, made_from, digest, found=bool(drift))
    record = deployed.record
    return Status(
        name=name,
        running=deployed.running,
        url=endpoint.url(),
        password_file=None,
        runtime=deployed.runtime.name if deployed.runtime else "",
        runtime_reason=record.reason if record else "",
        detail=deployed.instance.detail if deployed.instance else "not deployed",
        version=deployed.instance.version if deployed.instance else "",
        uptime_s=server.uptime_s if server else None,
        digest=digest,
        drift=tuple(drift),
        unchecked=unchecked,
        warnings=tuple(warnings),
    )


def _digest(deployed: Deployed) -> str:
    """Return what the server was made from; by our record where the runtime cannot say."""
    if deployed.instance is not None and deployed.instance.digest:
        return deployed.instance.digest
    return deployed.record.digest if deployed.record else ""


def _endpoint(deployed: Deployed, wanted: Artefacts | None) -> Endpoint:
    if deployed.instance is not None:
        return deployed.instance.endpoint
    if wanted is not None:
        return Endpoint(host=wanted.host, port=wanted.port, tls=wanted.tls)
    return Endpoint.parse(deployed.record.url) if deployed.record else Endpoint()


def _ask(endpoint: Endpoint, warnings: list[str]) -> _Server | None:
    """Return what the server says; a refusal or silence is noted in *warnings*."""
    try:
        with Wire(endpoint, timeout=_TIMEOUT) as wire:
            uptime = wire.info("server").get("uptime_in_seconds", "")
            answer = wire.call("CONFIG", "GET", "*")
    except ValkeyctlError as error:
        warnings.append(f"drift is unknown: {error}")
        return None
    words = answer if isinstance(answer, list) else []
    texts = [word.decode(errors="replace") if isinstance(word, bytes) else "" for word in words]
    return _Server(int(uptime) if uptime.isdigit() else None, readings(texts))


def _directives(
    wanted: Artefacts, deployed: Deployed, reported: Mapping[str, str], version: str
) -> tuple[list[Drift], tuple[str, ...]]:
    """Return the directives that differ, and those that are not *reported*."""
    # What the process runtime sets by itself is no drift; see processconf.
    by_process = deployed.runtime is not None and deployed.runtime.name == "process"
    skip = OVERRIDDEN if by_process else frozenset()
    checked = {name: value for name, value in wanted.directives.items() if name not in skip}
    drift = [
        Drift(name, checked[name], reported[name], change_of(name, version))
        for name in differences(checked, reported)
    ]
    return drift, tuple(name for name in checked if name not in reported)


def _around(
    wanted: Artefacts, made_from: Artefacts | None, digest: str, *, found: bool
) -> list[Drift]:
    """Return what differs outside of valkey.conf, by the render that the server was made from."""
    if digest == wanted.digest:
        return []
    if made_from is None or made_from.digest != digest:
        # Nothing tells what it was made from, only that it was something else.
        return [Drift("pod", wanted.digest, digest or "unknown", "recreate")]
    facts = {
        "image": (wanted.image, made_from.image),
        "publish": (f"{wanted.host}:{wanted.port}", f"{made_from.host}:{made_from.port}"),
        "memory.limit": (str(wanted.budget.limit), str(made_from.budget.limit)),
    }
    drift = [
        Drift(field, new, old, "recreate") for field, (new, old) in facts.items() if new != old
    ]
    same_conf = wanted.files[CONF] == made_from.files[CONF]
    if not drift and (same_conf or not found):
        drift.append(Drift("pod", wanted.digest, digest, "recreate"))
    return drift

"""How a server differs from its render, and what it takes to bring it there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from valkeyctl.caching.wire import Reply, Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.render import CONF, Artefacts
from valkeyctl.runtime.directives import change_of, differences, readings
from valkeyctl.runtime.processconf import OVERRIDDEN
from valkeyctl.runtime.protocol import Instance, Runtime

Kind = Literal["live", "restart", "recreate"]

LOGIN = "login"
REPLICA_OF = "replicaof"  # told by CONFIG GET, and set by a command of its own
_ORDER: tuple[Kind, ...] = ("live", "restart", "recreate")
_TIMEOUT = 2.0


@dataclass(frozen=True)
class Drift:
    """One thing that is otherwise than the profile says.

    Attributes:
        field: A directive of valkey.conf, or a field of the profile such as ``image``,
            ``publish``, ``memory.limit``; ``files`` where only comments differ, ``pod``
            where the rest of the pod does, ``login`` where the server refuses ours.
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
class Running:
    """What a running server says of itself.

    Attributes:
        uptime_s: Seconds since its start; None when it does not tell.
        directives: What CONFIG GET reports.
    """

    uptime_s: int | None
    directives: Mapping[str, str]


@dataclass(frozen=True)
class Comparison:
    """A unit's render beside the unit that runs.

    Attributes:
        drift: What differs, directives first.
        unchecked: Directives of the render that nothing tells the value of.
    """

    drift: tuple[Drift, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind | None:
        """The most that any difference takes; None without one."""
        return worst(self.drift)


def worst(drift: Iterable[Drift]) -> Kind | None:
    """Return the most that any of *drift* takes to mend; None without any."""
    return max((one.kind for one in drift), key=_ORDER.index, default=None)


def ask_unit(endpoint: Endpoint, unit: Artefacts) -> Running:
    """Return what the server or sentinel at *endpoint* says of its settings.

    Args:
        endpoint: Of one unit.
        unit: What it is.

    Raises:
        UnreachableError: It does not answer within 2 s.
        AuthError: It refuses us, or the command.
        TlsError: The handshake failed.
        ServerReplyError: It answers with another error.
    """
    with Wire(endpoint, timeout=_TIMEOUT) as wire:
        uptime = wire.info("server").get("uptime_in_seconds", "")
        directives = settings(wire, unit)
    return Running(int(uptime) if uptime.isdigit() else None, directives)


def settings(wire: Wire, unit: Artefacts) -> dict[str, str]:
    """Return what *unit* reports of its directives; of a sentinel what SENTINEL SET takes.

    Raises:
        ValkeyctlError: As `ask_unit`.
    """
    if unit.kind == "sentinel":
        said = _texts(wire.call("SENTINEL", "MASTER", unit.deployment))
        return {name: said[name] for name in unit.directives if name in said}
    return _texts(wire.call("CONFIG", "GET", "*"))


def _texts(answer: Reply) -> dict[str, str]:
    words = answer if isinstance(answer, list) else []
    return readings(
        [word.decode(errors="replace") if isinstance(word, bytes) else "" for word in words]
    )


def compare(
    wanted: Artefacts,
    instance: Instance,
    made_from: Artefacts | None,
    reported: Mapping[str, str] | None,
    runtime: Runtime,
    *,
    excused: Mapping[str, tuple[str, str]] | None = None,
    locked: bool = False,
) -> Comparison:
    """Return how *instance* differs from the unit that is *wanted*.

    Args:
        wanted: The unit as its profile renders it now.
        instance: The unit as the runtime found it.
        made_from: The kept render that it was made from; None when that is lost.
        reported: What its server says of its directives; None when it cannot be asked,
            and then its render says what it was told.
        runtime: Where it runs.
        excused: By directive what was written, and what its server made of that, such as
            of a maxclients for which there are not enough open files. No drift: no deploy
            could mend it.
        locked: Whether the server refuses the login that it was made with.
    """
    told = made_from.directives if made_from is not None else {}
    known = told if reported is None else {**told, **reported}
    # What the process runtime sets by itself is no drift; see processconf.
    skip = OVERRIDDEN if runtime.name == "process" else frozenset()
    checked = {name: value for name, value in wanted.directives.items() if name not in skip}
    excused = excused or {}
    drift = [
        Drift(
            name,
            checked[name],
            known[name],
            # What CONFIG GET does not report, CONFIG SET does not take either.
            change_of(name, instance.version)
            if reported is None or name in reported
            else "restart",
        )
        for name in differences(checked, known)
        if excused.get(name) != (checked[name], known[name])
    ]
    unchecked = tuple(name for name in checked if name not in known)
    drift += _by_hand(wanted, reported or {}, locked=locked)
    drift += _around(wanted, instance, made_from, runtime, found=bool(drift))
    return Comparison(tuple(drift), unchecked)


def _by_hand(wanted: Artefacts, reported: Mapping[str, str], *, locked: bool) -> list[Drift]:
    """Return what no render says, and somebody has told the server."""
    if locked:
        # A password or users: nobody but the server's next start can take them back.
        return [Drift(LOGIN, "accepted", "refused", "restart")]
    follows = reported.get(REPLICA_OF, "")
    if wanted.topology == "standalone" and follows:
        return [Drift(REPLICA_OF, "", follows, "live")]
    return []


def _around(
    wanted: Artefacts,
    instance: Instance,
    made_from: Artefacts | None,
    runtime: Runtime,
    *,
    found: bool,
) -> list[Drift]:
    """Return what differs outside of the directives."""
    drift = [
        Drift(field, value, instance.facts[field], "recreate")
        for field, value in _facts(wanted).items()
        if field in instance.facts and not _same_fact(field, value, instance.facts[field])
    ]
    published = f"{wanted.host}:{wanted.port}"
    actual = f"{instance.endpoint.host}:{instance.endpoint.port}"
    if published != actual:
        drift.append(Drift("publish", published, actual, "recreate"))
    if instance.digest == wanted.digest:
        return drift
    if made_from is None or made_from.digest != instance.digest:
        # Nothing tells what it was made from, only that it was something else.
        return drift or [Drift("pod", wanted.digest, instance.digest or "unknown", "recreate")]
    gone = sorted(made_from.directives.keys() - wanted.directives.keys())
    drift += [Drift(name, "not set", made_from.directives[name], "restart") for name in gone]
    same_shape = runtime.shape(made_from) == runtime.shape(wanted)
    if not drift and not same_shape:
        drift.append(Drift("pod", wanted.digest, instance.digest, "recreate"))
    elif not drift and not found and made_from.files[CONF] != wanted.files[CONF]:
        drift.append(Drift("files", wanted.digest, instance.digest, "live"))
    return drift


def _facts(wanted: Artefacts) -> dict[str, str]:
    """Return what the container of *wanted* must be made like; see `Instance.facts`."""
    return {
        "image": wanted.image,
        "memory.limit": str(wanted.budget.limit),
        "security.user": f"{wanted.user}:{wanted.group}",
    }


def _same_fact(field: str, wanted: str, actual: str) -> bool:
    # Podman writes a short name of an image out in full.
    return wanted == actual or (field == "image" and actual.endswith(f"/{wanted}"))


def shown(drift: Sequence[Drift]) -> str:
    """Return the fields of *drift* on one line, for a person."""
    return ", ".join(one.field for one in drift)

"""A deployment as it is found on this machine: what was written down, and what runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import MissingError, ToolError, ValkeyctlError
from valkeyctl.ops.statefolder import Record, StateFolder
from valkeyctl.render import Artefacts
from valkeyctl.runtime.protocol import Instance, Runtime
from valkeyctl.runtime.select import NAMES, runtime_named

_COUNT_TIMEOUT = 1.0


@dataclass(frozen=True)
class Deployed:
    """What is known of a deployment.

    Attributes:
        name: Its name.
        record: What was written down; None when there is nothing, or it is damaged.
        runtime: The one that has it; None when none is known to.
        instance: Its server, running or ended; None when there is none.
        warning: What is wrong with the record; empty when nothing.
        missing: Why its runtime could not be asked; None when it was.
        units: All that was looked for and found, by its name.
    """

    name: str
    record: Record | None
    runtime: Runtime | None
    instance: Instance | None
    warning: str = ""
    missing: MissingError | None = None
    units: Mapping[str, Instance] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether its process or container is up."""
        return self.instance is not None and self.instance.running


def look_up(name: str, state: StateFolder) -> Deployed:
    """Return what is known of *name*, asking the runtime that has it.

    Without a usable record, each runtime is asked in turn: a server whose record is
    lost is still found, and not started a second time elsewhere.

    Raises:
        UsageError: *name* cannot be the name of a deployment.
    """
    return find_named(name, [name], state)


def find_units(artefacts: Artefacts, state: StateFolder) -> Deployed:
    """Return what is known of the deployment of *artefacts*, all of its units included.

    Of a topology its instance is the first unit that was found. Without a usable record,
    each runtime is asked for the units by their names.
    """
    # The name itself too: before it became a topology it may have been one server.
    names = dict.fromkeys([artefacts.name, *(unit.name for unit in artefacts.units)])
    return find_named(artefacts.name, list(names), state)


def find_named(name: str, units: Sequence[str], state: StateFolder) -> Deployed:
    """Return what is known of *name*, whose units may be *units*; see `find_units`.

    Raises:
        UsageError: *name* cannot be the name of a deployment.
    """
    reading = state.read(name)
    record, warning = reading.record, reading.warning
    if record is not None and record.runtime not in NAMES:
        warning = f"the record of {name} names an unknown runtime, {record.runtime!r}"
        record = None
    if record is not None:
        runtime = runtime_named(record.runtime, state.runtimes)
        try:
            found = runtime.find_all(units)
        except MissingError as error:
            return Deployed(name, record, runtime, None, warning, error)
        return Deployed(name, record, runtime, _first(units, found), warning, units=found)
    # The process runtime first: asking it costs a hundredth of asking podman.
    for known in sorted(NAMES, reverse=True):
        runtime = runtime_named(known, state.runtimes)
        try:
            found = runtime.find_all(units)
        except MissingError:  # a runtime that is not here has nothing either
            continue
        except ToolError as error:
            # It cannot tell. Yet a Podman that does not work must keep nobody from a process,
            # and what it may have of this name still has its port.
            warning = "; ".join(
                filter(None, [warning, f"{known} was not asked for {name}: {error}"])
            )
            continue
        if found:
            return Deployed(name, None, runtime, _first(units, found), warning, units=found)
    return Deployed(name, None, None, None, warning)


def _first(units: Sequence[str], found: Mapping[str, Instance]) -> Instance | None:
    return next((found[unit] for unit in units if unit in found), None)


def count_keys(endpoint: Endpoint) -> int | None:
    """Return the keys in all databases; None when the server cannot be asked."""
    try:
        with Wire(endpoint, timeout=_COUNT_TIMEOUT) as wire:
            keyspace = wire.info("keyspace")
    except ValkeyctlError:
        return None
    total = 0
    for name, text in keyspace.items():
        fields = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
        if name.startswith("db") and fields.get("keys", "").isdigit():
            total += int(fields["keys"])
    return total

"""A deployment as it is found on this machine: what was written down, and what runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import MissingError, ValkeyctlError
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
    """

    name: str
    record: Record | None
    runtime: Runtime | None
    instance: Instance | None
    warning: str = ""
    missing: MissingError | None = None

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
    reading = state.read(name)
    record, warning = reading.record, reading.warning
    if record is not None and record.runtime not in NAMES:
        warning = f"the record of {name} names an unknown runtime, {record.runtime!r}"
        record = None
    if record is not None:
        runtime = runtime_named(record.runtime, state.runtimes)
        try:
            return Deployed(name, record, runtime, runtime.find(name), warning)
        except MissingError as error:
            return Deployed(name, record, runtime, None, warning, error)
    # The process runtime first: asking it costs a hundredth of asking podman.
    for known in sorted(NAMES, reverse=True):
        runtime = runtime_named(known, state.runtimes)
        try:
            instance = runtime.find(name)
        except MissingError:  # a runtime that is not here has nothing either
            continue
        if instance is not None:
            return Deployed(name, None, runtime, instance, warning)
    return Deployed(name, None, None, None, warning)


def find_units(artefacts: Artefacts, state: StateFolder) -> Deployed:
    """Return what is known of the topology *artefacts*; its instance is any unit that was found.

    Without a usable record, each runtime is asked for the units by their names.
    """
    deployed = look_up(artefacts.name, state)
    if not artefacts.nodes or deployed.missing is not None or deployed.instance is not None:
        return deployed
    names = [deployed.runtime.name] if deployed.runtime else sorted(NAMES, reverse=True)
    for known in names:
        runtime = runtime_named(known, state.runtimes)
        for unit in artefacts.units:
            try:
                instance = runtime.find(unit.name)
            except MissingError:  # a runtime that is not here has nothing either
                break
            if instance is not None:
                return replace(deployed, runtime=runtime, instance=instance)
    return deployed


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

"""By which files a deployment's own servers are told from others at their addresses."""

from __future__ import annotations

from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.runtime.select import NAMES, runtime_named


def own_files(name: str, state: StateFolder) -> frozenset[str]:
    """Return the configuration files from which the servers of *name* were started.

    None where it was not deployed from here, and any server may stand at its address.

    Raises:
        UsageError: *name* cannot be the name of a deployment.
    """
    record, made = state.read(name).record, state.last_good(name)
    if record is None or made is None or record.runtime not in NAMES:
        return frozenset()
    runtime = runtime_named(record.runtime, state.runtimes)
    return frozenset(runtime.config_file(unit) for unit in made.units if unit.kind == "server")

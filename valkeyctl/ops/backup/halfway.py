"""A restore into several servers, between the first whose data is replaced and the last.

Each server's data is replaced by one rename, and all together are not. So it is written
down before the first: whoever starts the servers after a restore was killed in between
puts the old data of all of them back, and never starts some with the new.
"""

from __future__ import annotations

import json
from pathlib import Path

from valkeyctl.errors import FolderError
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.topology.members import servers_of
from valkeyctl.render import Artefacts
from valkeyctl.runtime.files import write_private
from valkeyctl.runtime.protocol import Runtime

_FILE = "restoring.json"


def begin_switch(artefacts: Artefacts, runtime: Runtime, state: StateFolder, old: str) -> None:
    """Write down that data is going to be replaced, and kept in the folder *old* of each server.

    Raises:
        FolderError: It cannot be written.
    """
    write_private(_file(artefacts, runtime, state), json.dumps({"old": old}) + "\n")


def end_switch(artefacts: Artefacts, runtime: Runtime, state: StateFolder) -> None:
    """From now on the new data counts, or the old again; all servers have the same.

    Raises:
        FolderError: It cannot be written.
    """
    file = _file(artefacts, runtime, state)
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise FolderError(f"cannot remove {file}: {error.strerror or error}") from error


def undo_switch(name: str, runtime: Runtime, state: StateFolder) -> tuple[str, ...]:
    """Put the old data back where a restore of *name* was killed in between; return warnings.

    Called before any server of it is started.

    Raises:
        ToolError, FolderError: It failed, and can be tried again.
    """
    made = state.last_good(name)
    if made is None or not made.nodes:
        return ()
    try:
        old = str(json.loads(_file(made, runtime, state).read_bytes())["old"])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        file = _file(made, runtime, state)
        raise FolderError(f"cannot read {file}, which a killed restore has left") from error
    for unit in servers_of(made):
        runtime.data(unit).undo(old)
    end_switch(made, runtime, state)
    return ("a restore was killed in the middle; the data is what it was before it",)


def _file(artefacts: Artefacts, runtime: Runtime, state: StateFolder) -> Path:
    # In the folder of a server, so that it goes when its data is purged.
    return state.runtimes / runtime.name / servers_of(artefacts)[0].name / _FILE

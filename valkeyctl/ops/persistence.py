"""Carrying data over a change of persistence.

A server loads what its configuration names and looks at nothing else: one that starts
with ``appendonly yes`` begins empty where there is no append-only file, however full the
RDB beside it is; the other way round it begins with whatever RDB is left from long ago.
So the server that has the data writes it in the new way first. It goes on writing in the
old way too, for the start that may fail.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Literal

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import FolderError, ServerReplyError
from valkeyctl.runtime.directives import readings

Source = Literal["append-only file", "RDB"]

_TIMEOUT = 5.0
_PATIENCE = 600.0  # for a dataset of some 100 GB
_PAUSE = 0.02
_LONGEST_PAUSE = 0.5


def loaded_from(directives: Mapping[str, str]) -> Source:
    """Return what a server with *directives* looks for when it starts."""
    return "append-only file" if directives.get("appendonly") == "yes" else "RDB"


def saves(directives: Mapping[str, str]) -> bool:
    """Say whether a server with *directives* writes its data by itself, in either way."""
    return directives.get("appendonly") == "yes" or bool(directives.get("save"))


def write_for(endpoint: Endpoint, wanted: Mapping[str, str]) -> bool:
    """Let the server at *endpoint* write its data where one with *wanted* looks for it.

    Returns when all of it is there; from then on what is written goes there too, at the
    latest when the server ends.

    Args:
        endpoint: One server, with a user that may use CONFIG.
        wanted: The directives of the next start.

    Returns:
        False when it writes there already.

    Raises:
        FolderError: The server cannot write it.
        ServerReplyError: It refuses to.
        UnreachableError, AuthError, TlsError: It cannot be asked.
    """
    if not saves(wanted):
        return False  # what is not to be kept needs no carrying
    with Wire(endpoint, timeout=_TIMEOUT) as wire:
        answer = wire.call("CONFIG", "GET", "appendonly", "save")
        words = answer if isinstance(answer, list) else []
        now = readings([word.decode() if isinstance(word, bytes) else "" for word in words])
        if loaded_from(wanted) == "append-only file":
            if now.get("appendonly") == "yes":
                return False
            wire.call("CONFIG", "SET", "appendonly", "yes")
            _wait(wire, "aof_rewrite_in_progress", "aof_rewrite_scheduled")
            _require(wire, "aof_last_bgrewrite_status", "append-only file")
            return True
        if now.get("appendonly") != "yes" and now.get("save"):
            # It would not end without its last save, and then be killed without one.
            _require(wire, "rdb_last_bgsave_status", "RDB")
            return False
        if not now.get("save"):
            # Its last save is the one when it ends.
            wire.call("CONFIG", "SET", "save", wanted["save"])
        _save(wire)
        _require(wire, "rdb_last_bgsave_status", "RDB")
    return True


def _save(wire: Wire) -> None:
    """Return when an RDB is there that was begun after now."""
    until = time.monotonic() + _PATIENCE
    while True:
        # One that is under way was begun before, and does not have everything.
        _wait(wire, "rdb_bgsave_in_progress", "aof_rewrite_in_progress")
        try:
            wire.call("BGSAVE")
        except ServerReplyError:
            # The server was faster with one of its own; that one may be too old as well.
            if time.monotonic() > until:
                raise
        else:
            _wait(wire, "rdb_bgsave_in_progress")
            return


def _wait(wire: Wire, *fields: str) -> None:
    """Return when none of *fields* of INFO is set any more."""
    until = time.monotonic() + _PATIENCE
    pause = _PAUSE
    while True:
        found = wire.info("persistence")
        if all(found.get(field, "0") == "0" for field in fields):
            return
        if time.monotonic() > until:
            address = wire.endpoint.address
            raise FolderError(f"{address} has not written its data after {_PATIENCE:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _require(wire: Wire, field: str, what: Source) -> None:
    """Make sure that the server could write."""
    if wire.info("persistence").get(field) != "ok":
        raise FolderError(
            f"{wire.endpoint.address} cannot write its {what}, and without a new one it would "
            "start with less than it has: nothing was restarted",
            hint="See why: valkeyctl logs; often the disk is full",
        )

"""The server with what the rows need: contents put back in a second, and what it noticed."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.keyspace.contents import Command, store
from benchmarks.keyspace.neighbours import Schedule, schedule_of
from benchmarks.keyspace.priority import prefer
from benchmarks.micro.server import Server
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ServerReplyError, StartError

_DUMP = "dump.rdb"
# Microseconds; the default would not see a command of 2 ms.
_NOTICED_US = 500
_NOTICED = 4096
_PATIENCE = 120.0


@dataclass(frozen=True)
class Truth:
    """What a namespace holds, by asking the server for each key.

    Attributes:
        keys: How many.
        memory_bytes: The sum of MEMORY USAGE.
    """

    keys: int
    memory_bytes: int


class Stage:
    """A server of our own, with contents that are stored once and put back often."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.endpoint = Endpoint(port=server.port)
        self._wire = Wire(self.endpoint, timeout=_PATIENCE)
        self._wire.open()
        settings = self._wire.call("CONFIG", "GET", "dir")
        match settings:
            case [_, bytes() as folder]:
                self.folder = Path(os.fsdecode(folder))
            case _:
                raise StartError(f"CONFIG GET dir answered {settings!r:.80}")
        self._pid = int(self._wire.info("server")["process_id"])
        prefer(self._pid)
        self._set("rdbcompression", "no")
        self._set("slowlog-log-slower-than", _NOTICED_US)
        self._set("slowlog-max-len", _NOTICED)

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    def keep(self, name: str, commands: Iterable[Command]) -> None:
        """Store what *commands* store, alone, to be put back under *name*."""
        self.empty()
        store(self.endpoint, commands)
        self._wire.call("SAVE")
        (self.folder / _DUMP).replace(self.folder / f"{name}.rdb")

    def kept(self, name: str) -> bool:
        """Say whether there is something to put back under *name*."""
        return (self.folder / f"{name}.rdb").exists()

    def put_back(self, name: str) -> None:
        """Let the server hold what was kept under *name*, and nothing else."""
        target = self.folder / _DUMP
        target.unlink(missing_ok=True)
        kept = self.folder / f"{name}.rdb"
        try:
            os.link(kept, target)
        except OSError:
            shutil.copy(kept, target)
        self._wire.call("DEBUG", "RELOAD", "NOSAVE")
        self.forget()

    def empty(self) -> None:
        """Delete everything."""
        self._wire.call("FLUSHALL", "SYNC")
        self.forget()

    def keys(self) -> int:
        """Return how many keys there are."""
        return self.server.keys()

    def forget(self) -> None:
        """Forget the long commands of before."""
        self._wire.call("SLOWLOG", "RESET")
        self._wire.call("CONFIG", "RESETSTAT")

    def longest_ms(self) -> tuple[float, str]:
        """Return how long the longest command since `forget` took, and its name.

        0 and nothing when none was longer than half a millisecond.
        """
        entries = self._wire.call("SLOWLOG", "GET", _NOTICED)
        found = (0.0, "")
        for each in entries if isinstance(entries, list) else ():
            match each:
                case [_, _, int(spent), [bytes(name), *_], *_] if spent / 1000 > found[0]:
                    found = (spent / 1000, name.decode(errors="replace").lower())
        return found

    def schedule(self) -> Schedule | None:
        """Return how long the server has waited for its core; None where nobody can tell."""
        return schedule_of(self._pid)

    def spent_ms(self) -> float:
        """Return the server's time for all commands of others since `forget`."""
        total = 0.0
        for name, fields in self._wire.info("commandstats").items():
            command = name.removeprefix("cmdstat_")
            if command.split("|")[0] in ("slowlog", "config"):
                continue
            figures = dict(part.split("=", 1) for part in fields.split(","))
            total += int(figures["usec"]) / 1000
        return total

    def truth(self) -> dict[str, Truth]:
        """Return what each namespace holds; it asks for every key, so it takes seconds."""
        keys: defaultdict[str, int] = defaultdict(int)
        memory: defaultdict[str, int] = defaultdict(int)
        cursor = b"0"
        while True:
            match self._wire.call("SCAN", cursor, "COUNT", 1000):
                case [bytes() as cursor, list() as found]:
                    pass
                case other:
                    raise StartError(f"SCAN answered {other!r:.80}")
            names = [key for key in found if isinstance(key, bytes)]
            sizes = self._wire.pipeline([("MEMORY", "USAGE", name) for name in names])
            for name, size in zip(names, sizes, strict=True):
                if isinstance(size, ServerReplyError):
                    raise size
                namespace = b":".join(name.split(b":", 2)[:2]).decode()
                keys[namespace] += 1
                memory[namespace] += int(size) if isinstance(size, int) else 0
            if cursor == b"0":
                return {name: Truth(keys[name], memory[name]) for name in keys}

    def _set(self, name: str, value: str | int) -> None:
        self._wire.call("CONFIG", "SET", name, value)

"""What is written down about a server that was started as a process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from valkeyctl.endpoint import Endpoint
from valkeyctl.runtime.protocol import Instance
from valkeyctl.runtime.spawned import Spawned

_UNKNOWN_GRACE = 60.0


@dataclass(frozen=True)
class Server:
    """A server that was started, whether or not it still runs.

    Attributes:
        process: Its process; of pid 0 while that was not written down yet.
        host: Where it is published.
        port: Likewise.
        tls: Whether it speaks TLS there.
        digest: Of the artefacts that it was started from; empty when unknown.
        version: Of the server; empty when unknown.
        origin: Where its binary is from.
        grace: Seconds that it may take to save and end.
        auth: Whether it has users.
    """

    process: Spawned
    host: str
    port: int
    tls: bool
    digest: str
    version: str
    origin: str
    grace: float
    auth: bool = False

    @classmethod
    def unrecorded(cls, process: Spawned) -> Self:
        """Return what *process* itself tells of a server whose record is lost."""
        host, port = next(iter(process.listening), ("127.0.0.1", 0))
        return cls(process, host, port, False, "", "", "", _UNKNOWN_GRACE)

    @property
    def endpoint(self) -> Endpoint:
        """Where it is published."""
        return Endpoint(host=self.host, port=self.port, tls=self.tls)

    def instance(self, name: str) -> Instance:
        """Return it as the server called *name*."""
        pid, alive = self.process.pid, self.process.alive
        what = f", valkey {self.version} ({self.origin})" if self.version else ""
        return Instance(
            name=name,
            running=alive,
            endpoint=self.endpoint,
            digest=self.digest,
            detail=f"pid {pid}{what}" if alive else f"ended; it was pid {pid}{what}",
            version=self.version,
        )


def read_server(record: Path) -> Server | None:
    """Return the server that *record* describes; None when it is missing or damaged."""
    try:
        fields = json.loads(record.read_text(encoding="utf-8"))
        found = Server(**{**fields, "process": Spawned(**fields["process"])})
        # Taken as it stands, a text would be the port of no server that runs.
        numbers = (found.port, found.process.pid, found.process.birth, found.grace)
        return found if all(isinstance(number, (int, float)) for number in numbers) else None
    except (OSError, ValueError, TypeError, KeyError):
        return None

"""The process runtime: an embedded valkey-server as a detached process of this user."""

from __future__ import annotations

import contextlib
import json
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import NotFoundError, RefusedError, StartError, ToolError
from valkeyctl.render.artefacts import Artefacts
from valkeyctl.runtime.binary import ServerBinary, find_binary
from valkeyctl.runtime.directives import refusal, tail
from valkeyctl.runtime.files import private_folder, remove_folder, write_private
from valkeyctl.runtime.port import require_free_port
from valkeyctl.runtime.processconf import PROCESS_CONF, process_files, server_path
from valkeyctl.runtime.protocol import Instance
from valkeyctl.runtime.ready import wait_until_ready
from valkeyctl.runtime.spawned import Spawned, running_with, spawn
from valkeyctl.runtime.trial import try_process

_START_PATIENCE = 30.0
_ABANDON_GRACE = 2.0
_UNKNOWN_GRACE = 60.0
_RECORD = "process.json"
_LOG = "server.log"


@dataclass(frozen=True)
class _Server:
    """What is written down about a server that was started."""

    process: Spawned
    host: str
    port: int
    tls: bool
    digest: str
    version: str
    origin: str
    grace: float

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(host=self.host, port=self.port, tls=self.tls)


class ProcessRuntime:
    """Runs valkey-server as a process that outlives the command that started it.

    Args:
        root: Folder in which each deployment has one of its own, named after it.
        environ: Where VALKEYCTL_SERVER and PATH are read; the process environment by
            default.
    """

    name = "process"

    def __init__(self, root: Path, *, environ: Mapping[str, str] | None = None) -> None:
        self._root = root.absolute()
        self._environ = environ

    def check(self) -> None:
        """Prove that there is a valkey-server that runs; see `Runtime.check`."""
        find_binary(self._environ)

    def prove(self, artefacts: Artefacts) -> list[str]:
        """Prove that *artefacts* would start; see `Runtime.prove`."""
        binary = self._binary(artefacts)
        self._require_port(artefacts, self._running(artefacts.name))
        return [
            f"server: {binary}",
            f"port {artefacts.port} on {artefacts.host} can be had",
            *try_process(artefacts, binary),
        ]

    def start(self, artefacts: Artefacts) -> Endpoint:
        """Start the server, or replace one of the same name; see `Runtime.start`."""
        binary = self._binary(artefacts)
        running = self._running(artefacts.name)
        if running is not None and running.digest == artefacts.digest:
            self._wait(artefacts.name, running)
            return running.endpoint
        self._require_port(artefacts, running)
        if running is not None:
            running.process.end(running.grace)
        try:
            server = self._spawn(artefacts, binary)
            self._wait(artefacts.name, server)
        except BaseException:  # Ctrl-C too: nothing half-started may stay
            self._abandon(artefacts.name)
            raise
        return server.endpoint

    def find(self, name: str) -> Instance | None:
        """Return the server called *name*, or None; see `Runtime.find`."""
        server = self._load(name)
        if server is None:
            return None
        pid, alive = server.process.pid, server.process.alive
        what = f", valkey {server.version} ({server.origin})" if server.version else ""
        return Instance(
            name=name,
            running=alive,
            endpoint=server.endpoint,
            digest=server.digest,
            detail=f"pid {pid}{what}" if alive else f"ended; it was pid {pid}{what}",
            version=server.version,
        )

    def stop(self, name: str, grace: float) -> bool:
        """Stop *name* cleanly; see `Runtime.stop`."""
        running = self._running(name)
        ended = running is None or running.process.end(grace)
        self._forget(name)
        if not ended:
            raise ToolError(
                f"{name} did not end within {grace:g} s and was killed; "
                "what it had not saved is lost",
                hint=f"See its last words: valkeyctl logs -p {name}; raise stop.grace",
            )
        return running is not None

    def purge(self, name: str) -> bool:
        """Remove the data, the log and the files of a stopped *name*; see `Runtime.purge`."""
        if self._running(name) is not None:
            raise RefusedError(
                f"{name} still runs, and its data is in use", hint="Stop it first: valkeyctl down"
            )
        return remove_folder(self._root / name)

    def logs(self, name: str, lines: int, *, follow: bool = False) -> Iterator[str]:
        """Yield the log of *name*, to the end of its process; see `Runtime.logs`."""
        log = self._root / name / _LOG
        if not log.is_file():
            raise NotFoundError(
                f"there is no log of {name}", hint="See what is deployed: valkeyctl status"
            )
        return self._read_log(name, log, lines, follow=follow)

    def _read_log(self, name: str, log: Path, lines: int, *, follow: bool) -> Iterator[str]:
        with log.open(encoding="utf-8", errors="replace") as file:
            for line in deque(file, maxlen=lines):
                yield line.rstrip("\n")
            part = ""
            while follow:
                alive = self._running(name) is not None
                # A line may be half written when it is read.
                while text := file.readline():
                    part += text
                    if part.endswith("\n"):
                        yield part.rstrip("\n")
                        part = ""
                if not alive:
                    return
                time.sleep(0.1)

    def _binary(self, artefacts: Artefacts) -> ServerBinary:
        full_build = artefacts.tls or artefacts.directives.get("activedefrag") == "yes"
        return find_binary(self._environ, full_build=full_build)

    def _require_port(self, artefacts: Artefacts, running: _Server | None) -> None:
        """Prove that the port is free, or held by the server that will be replaced."""
        if (
            running is not None
            and (running.host, running.port) == (artefacts.host, artefacts.port)
            and running.process.listens_on(running.port)
        ):
            return
        require_free_port(artefacts.host, artefacts.port)

    def _spawn(self, artefacts: Artefacts, binary: ServerBinary) -> _Server:
        folder = private_folder(self._root / artefacts.name)
        private_folder(folder / "data")
        for file, text in process_files(artefacts, folder).items():
            write_private(folder / file, text)
        server = _Server(
            process=Spawned(0, 0.0),
            host=artefacts.host,
            port=artefacts.port,
            tls=artefacts.tls,
            digest=artefacts.digest,
            version=binary.version,
            origin=binary.origin,
            grace=artefacts.stop_grace,
        )
        # Before the start and again after it: whoever is killed in between leaves a
        # record without a pid, and the server is found by its command line.
        self._save(artefacts.name, server)
        log = folder / _LOG
        try:
            if log.exists():
                log.replace(log.with_suffix(".log.1"))
            with log.open("wb") as output:
                process = spawn([binary.path, self._argument(artefacts.name)], folder, output)
        except OSError as error:
            raise StartError(f"cannot start {binary}: {error.strerror or error}") from error
        server = replace(server, process=process)
        self._save(artefacts.name, server)
        return server

    def _wait(self, name: str, server: _Server) -> None:
        """Return when *server* answers PING, and the answer can only be its own."""
        log = self._root / name / _LOG

        def words() -> tuple[str, tuple[str, ...]]:
            text = log.read_text(errors="replace") if log.exists() else ""
            return refusal(text), tail(text)

        def check() -> None:
            if not server.process.alive:
                why, last = words()
                reason = why or (last[-1] if last else "it said nothing")
                raise StartError(f"{name} ended before it listened: {reason}", log=last)

        try:
            wait_until_ready(server.endpoint, patience=_START_PATIENCE, check=check)
        except StartError as error:
            raise StartError(
                str(error),
                log=error.log or words()[1],
                hint=f"See its log: valkeyctl logs -p {name}",
            ) from error
        if not server.process.listens_on(server.port):
            # Another process was faster; ours is about to end because of it.
            raise StartError(f"another server answers at {server.endpoint.address}", log=words()[1])

    def _abandon(self, name: str) -> None:
        """End what a failed start has left, and forget it."""
        server = self._load(name)
        if server is not None:
            server.process.end(_ABANDON_GRACE)
        self._forget(name)

    def _running(self, name: str) -> _Server | None:
        server = self._load(name)
        return server if server is not None and server.process.alive else None

    def _load(self, name: str) -> _Server | None:
        """Return what is known of *name*, looking for its process where no pid is known."""
        server = _read(self._record(name))
        if server is not None and server.process.pid:
            return server
        process = running_with(self._argument(name))
        if process is None:
            return None
        if server is not None:
            return replace(server, process=process)
        host, port = next(iter(process.listening), ("127.0.0.1", 0))
        return _Server(process, host, port, False, "", "", "", _UNKNOWN_GRACE)

    def _save(self, name: str, server: _Server) -> None:
        write_private(self._record(name), json.dumps(asdict(server), indent=2) + "\n")

    def _forget(self, name: str) -> None:
        # A record that stays behind only says that its server has ended.
        with contextlib.suppress(OSError):
            self._record(name).unlink()

    def _record(self, name: str) -> Path:
        return self._root / name / _RECORD

    def _argument(self, name: str) -> str:
        return server_path(self._root / name / PROCESS_CONF)


def _read(record: Path) -> _Server | None:
    """Return the server that *record* describes; None when it is missing or damaged."""
    try:
        fields = json.loads(record.read_text(encoding="utf-8"))
        return _Server(**{**fields, "process": Spawned(**fields["process"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None

"""The process runtime: an embedded valkey-server as a detached process of this user."""

from __future__ import annotations

import contextlib
import json
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import NotFoundError, RefusedError, StartError, ToolError
from valkeyctl.render.artefacts import Artefacts
from valkeyctl.runtime.binary import ServerBinary, find_binary, require_tls
from valkeyctl.runtime.datafolder import ProcessData
from valkeyctl.runtime.datalock import await_data
from valkeyctl.runtime.directives import refusal, tail
from valkeyctl.runtime.files import private_folder, prove_space, remove_folder, write_private
from valkeyctl.runtime.material import EMPTY, Material
from valkeyctl.runtime.port import PORT_HINT, require_free_port, taken_by
from valkeyctl.runtime.processconf import (
    PROCESS_CONF,
    SECRETS_FOLDER,
    learnt_lines,
    mode,
    process_files,
    require_same_port,
    server_path,
)
from valkeyctl.runtime.processfaults import ProcessFaults
from valkeyctl.runtime.processrecord import Server, read_server
from valkeyctl.runtime.protocol import Instance, Peer, Trouble
from valkeyctl.runtime.ready import as_probe, ask, showing, wait_until_ready
from valkeyctl.runtime.secretsfolder import SecretsFolder
from valkeyctl.runtime.spawned import Spawned, end_all, running_with, spawn
from valkeyctl.runtime.stopping import Begun, Stopped, killed, unsaid
from valkeyctl.runtime.trial import try_process

_START_PATIENCE = 30.0
_ABANDON_GRACE = 2.0
_RECORD = "process.json"
_LOG = "server.log"


class ProcessRuntime(ProcessFaults):
    """Runs valkey-server as a process that outlives the command that started it.

    Args:
        root: Folder in which each unit has one of its own, named after it.
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

    def prove(self, artefacts: Artefacts, material: Material = EMPTY) -> list[str]:
        """Prove that *artefacts* would start; see `Runtime.prove`."""
        binary = self._binary(artefacts)
        self._require_port(artefacts, self._running(artefacts.name))
        return [
            f"server: {binary}",
            f"port {artefacts.port} on {artefacts.host} can be had",
            *try_process(artefacts, binary, material),
        ]

    def start(self, artefacts: Artefacts, material: Material = EMPTY) -> Endpoint:
        """Start the server, or replace one of the same name; see `Runtime.start`."""
        running = self._running(artefacts.name)
        if running is not None and running.digest == artefacts.digest:
            self._wait(artefacts, material, running)
            return running.endpoint
        grace = running.grace if running is not None else 0.0
        self._start_anew(artefacts, material, grace)
        return Endpoint(host=artefacts.host, port=artefacts.port, tls=artefacts.tls)

    def restart(
        self,
        artefacts: Artefacts,
        material: Material = EMPTY,
        *,
        grace: float | None = None,
        in_place: bool = True,  # noqa: ARG002 - a process has no place but its own
    ) -> bool:
        """End the process and start another; see `Runtime.restart`."""
        patience = artefacts.stop_grace if grace is None else grace
        return self._start_anew(artefacts, material, patience)

    def _start_anew(self, artefacts: Artefacts, material: Material, grace: float) -> bool:
        """Start the server in place of the one that runs; False when that had to be killed."""
        # What can fail is tried while the old one serves.
        binary, running = self._binary(artefacts), self._running(artefacts.name)
        self._require_port(artefacts, running)
        material.complete(artefacts)
        await_data(self._root / artefacts.name)
        if running is not None:
            # On a full disk neither the new server nor the old one would come back.
            prove_space(private_folder(self._root / artefacts.name))
        ended = running is None or running.process.end(grace)
        try:
            self._secrets(artefacts.name).fill(material, rest=True)
            server = self._spawn(artefacts, binary)
            self._wait(artefacts, material, server)
        except BaseException:  # Ctrl-C too: nothing half-started may stay
            self._abandon(artefacts.name)
            raise
        return ended

    def server_version(self, artefacts: Artefacts) -> str:
        """Return the version of the binary; see `Runtime.server_version`."""
        return self._binary(artefacts).version

    def shape(self, artefacts: Artefacts) -> str:
        """Return what changes with the address and the kind of server; see `Runtime.shape`."""
        return f"{artefacts.host}:{artefacts.port} tls={artefacts.tls} auth={artefacts.auth}"

    def adopt(self, artefacts: Artefacts) -> None:
        """Keep what was set live for the next start; see `Runtime.adopt`."""
        server = self._running(artefacts.name)
        if server is None:
            raise ToolError(f"{artefacts.name} does not run any more")
        self._write_files(artefacts, server.version)
        self._save(
            artefacts.name,
            replace(server, digest=artefacts.digest, grace=artefacts.stop_grace),
        )

    def deliver(self, artefacts: Artefacts, material: Material) -> bool:
        """Write the secret files that the process reads; see `Runtime.deliver`."""
        return self._secrets(artefacts.name).fill(material.complete(artefacts))

    def peer(self, artefacts: Artefacts) -> Peer:
        """Return the loopback address; see `Runtime.peer`."""
        return Peer(artefacts.host, artefacts.port, artefacts.bus_port)

    def config_file(self, artefacts: Artefacts) -> str:
        """Return the path of process.conf; see `Runtime.config_file`."""
        return self._argument(artefacts.name)

    def find(self, name: str) -> Instance | None:
        """Return the server called *name*, or None; see `Runtime.find`."""
        return self.find_all([name]).get(name)

    def find_all(self, names: Iterable[str]) -> dict[str, Instance]:
        """Return the servers of *names* that there are; see `Runtime.find_all`."""
        return {name: server.instance(name) for name, server in self._load_all(names).items()}

    def trouble(self, name: str) -> Trouble | None:
        """Return what is wrong with the server called *name*; see `Runtime.trouble`."""
        server = self._load(name)
        if server is None or (server.process.alive and ask(server.endpoint) != "silent"):
            return None
        pid = server.process.pid
        if server.process.paused:
            what = f"is paused: its process (pid {pid}) stands still"
            return Trouble(what, f"Let it go on: kill -CONT {pid}", now=True)
        if server.process.alive:
            return Trouble(f"does not answer, and its process (pid {pid}) is there", "", now=True)
        log = self._root / name / _LOG
        last = tail(log.read_text(errors="replace")) if log.exists() else ()
        said = f"; it said last: {last[-1]}" if last else ""
        what = f"has ended (it was pid {pid}){said}"
        if other := taken_by(server.host, server.port):
            return Trouble(f"{what}; {other} has its port now", PORT_HINT, now=True)
        return Trouble(what, "", now=True)

    def stop(self, name: str, grace: float) -> bool:
        """Stop *name* cleanly; see `Runtime.stop`."""
        done = self.stop_all([[name]], grace)
        if done.killed:
            raise killed(name, grace)
        return bool(done.units)

    def stop_all(
        self, groups: Iterable[Sequence[str]], grace: float, begun: Begun = unsaid
    ) -> Stopped:
        """Stop the processes group by group; see `Runtime.stop_all`."""
        listed = [list(group) for group in groups]
        found = self._load_all([name for group in listed for name in group])
        running = {name: one.process for name, one in found.items() if one.process.alive}
        late: list[Spawned] = []
        for group in listed:
            if here := [name for name in group if name in running]:
                begun(here)
                late += end_all([running[name] for name in here], grace)
            for name in group:
                self._forget(name)
                self._secrets(name).remove()
        return Stopped(
            tuple(running), tuple(name for name, process in running.items() if process in late)
        )

    def data(self, artefacts: Artefacts) -> ProcessData:
        """Return the data folder, to put other data into it; see `Runtime.data`."""
        folder = private_folder(self._root / artefacts.name) / "data"
        return ProcessData(folder, artefacts, self._binary(artefacts))

    def keeps(self, name: str) -> bool:
        """Say whether there is a folder of *name*; see `Runtime.keeps`."""
        return (self._root / name).exists()

    def purge(self, name: str) -> bool:
        """Remove the data, the log and the files of a stopped *name*; see `Runtime.purge`."""
        return self.purge_all([name])

    def purge_all(self, names: Sequence[str]) -> bool:
        """Remove the data, the logs and the files of stopped units; see `Runtime.purge_all`."""
        there = self._load_all(names)
        for name in (name for name, server in there.items() if server.process.alive):
            raise RefusedError(
                f"{name} still runs, and its data is in use", hint="Stop it first: valkeyctl down"
            )
        for name in names:
            await_data(self._root / name)
        return True in [remove_folder(self._root / name) for name in names]  # each of them

    def logs(self, name: str, lines: int, *, follow: bool = False) -> Iterator[str]:
        """Yield the log of *name*, to the end of its process; see `Runtime.logs`."""
        log = self._root / name / _LOG
        if not log.is_file():
            raise NotFoundError(
                f"there is no log of {name}", hint="See what is deployed: valkeyctl status"
            )
        return self._read_log(name, log, lines, follow=follow)

    def process_of(self, name: str) -> Spawned | None:
        """Return the process of *name*; None when it does not run."""
        running = self._running(name)
        return running.process if running is not None else None

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
        binary = find_binary(self._environ, full_build=full_build)
        if artefacts.tls:
            require_tls(binary)
        return binary

    def _require_port(self, artefacts: Artefacts, running: Server | None) -> None:
        """Prove that the port is free, or held by the server that will be replaced."""
        require_same_port(artefacts, self._main_file(artefacts.name))
        if (
            running is not None
            and (running.host, running.port) == (artefacts.host, artefacts.port)
            and running.process.listens_on(running.port)
        ):
            return
        require_free_port(artefacts.host, artefacts.port)

    def _secrets(self, name: str) -> SecretsFolder:
        return SecretsFolder(self._root / name / SECRETS_FOLDER)

    def _spawn(self, artefacts: Artefacts, binary: ServerBinary) -> Server:
        folder = self._write_files(artefacts, binary.version)
        private_folder(folder / "data")
        server = Server(
            process=Spawned(0, 0.0),
            host=artefacts.host,
            port=artefacts.port,
            tls=artefacts.tls,
            digest=artefacts.digest,
            version=binary.version,
            origin=binary.origin,
            grace=artefacts.stop_grace,
            auth=artefacts.auth,
        )
        # Before the start and again after it: whoever is killed in between leaves a
        # record without a pid, and the server is found by its command line.
        self._save(artefacts.name, server)
        log = folder / _LOG
        try:
            if log.exists():
                log.replace(log.with_suffix(".log.1"))
            with log.open("wb") as output:
                process = spawn(
                    [binary.path, self._argument(artefacts.name), *mode(artefacts)], folder, output
                )
        except OSError as error:
            raise StartError(f"cannot start {binary}: {error.strerror or error}") from error
        server = replace(server, process=process)
        self._save(artefacts.name, server)
        return server

    def _write_files(self, artefacts: Artefacts, version: str) -> Path:
        """Write what the server is started from into its folder, and return that."""
        folder = private_folder(self._root / artefacts.name)
        learnt = learnt_lines(artefacts, self._main_file(artefacts.name))
        files = process_files(artefacts, folder, version=version, learnt=learnt)
        for file, text in files.items():
            write_private(folder / file, text)
        return folder

    def _main_file(self, name: str) -> str | None:
        """Return process.conf of *name* as it is now; None without one."""
        file = self._root / name / PROCESS_CONF
        return file.read_text(errors="replace") if file.exists() else None

    def _wait(self, artefacts: Artefacts, material: Material, server: Server) -> None:
        """Return when *server* answers PING, and the answer can only be its own."""
        name = artefacts.name
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
            probe = as_probe(server.endpoint, auth=server.auth)
            with showing(probe, artefacts, material) as asked:
                wait_until_ready(asked, patience=_START_PATIENCE, check=check)
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
            # One that answers when Ctrl-C comes has taken writes, and is given time to save.
            answers = ask(server.endpoint) == "ready"
            server.process.end(max(server.grace, _ABANDON_GRACE) if answers else _ABANDON_GRACE)
        self._forget(name)

    def _running(self, name: str) -> Server | None:
        server = self._load(name)
        return server if server is not None and server.process.alive else None

    def _load(self, name: str) -> Server | None:
        return self._load_all([name]).get(name)

    def _load_all(self, names: Iterable[str]) -> dict[str, Server]:
        """Return what is known of *names*, looking for processes where no pid is known."""
        read = {name: read_server(self._record(name)) for name in names}
        lost = {
            self._argument(name): name
            for name, server in read.items()
            if server is None or not server.process.pid
        }
        running = {lost[word]: process for word, process in running_with(lost).items()}
        found: dict[str, Server] = {}
        for name, server in read.items():
            if server is not None and server.process.pid:
                found[name] = server
            elif (process := running.get(name)) is not None:
                found[name] = (
                    replace(server, process=process) if server else Server.unrecorded(process)
                )
        return found

    def _save(self, name: str, server: Server) -> None:
        write_private(self._record(name), json.dumps(asdict(server), indent=2) + "\n")

    def _forget(self, name: str) -> None:
        # A record that stays behind only says that its server has ended.
        with contextlib.suppress(OSError):
            self._record(name).unlink()

    def _record(self, name: str) -> Path:
        return self._root / name / _RECORD

    def _argument(self, name: str) -> str:
        return server_path(self._root / name / PROCESS_CONF)

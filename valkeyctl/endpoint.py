"""Where a server, or a deployment of several, is and how to get in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import quote, unquote

from valkeyctl.errors import TlsError, UsageError

if TYPE_CHECKING:
    import socket
    import ssl

Topology: TypeAlias = Literal["standalone", "sentinel", "cluster"]
Node: TypeAlias = tuple[str, int]

DEFAULT_PORT = 6379
SENTINEL_PORT = 26379

_TLS = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}
_FORMS: dict[Topology, str] = {
    "standalone": "Write it as redis://[user:password@]host[:port][/db]; rediss:// for TLS",
    "sentinel": (
        "Write it as redis+sentinel://[user:password@]host[:port],host[:port].../NAME[/db], with "
        "the sentinels' hosts; rediss+sentinel:// for TLS"
    ),
    "cluster": (
        "Write it as redis+cluster://[user:password@]host[:port],host[:port]...; "
        "rediss+cluster:// for TLS"
    ),
}
_SCHEME = re.compile(r"[a-z]+(\+[a-z]+)?", re.ASCII)
_HOST = re.compile(r"[^\s\x00-\x1f\x7f:/?#@\[\],\\]+")
_BRACKETED = re.compile(r"\[([0-9a-fA-F:.]+(?:%[\w.-]+)?)\](?::(.*))?", re.ASCII)


@dataclass(frozen=True)
class Endpoint:
    """The address of a server or a deployment, with what is needed to talk to it.

    Attributes:
        host: Name or address, without brackets; of several nodes the first one's.
        port: TCP port, 1 to 65535; likewise.
        username: ACL user of the servers; None is the default user.
        password: Shown by neither ``repr`` nor ``str``.
        db: Numbered database, 0 or more; 0 on a Cluster.
        tls: Whether to speak TLS, with servers and sentinels alike.
        ca_file: CA bundle to trust; None trusts the system's.
        cert_file: Certificate to show to a server that asks for one; None shows none.
        key_file: Its private key, without a passphrase; both or neither.
        topology: What answers there: one server, sentinels that name the primary, or
            nodes of a Cluster.
        nodes: Host and port of the sentinels, or of some nodes of the Cluster; empty
            for one server.
        primary_name: What the sentinels call the primary that they watch.
        sentinel_username: ACL user of the sentinels.
        sentinel_password: Likewise. Sentinels that want a login and are given none of
            their own get the servers'.

    Raises:
        UsageError: The fields do not fit the topology.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int = 0
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    topology: Topology = "standalone"
    nodes: tuple[Node, ...] = ()
    primary_name: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.topology == "standalone":
            if self.nodes:
                raise UsageError("an endpoint of one server has no list of nodes")
        else:
            nodes = self.nodes or ((self.host, self.port),)
            # The dataclass is frozen; these three say the same thing in two ways.
            object.__setattr__(self, "nodes", nodes)
            object.__setattr__(self, "host", nodes[0][0])
            object.__setattr__(self, "port", nodes[0][1])
        if (self.topology == "sentinel") != bool(self.primary_name):
            raise UsageError(
                "the name of a primary is for Sentinel, which needs one", hint=_FORMS["sentinel"]
            )
        if (self.cert_file is None) != (self.key_file is None):
            raise UsageError("a client certificate and its key belong together; give both files")
        if self.topology == "cluster" and self.db:
            raise UsageError(f"a Cluster has no database {self.db}", hint="Leave the database out")
        if self.topology != "sentinel" and (self.sentinel_username or self.sentinel_password):
            raise UsageError("a login for sentinels is for Sentinel", hint=_FORMS["sentinel"])

    @property
    def address(self) -> str:
        """``host:port``, an IPv6 host in brackets; several with commas, then a primary's name."""
        if self.topology == "standalone":
            return _address(self.host, self.port)
        name = f"/{self.primary_name}" if self.primary_name else ""
        return ",".join(_address(host, port) for host, port in self.nodes) + name

    def url(self, *, show_secret: bool = False) -> str:
        """Return the URL of this endpoint; passwords are ``***`` unless asked for."""

        def shown(secret: str) -> str:
            return quote(secret, safe="") if show_secret else "***"

        scheme = "rediss" if self.tls else "redis"
        login = ""
        if self.password is not None:
            login = f"{quote(self.username or '', safe='')}:{shown(self.password)}@"
        elif self.username:
            login = f"{quote(self.username, safe='')}@"
        if self.topology == "standalone":
            return f"{scheme}://{login}{self.address}/{self.db}"
        servers = ",".join(_address(host, port) for host, port in self.nodes)
        url = f"{scheme}+{self.topology}://{login}{servers}"
        if self.topology == "cluster":
            return url
        options = []
        if self.sentinel_username:
            options.append(f"sentinel_username={quote(self.sentinel_username, safe='')}")
        if self.sentinel_password is not None:
            options.append(f"sentinel_password={shown(self.sentinel_password)}")
        query = f"?{'&'.join(options)}" if options else ""
        return f"{url}/{quote(self.primary_name or '', safe='')}/{self.db}{query}"

    def __str__(self) -> str:
        return self.url()

    def with_password(self, password: str | None) -> Endpoint:
        """Return the same endpoint with another password."""
        return replace(self, password=password)

    def server(self, host: str, port: int) -> Endpoint:
        """Return one server of this deployment, with the servers' login."""
        return replace(
            self,
            host=host,
            port=port,
            topology="standalone",
            nodes=(),
            primary_name=None,
            sentinel_username=None,
            sentinel_password=None,
        )

    def tls_context(self, *, verify: bool = True) -> ssl.SSLContext:
        """Return how to speak TLS with it: whom to trust, and what to show.

        Args:
            verify: Whether the server's certificate must be good; without, nothing secret
                may be sent.

        Raises:
            TlsError: A file cannot be read, or OpenSSL refuses it.
        """
        import ssl  # slow, and most connections are plain

        file = self.ca_file
        try:
            context = ssl.create_default_context(cafile=str(file) if file else None)
            if self.cert_file and self.key_file:
                file = self.cert_file
                # An empty passphrase: OpenSSL would ask for one at the terminal.
                context.load_cert_chain(self.cert_file, self.key_file, password="")
        except OSError as error:
            why = getattr(error, "reason", None) or error.strerror or error
            raise TlsError(
                f"{self.address} cannot be reached by TLS: {file} is not usable: {why}",
                hint="Name a file in PEM form that you can read, and a key that belongs to it",
            ) from error
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def secure(self, connection: socket.socket, *, verify: bool = True) -> ssl.SSLSocket:
        """Return *connection* to it after a TLS handshake; it is used, and closed, by that.

        Args:
            connection: Connected, and blocking; stays the caller's to close on failure.
            verify: Whether the server's certificate must be good; see `tls_context`.

        Raises:
            TlsError: A file cannot be read.
            OSError: The handshake failed; `ssl.SSLError` is one.
        """
        context = self.tls_context(verify=verify)
        # Of a connection that was reset meanwhile, wrap_socket would leave one open.
        connection.getpeername()
        return context.wrap_socket(connection, server_hostname=self.host if verify else None)

    def require_one_server(self) -> None:
        """Make sure that this is one server.

        Raises:
            UsageError: It is Sentinel or a Cluster.
        """
        if self.topology == "standalone":
            return
        what = "Sentinel" if self.topology == "sentinel" else "a Cluster"
        raise UsageError(
            f"{self.address} is {what}, and this works on one server only",
            hint="Give the URL of one of its servers: redis://host:port",
        )

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Return the endpoint that *url* names.

        Raises:
            UsageError: It is not a URL of ours. The message never repeats the URL,
                which may hold a password.
        """
        scheme, found, rest = url.strip().partition("://")
        kind, tls = _scheme(scheme if found else "")
        rest, fragment, _ = rest.partition("#")
        rest, question, query = rest.partition("?")
        authority, _, path = rest.partition("/")
        login, _, servers = authority.rpartition("@")
        username, _, password = login.partition(":")
        if fragment or (question and kind != "sentinel"):
            raise _refused(kind, "has options that are not understood")
        nodes = _nodes(kind, servers)
        name, db = _path(kind, path)
        sentinel_username, sentinel_password = _sentinel_login(query)
        return cls(
            host=nodes[0][0],
            port=nodes[0][1],
            username=unquote(username) or None,
            password=unquote(password) or None,
            db=db,
            tls=tls,
            topology=kind,
            nodes=() if kind == "standalone" else nodes,
            primary_name=name,
            sentinel_username=sentinel_username,
            sentinel_password=sentinel_password,
        )


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _scheme(scheme: str) -> tuple[Topology, bool]:
    base, plus, kind = scheme.lower().partition("+")
    if base in _TLS and (not plus or kind in ("sentinel", "cluster")):
        topology: Topology = (
            "sentinel" if kind == "sentinel" else "cluster" if kind == "cluster" else "standalone"
        )
        return topology, _TLS[base]
    shown = f" {scheme!r}" if _SCHEME.fullmatch(scheme.lower()) else ""
    raise _refused("standalone", f"has an unknown scheme{shown}")


def _nodes(kind: Topology, servers: str) -> tuple[Node, ...]:
    parts = servers.split(",") if kind != "standalone" else [servers]
    default = SENTINEL_PORT if kind == "sentinel" else DEFAULT_PORT
    return tuple(_node(kind, part, default) for part in parts)


def _node(kind: Topology, text: str, default: int) -> Node:
    if not text or text.startswith(":"):
        raise _refused(kind, "names no host" if kind == "standalone" else "lacks a host")
    if bracketed := _BRACKETED.fullmatch(text):
        host, port = bracketed[1], bracketed[2]
    else:
        host, colon, port = text.partition(":")
        port = port if colon else None
        if not _HOST.fullmatch(host):
            raise _refused(kind, "has a host that cannot be one")
    if port is None:
        return host.lower(), default
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise _refused(kind, "has a port that is no number from 1 to 65535")
    return host.lower(), int(port)


def _path(kind: Topology, path: str) -> tuple[str | None, int]:
    name = None
    if kind == "sentinel":
        first, _, path = path.partition("/")
        name = unquote(first)
        if not name:
            raise _refused(kind, "names no primary")
    db = path.strip("/") or "0"
    if not (db.isascii() and db.isdigit() and len(db) <= 9):
        raise _refused(kind, "names a database that is no number")
    return name, int(db)


def _sentinel_login(query: str) -> tuple[str | None, str | None]:
    found: dict[str, str | None] = {"sentinel_username": None, "sentinel_password": None}
    for option in query.split("&") if query else ():
        name, _, value = option.partition("=")
        if name not in found or found[name] is not None:
            raise _refused("sentinel", f"has options other than one {' and one '.join(found)}")
        found[name] = unquote(value) or None
    return found["sentinel_username"], found["sentinel_password"]


def _refused(kind: Topology, why: str) -> UsageError:
    return UsageError(f"the server URL {why}", hint=_FORMS[kind])

"""Whether a server takes commands yet, asked through the published address.

A TCP connect proves nothing: a container's port is held open by podman before the
server listens, and while it is paused or cut off.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import StartError, TlsError
from valkeyctl.render.acl import PROBE
from valkeyctl.render.artefacts import Artefacts
from valkeyctl.render.tls import CERTIFICATE_FILE, KEY_FILE
from valkeyctl.runtime.files import write_private
from valkeyctl.runtime.material import Material
from valkeyctl.runtime.trialfolder import trial_folder

Answer = Literal["ready", "loading", "silent"]

_PING_TIMEOUT = 0.5
_LONGEST_ANSWER = 1024  # bytes; whatever says more in one line is no server of ours
# A server that says it is loading its data is alive; a dataset of some 100 GB takes this long.
LOADING_PATIENCE = 600.0
# OpenSSL's reasons, by TLS 1.3 and 1.2.
_CERTIFICATE_WANTED = frozenset(
    {
        *("TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE"),
        # What it was shown is not one that it takes.
        *("TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_BAD_CERTIFICATE"),
        *("SSLV3_ALERT_CERTIFICATE_EXPIRED", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE"),
    }
)


def ask(endpoint: Endpoint, timeout: float = _PING_TIMEOUT) -> Answer:
    """Return what the server at *endpoint* says to a PING within *timeout* seconds.

    A server that asks for a password (``-NOAUTH``) is ready: it listens and answers. So is
    one that asks for a certificate, and is shown none by *endpoint*, or one of another CA.
    """
    try:
        with socket.create_connection((endpoint.host, endpoint.port), timeout=timeout) as plain:
            if not endpoint.tls:
                return _ping(plain, endpoint)
            # No name and no CA are checked here: nothing secret is sent, and whether
            # clients can trust the certificate is for `health` to say.
            with endpoint.secure(plain, verify=False) as secured:
                return _ping(secured, endpoint)
    except (OSError, TlsError):
        asked = endpoint.tls and _wants_certificate(endpoint, timeout)
        return "ready" if asked else "silent"


def as_probe(endpoint: Endpoint, *, auth: bool) -> Endpoint:
    """Return *endpoint* with the login of the liveness probe, which is no secret.

    A server with users answers ``-NOAUTH`` to everybody else while it loads its data, and
    would be taken for ready.
    """
    return replace(endpoint, username=PROBE, password=PROBE) if auth else endpoint


@contextlib.contextmanager
def showing(endpoint: Endpoint, artefacts: Artefacts, material: Material) -> Iterator[Endpoint]:
    """Yield *endpoint* with the unit's own certificate to show, where it insists on one.

    Without, who asks whether it is ready is told to show one, and not that it loads its
    data. Containers and other users cannot read the files, which are gone afterwards.

    Args:
        endpoint: The published address.
        artefacts: What runs there.
        material: Its secret files.
    """
    own = [material.files.get(name) for name in (CERTIFICATE_FILE, KEY_FILE)]
    asked = artefacts.directives.get("tls-auth-clients") == "yes"
    if not asked or None in own:
        yield endpoint
        return
    with trial_folder() as folder:
        for name, contents in zip((CERTIFICATE_FILE, KEY_FILE), own, strict=True):
            write_private(folder / name, contents or b"")
        yield replace(endpoint, cert_file=folder / CERTIFICATE_FILE, key_file=folder / KEY_FILE)


def _wants_certificate(endpoint: Endpoint, timeout: float) -> bool:
    """Say whether the server answers, and wants to see another certificate than ours.

    As with ``-NOAUTH``, who asks listens. Its word comes after the handshake, and is lost
    where a command was sent already; so nothing is sent here.
    """
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), timeout=timeout) as plain,
            endpoint.secure(plain, verify=False) as secured,
        ):
            secured.recv(1)
    except ssl.SSLError as error:
        return getattr(error, "reason", None) in _CERTIFICATE_WANTED
    except (OSError, TlsError):
        return False
    return False


def wait_until_ready(
    endpoint: Endpoint,
    *,
    patience: float,
    check: Callable[[], None],
    clock: Callable[[], float] = time.monotonic,
) -> float:
    """Return the seconds until *endpoint* was ready.

    Args:
        endpoint: The published address.
        patience: Seconds to wait for a server that says nothing; one that says it
            loads its data is given LOADING_PATIENCE.
        check: Called between two questions; raises when waiting has become pointless.
        clock: Source of time, in seconds.

    Raises:
        StartError: It was not ready in time.
    """
    began = clock()
    pause = 0.005
    loading = False
    while True:
        answer = ask(endpoint)
        waited = clock() - began
        if answer == "ready":
            return waited
        check()
        loading = loading or answer == "loading"
        if waited > (LOADING_PATIENCE if loading else patience):
            what = "still loads its data" if loading else "does not answer PING"
            raise StartError(f"the server at {endpoint.address} {what} after {waited:.1f} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def _ping(connection: socket.socket, endpoint: Endpoint) -> Answer:
    # Always as the probe: whom we talk to is not proven (see `ask`), and so no password
    # of anybody else is sent.
    login = [("AUTH", PROBE, PROBE)] if endpoint.password is not None else []
    commands: list[tuple[str, ...]] = [*login, ("PING",)]
    connection.sendall(b"".join(_packed(words) for words in commands))
    reply = b""
    while reply.count(b"\n") < len(commands) and len(reply) < _LONGEST_ANSWER:
        part = connection.recv(256)
        if not part:
            return "silent"
        reply += part
    # What AUTH was answered does not matter: the answer to PING says it all.
    answer = reply.splitlines()[-1] if reply else b""
    if answer.startswith((b"+PONG", b"-NOAUTH")):
        return "ready"
    return "loading" if answer.startswith(b"-LOADING") else "silent"


def _packed(words: tuple[str, ...]) -> bytes:
    """Return a command as it travels; hiredis is for caching/."""
    parts = [word.encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(p), p) for p in parts)

"""Whether clients will accept a server's certificate: a handshake in memory says so.

OpenSSL itself decides, as it does in every client; there is no second opinion of ours.
"""

from __future__ import annotations

import ssl
from pathlib import Path

_ROUNDS = 8  # a handshake takes three


def handshake_problem(ca: Path, certificate: Path, key: Path, *, mutual: bool = False) -> str:
    """Return why a client that trusts *ca* refuses the server; empty when it does not.

    Args:
        ca: Whom the client trusts.
        certificate: The server's.
        key: Its private key.
        mutual: Whether the server trusts nobody else either, and is shown the same
            certificate as a client's, as by a replica.

    Raises:
        OSError: A file cannot be read, or OpenSSL refuses it.
    """
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # An empty passphrase: OpenSSL would ask for one at the terminal.
    serving.load_cert_chain(certificate, key, password="")
    trusting = ssl.create_default_context(cafile=str(ca))
    # Which name must stand there is looked at elsewhere, with a sentence of its own.
    trusting.check_hostname = False
    if mutual:
        serving.load_verify_locations(ca)
        serving.verify_mode = ssl.CERT_REQUIRED
        trusting.load_cert_chain(certificate, key, password="")
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    client = trusting.wrap_bio(to_client, to_server)
    for _ in range(_ROUNDS):
        done = True
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                done = False
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
            except ssl.SSLError as error:
                return error.reason or str(error)
        if done:
            return ""
    return "the handshake does not end"

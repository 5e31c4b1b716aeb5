"""Which certificate a server shows to those who connect, as against the one in its file."""

from __future__ import annotations

import hashlib
import socket
import ssl

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import TlsError, UnreachableError
from valkeyctl.render.tls import CERTIFICATE_FILE
from valkeyctl.runtime.material import Material

_TIMEOUT = 5.0
_END = "-----END CERTIFICATE-----"


def shown_by(endpoint: Endpoint) -> str:
    """Return the SHA-256 of the certificate that a new connection to *endpoint* is shown, in hex.

    Whether it is to be trusted is not looked at; nothing is sent.

    Raises:
        TlsError: The server shows none.
        UnreachableError: Nothing listens there.
    """
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), timeout=_TIMEOUT) as plain,
            endpoint.secure(plain, verify=False) as secured,
        ):
            shown = secured.getpeercert(binary_form=True)
    except ssl.SSLError as error:
        why = error.reason or error
        raise TlsError(f"{endpoint.address} shows no certificate: {why}") from error
    except OSError as error:
        raise UnreachableError(
            f"cannot connect to {endpoint.address}: {error.strerror or error}"
        ) from error
    return hashlib.sha256(shown or b"").hexdigest()


def written_in(material: Material) -> str:
    """Return the SHA-256 of the server's certificate in *material*, in hex; empty without one."""
    text = material.files.get(CERTIFICATE_FILE, b"").decode(errors="replace")
    begin, end, _ = text.partition(_END)
    if not end:
        return ""
    # Text may stand before it, such as `openssl x509 -text` writes.
    leaf = begin[begin.find("-----BEGIN") :] + end
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(leaf)).hexdigest()

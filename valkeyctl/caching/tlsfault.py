"""Why a TLS connection failed, in words that say what to do."""

from __future__ import annotations

import ssl
from typing import NamedTuple

from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import TlsError

_CHECK = "Check that the port speaks TLS and that ca_file signed its certificate"
_SHOW = "Show one that its CA signed: --client-cert FILE --client-key FILE"
_TRUST = "Name the CA that signed it: --cacert FILE"


class _Words(NamedTuple):
    why: str
    hint: str


# OpenSSL's reasons; the alerts among them are what the server has said.
_REASONS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _Words("it asks for a client certificate", _SHOW),
    "TLSV1_ALERT_UNKNOWN_CA": _Words("it does not trust the client certificate's CA", _SHOW),
    "SSLV3_ALERT_BAD_CERTIFICATE": _Words("it refuses the client certificate", _SHOW),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _Words("the client certificate has expired", _SHOW),
    "WRONG_VERSION_NUMBER": _Words(
        "the port does not speak TLS", "Write the URL with redis:// where the server is plain"
    ),
}
# Of X509_V_ERR_*, by number: their texts differ between versions of OpenSSL.
_EXPIRED, _NOT_YET = 10, 9
_UNTRUSTED = frozenset({18, 19, 20, 21})
_OTHER_HOST = frozenset({62, 64})


def tls_failure(endpoint: Endpoint, fault: OSError) -> TlsError:
    """Return what *fault*, met while connecting to *endpoint* by TLS, means for a user."""
    words = _words(fault)
    return TlsError(
        f"the TLS handshake with {endpoint.address} failed: {words.why}", hint=words.hint
    )


def _words(fault: OSError) -> _Words:
    if isinstance(fault, ssl.SSLCertVerificationError):
        return _Words(fault.verify_message, _verify_hint(fault.verify_code))
    if isinstance(fault, ssl.SSLError):
        reason = getattr(fault, "reason", None) or ""  # absent where Python raised it itself
        return _REASONS.get(reason) or _Words(reason or str(fault), _CHECK)
    return _Words(fault.strerror or str(fault), _CHECK)


def _verify_hint(code: int) -> str:
    if code == _EXPIRED:
        return "Renew it on the server's side: valkeyctl tls init --renew"
    if code == _NOT_YET:
        return "Check the clock of this machine: date -u"
    if code in _UNTRUSTED:
        return _TRUST
    if code in _OTHER_HOST:
        return "Connect under a name that the certificate holds, or have one made that names this"
    return _CHECK

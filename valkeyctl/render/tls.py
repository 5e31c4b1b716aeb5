"""What TLS adds to valkey.conf, to the secret files, and to the liveness probe."""

from __future__ import annotations

from valkeyctl.profile.schema import Profile

CA_FILE, CERTIFICATE_FILE, KEY_FILE = "ca.crt", "server.crt", "server.key"
TLS_FILES = (CA_FILE, CERTIFICATE_FILE, KEY_FILE)
# Directive to the file that it names, for whoever must name it elsewhere.
TLS_PATHS = {
    "tls-ca-cert-file": CA_FILE,
    "tls-cert-file": CERTIFICATE_FILE,
    "tls-key-file": KEY_FILE,
}


def tls_directives(profile: Profile, folder: str, port: int) -> dict[str, str]:
    """Return the directives that turn TLS on and plain text off; none without TLS.

    Args:
        profile: Whose.
        folder: Where the server finds TLS_FILES.
        port: That it listens on, inside of its container.
    """
    if not profile.tls.enabled:
        return {}
    found = {
        "port": "0",
        "tls-auth-clients": profile.tls.auth_clients,
        "tls-port": str(port),
        "tls-protocols": "TLSv1.2 TLSv1.3",
        # To replicate by TLS costs a standalone nothing, and lets the server load the
        # certificates even where it listens on no TLS port, which is how they are tried.
        "tls-replication": "yes",
        **{name: f"{folder}/{file}" for name, file in TLS_PATHS.items()},
    }
    if profile.topology == "cluster":
        found["tls-cluster"] = "yes"
    return found


def probe_options(profile: Profile, folder: str) -> list[str]:
    """Return how valkey-cli speaks TLS inside of the container; nothing without TLS."""
    if not profile.tls.enabled:
        return []
    options = ["--tls", "--cacert", f"{folder}/{CA_FILE}"]
    if profile.tls.auth_clients == "yes":
        own = ["--cert", f"{folder}/{CERTIFICATE_FILE}", "--key", f"{folder}/{KEY_FILE}"]
        options += own
    return options

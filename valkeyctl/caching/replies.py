"""What a server answers, and which failure an error reply is.

Shared by both ways to a server: the async driver and the blocking `wire`.
"""

from __future__ import annotations

from typing import TypeAlias

from valkeyctl.errors import AuthError, ServerReplyError, ValkeyctlError

Word: TypeAlias = str | bytes | int | float
"""One word of a command; numbers travel as their decimal text."""

Reply: TypeAlias = bytes | int | list["Reply"] | None
"""One RESP2 answer, as `wire` gets it: strings as bytes, nil as None, maps as flat lists."""

RichReply: TypeAlias = bytes | int | float | list["RichReply"] | dict[bytes, "RichReply"] | None
"""One RESP3 answer, as `ValkeyClient` gets it: also doubles and maps; sets are lists."""

_AUTH_WORDS = frozenset({"NOAUTH", "WRONGPASS", "NOPERM", "DENIED"})
# Sent with the plain word ERR; both say that the credentials do not fit the server.
_AUTH_TEXTS = ("invalid password", "without any password configured", "no password is set")
# A script that may run, and does what its user may not.
_ACL_IN_SCRIPT = "ACL failure in script"
_AUTH_HINTS = {
    "NOAUTH": "Give the password in the URL: redis://:password@host:port/0",
    "WRONGPASS": "Check the user and the password in the URL",
    "NOPERM": "Allow this command or key to the user in the server's ACL",
    "DENIED": "Set a password on the server, or connect from its own machine",
}
_HINTS = {
    "OOM": "Raise maxmemory, or choose an eviction policy that frees keys",
    "READONLY": "Connect to the primary; replicas do not take writes",
    "MISCONF": "Check the server's disk; it cannot save and so refuses writes",
    "LOADING": "Wait until the server has loaded its data",
}


def unexpected_reply(address: str, what: str) -> ServerReplyError:
    """Return the failure of a server whose answer to *what* has another shape than ours."""
    return ServerReplyError(
        f"{address} answered {what} in a form that is not Valkey's",
        hint="Check that it is a Valkey server, and no proxy that changes answers",
    )


def error_from_reply(text: str, address: str, *, secret: str | None = None) -> ValkeyctlError:
    """Return the failure that the error reply *text* from *address* means.

    Args:
        text: The reply without its leading ``-``, such as ``OOM command not allowed``.
        address: Who said so, as ``host:port``.
        secret: A password to blot out, should the server repeat it.

    Returns:
        AuthError for credentials and permissions, else ServerReplyError with the first word.
    """
    word = text.partition(" ")[0]
    # What it means is read first: a short password may be part of any word.
    shown = text.replace(secret, "***") if secret else text
    if not shown.isprintable():  # it goes to a terminal, and may quote a key
        shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in shown)
    message = f"{address} answered: {shown}"
    if word in _AUTH_WORDS:
        return AuthError(message, hint=_AUTH_HINTS[word])
    if any(part in text for part in _AUTH_TEXTS):
        return AuthError(message, hint="Check the user and the password in the URL")
    if _ACL_IN_SCRIPT in text:
        return AuthError(message, hint=_AUTH_HINTS["NOPERM"])
    return ServerReplyError(message, reply=word, hint=_HINTS.get(word))

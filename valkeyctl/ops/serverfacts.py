"""What a server is and how it is set: the facts that a measurement must name."""

from __future__ import annotations

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, ServerReplyError

_SETTINGS = ("maxmemory", "maxmemory-policy", "appendonly", "appendfsync", "save", "io-threads")


def server_facts(endpoint: Endpoint) -> dict[str, str]:
    """Return version and settings of a server, under the server's own names.

    Settings are left out where the user may not read them.

    Raises:
        UnreachableError: No server answers.
        AuthError: It refuses us altogether.
    """
    with Wire(endpoint) as wire:
        info = wire.info("server")
        name = info.get("server_name", "server")
        facts = {"server": f"{name} {info.get('valkey_version', info.get('redis_version', '?'))}"}
        try:
            reply = wire.call("CONFIG", "GET", *_SETTINGS)
        except (AuthError, ServerReplyError):
            return facts
    if isinstance(reply, list):
        words = [word.decode(errors="replace") for word in reply if isinstance(word, bytes)]
        found = dict(zip(words[::2], words[1::2], strict=True))
        facts.update({setting: found[setting] for setting in _SETTINGS if setting in found})
    return facts

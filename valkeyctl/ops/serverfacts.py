"""What a server is, how it is set and what it has done: facts that a measurement must name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, ServerReplyError
from valkeyctl.ops.keyspace.nodes import primaries

_SETTINGS = ("maxmemory", "maxmemory-policy", "appendonly", "appendfsync", "save", "io-threads")
# Of several servers the sum.
_COUNTERS = {
    "keyspace_hits": "keyspace_hits",
    "keyspace_misses": "keyspace_misses",
    "evicted_keys": "evicted_keys",
    "expired_keys": "expired_keys",
    "commands": "total_commands_processed",
    "net_input_bytes": "total_net_input_bytes",
    "net_output_bytes": "total_net_output_bytes",
    "used_memory_bytes": "used_memory",
    "maxmemory_bytes": "maxmemory",
}


def server_facts(endpoint: Endpoint, *, timeout: float = 5.0) -> dict[str, str]:
    """Return version and settings of a server, under the server's own names.

    Of a Cluster they are those of its first primary, with their number beside them; of
    Sentinel, of the primary. Settings are left out where the user may not read them.

    Args:
        endpoint: Of any topology.
        timeout: Seconds that a server may be silent.

    Raises:
        UnreachableError: No server answers.
        AuthError: It refuses us altogether.
        UsageError: It is a Sentinel, and the URL does not say so.
    """
    found = primaries(endpoint, timeout=timeout)
    facts: dict[str, str] = {}
    with Wire(found.nodes[0], timeout=timeout) as wire:
        info = wire.info("server")
        name = info.get("server_name", "server")
        facts["server"] = f"{name} {info.get('valkey_version', info.get('redis_version', '?'))}"
        if found.has_slots:
            facts["topology"] = f"cluster of {len(found.nodes)} primaries"
        elif endpoint.topology == "sentinel":
            facts["topology"] = "sentinel"
        try:
            reply = wire.call("CONFIG", "GET", *_SETTINGS)
        except (AuthError, ServerReplyError):
            return facts
    if isinstance(reply, list):
        words = [word.decode(errors="replace") for word in reply if isinstance(word, bytes)]
        settings = dict(zip(words[::2], words[1::2], strict=True))
        facts.update({name: settings[name] for name in _SETTINGS if name in settings})
    return facts


def server_info(endpoint: Endpoint, *, timeout: float = 2.0) -> dict[str, float | str]:
    """Return the counters of the servers that hold the keys behind *endpoint*, added up.

    ``keyspace_hits``, ``keyspace_misses``, ``evicted_keys``, ``expired_keys``,
    ``commands``, ``net_input_bytes``, ``net_output_bytes``, ``used_memory_bytes``,
    ``maxmemory_bytes``, ``cpu_s``, ``keys``; and ``run_id``, the servers' own names for this
    life of theirs: counters under another one are not of the same servers, or began anew.

    Args:
        endpoint: Of any topology.
        timeout: Seconds that a server may be silent.

    Raises:
        UnreachableError: A server does not answer.
        AuthError: It refuses us.
        UsageError: It is a Sentinel, and the URL does not say so.
    """
    infos = []
    for node in primaries(endpoint, timeout=timeout).nodes:
        with Wire(node, timeout=timeout) as wire:
            infos.append(wire.info())
    return {
        "run_id": ",".join(sorted(info.get("run_id", "") for info in infos)),
        **{name: _sum(infos, _field(field)) for name, field in _COUNTERS.items()},
        "cpu_s": _sum(
            infos, lambda info: _number(info, "used_cpu_sys") + _number(info, "used_cpu_user")
        ),
        "keys": _sum(infos, _keys),
    }


def _field(name: str) -> Callable[[Mapping[str, str]], float]:
    return lambda info: _number(info, name)


def _sum(infos: Iterable[Mapping[str, str]], value: Callable[[Mapping[str, str]], float]) -> float:
    return round(sum(map(value, infos)), 6)


def _number(info: Mapping[str, str], name: str) -> float:
    text = info.get(name, "0")
    try:
        return float(text)
    except ValueError:  # a server of another make
        return 0.0


def _keys(info: Mapping[str, str]) -> float:
    """Return the keys in all databases: ``db0:keys=12,expires=3,...``."""
    total = 0
    for name, value in info.items():
        if name.startswith("db") and name[2:].isdigit() and value.startswith("keys="):
            count = value.removeprefix("keys=").partition(",")[0]
            total += int(count) if count.isdigit() else 0
    return float(total)

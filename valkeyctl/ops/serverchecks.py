"""The checks of one server, by a write and a read of it and by what INFO says."""

from __future__ import annotations

import os
import secrets
import statistics
import time
from collections.abc import Collection, Mapping, Sequence

from valkeyctl.caching.info import parse_info
from valkeyctl.caching.sockets import Encryption
from valkeyctl.caching.wire import Reply, Wire
from valkeyctl.errors import DeadlineError, ServerReplyError
from valkeyctl.ops.checks import Check, Thresholds, Verdict
from valkeyctl.units import format_duration, format_size

_KEY_LIFE_MS = 10_000
_SAMPLE = 1000  # keys looked at for state on a server that evicts; some 0.3 ms of its time
_STATE_NAMESPACES = ("session", "ratelimit")


def check_ping(wire: Wire, thresholds: Thresholds, until: float) -> tuple[Check, bool]:
    """Return how long PING takes, and whether the server serves commands at all.

    Args:
        wire: To the server.
        thresholds: What is worth a warning or a failure.
        until: Moment of `time.monotonic` until which there is time.

    Raises:
        UnreachableError, AuthError: as `Wire.call`; DeadlineError when time is up.
    """
    times = _pings(wire, thresholds.pings, until)
    if isinstance(times, ServerReplyError):
        # It answers, and not to commands: LOADING, MASTERDOWN, BUSY.
        return Check("ping", times.reply, "PONG", "fail", str(times)), False
    return _ping_check(times, thresholds), True


def _pings(wire: Wire, count: int, until: float) -> list[float] | ServerReplyError:
    """Return the milliseconds of each ping, or the error that the server answers."""
    times = []
    for _ in range(count):
        _allow_rest(wire, until)
        sent = time.monotonic()
        try:
            wire.call("PING")
        except ServerReplyError as error:
            return error
        times.append((time.monotonic() - sent) * 1000)
    return times


def _allow_rest(wire: Wire, until: float) -> None:
    """Give the next call what is left of the deadline."""
    left = until - time.monotonic()
    if left <= 0:
        raise DeadlineError(f"{wire.endpoint.address} answers, but too slowly for the deadline")
    wire.allow(left)


def probe_key(app: str) -> str:
    """Return a key that nobody else writes."""
    return f"{app}:~health:{secrets.token_hex(8)}"


def check_server(
    wire: Wire, key: str, app: str, thresholds: Thresholds, until: float
) -> tuple[list[Check], Mapping[str, str]]:
    """Return the checks of what one round trip tells, and INFO.

    Args:
        wire: To the server.
        key: Is written, read and removed; expires by itself if that is interrupted.
        app: First part of the keys in which state is looked for.
        thresholds: What is worth a warning or a failure.
        until: Moment of `time.monotonic` until which there is time.

    Raises:
        UnreachableError, AuthError: as `Wire.pipeline`; DeadlineError when time is up.
    """
    _allow_rest(wire, until)
    value = secrets.token_hex(8)
    info_reply, *round_trip, scanned = wire.pipeline(
        [
            ("INFO",),
            ("SET", key, value, "PX", _KEY_LIFE_MS),
            ("GET", key),
            ("UNLINK", key),
            ("SCAN", 0, "MATCH", f"{app}:*", "COUNT", _SAMPLE),
        ]
    )
    info = parse_info(info_reply) if isinstance(info_reply, bytes) else {}
    encryption = wire.encryption
    checks = [
        _write_read(round_trip, value, info),
        *([_tls(encryption, thresholds)] if encryption is not None else []),
        _role(info),
        _replication(info),
        _memory(info, thresholds),
        _eviction(info, app, scanned),
        _persistence(info),
    ]
    return checks, info


def check_identity(info: Mapping[str, str], ours: Collection[str], address: str) -> list[Check]:
    """Return a failure where another server answers than the one that was deployed, else nothing.

    Args:
        info: All sections of INFO.
        ours: Configuration files by which the deployed servers are known; empty when
            nothing was deployed.
        address: Of the server that answers.
    """
    said = info.get("config_file", "")
    # Of a state folder that is reached by two ways, a server knows the one it was started by.
    if not ours or os.path.realpath(said) in map(os.path.realpath, ours):
        return []
    by = f"started from {said}" if said else "started without a configuration file"
    fault = f"the server at {address} is not the one that was deployed: it was {by}"
    return [Check("identity", "another server", "the deployed one", "fail", fault)]


def _ping_check(times: Sequence[float], thresholds: Thresholds) -> Check:
    median = statistics.median(times)
    verdict: Verdict = "ok"
    if median > thresholds.ping_warn_ms:
        verdict = "fail" if median > thresholds.ping_fail_ms else "warn"
    return Check(
        "ping",
        f"{median:.2f} ms",
        f"<= {thresholds.ping_warn_ms:g} ms",
        verdict,
        f"median of {len(times)}, {max(times):.2f} ms at most",
    )


def _write_read(
    answers: Sequence[Reply | ServerReplyError], value: str, info: Mapping[str, str]
) -> Check:
    expected = "a value comes back"
    refused = next((answer for answer in answers if isinstance(answer, ServerReplyError)), None)
    if refused is not None:
        # A replica that refuses writes does what it is there for.
        replica = refused.reply == "READONLY" and info.get("role") == "slave"
        return Check(
            "write_read", refused.reply, expected, "warn" if replica else "fail", str(refused)
        )
    if answers[1] != value.encode():
        return Check("write_read", "another value", expected, "fail", "read after write differs")
    return Check("write_read", "the same value", expected, "ok")


def _tls(encryption: Encryption, thresholds: Thresholds) -> Check:
    # An expired certificate never comes this far: the handshake has refused it. One that
    # has hours left does, and clients that start tomorrow will be refused.
    left, warn = encryption.days_left, thresholds.certificate_warn_days
    verdict: Verdict = "fail" if left < 1 else "warn" if left < warn else "ok"
    detail = "" if verdict == "ok" else "renew it: valkeyctl tls init --renew"
    value = f"{encryption.protocol}, {left:.0f} days left"
    return Check("tls", value, f">= {warn:.0f} days", verdict, detail)


def _role(info: Mapping[str, str]) -> Check:
    role = {"master": "primary", "slave": "replica"}.get(info.get("role", ""), "unknown")
    verdict: Verdict = "ok" if role == "primary" else "warn"
    return Check("role", role, "primary", verdict, "" if verdict == "ok" else "it takes no writes")


def _replication(info: Mapping[str, str]) -> Check:
    if info.get("role") == "slave":
        link = info.get("master_link_status", "unknown")
        lag = _number(info, "slave_repl_offset"), _number(info, "master_repl_offset")
        return Check(
            "replication",
            f"link {link}",
            "link up",
            "ok" if link == "up" else "fail",
            f"offset {lag[0]} of {lag[1]}",
        )
    replicas = [value for name, value in info.items() if _is_replica_line(name)]
    behind = [line for line in replicas if "state=online" not in line]
    return Check(
        "replication",
        f"{len(replicas)} replicas",
        "all online",
        "warn" if behind else "ok",
        f"{len(behind)} not online" if behind else "",
    )


def _is_replica_line(name: str) -> bool:
    return name.startswith("slave") and name.removeprefix("slave").isdigit()


def _memory(info: Mapping[str, str], thresholds: Thresholds) -> Check:
    used, most = _number(info, "used_memory"), _number(info, "maxmemory")
    rss = f"{format_size(_number(info, 'used_memory_rss'))} resident"
    if not most:
        return Check(
            "memory",
            format_size(used),
            "a maxmemory",
            "warn",
            f"nothing bounds it; {rss}",
        )
    share = used / most
    stuck = _cannot_evict(info)
    threshold = f"<= {thresholds.memory_warn:.0%} of maxmemory" if stuck else "any; it evicts"
    verdict: Verdict = "ok"
    if stuck and share > thresholds.memory_warn:
        verdict = "fail" if share >= 1 else "warn"
    return Check(
        "memory",
        f"{share:.0%} of {format_size(most)}",
        threshold,
        verdict,
        f"{stuck}; {rss}" if stuck else rss,
    )


def _cannot_evict(info: Mapping[str, str]) -> str:
    """Return why nothing would be evicted at maxmemory; empty when something would."""
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return "noeviction refuses writes when it is full"
    keys, expiring = _keyspace(info)
    if policy.startswith("volatile-") and keys and not expiring:
        return f"{policy} evicts keys with a TTL only, and there are none"
    return ""


def _eviction(info: Mapping[str, str], app: str, scanned: Reply | ServerReplyError) -> Check:
    policy = info.get("maxmemory_policy", "unknown")
    evicted = f"{_number(info, 'evicted_keys'):,} evicted since its start"
    if policy == "noeviction":
        return Check("eviction", policy, "no state where keys are evicted", "ok", evicted)
    kept = _state_namespaces(app, scanned)
    if kept:
        evicted = (
            f"{' and '.join(kept)} keys live on a server that may evict them; "
            f"keep them on one with noeviction ({evicted})"
        )
    return Check(
        "eviction", policy, "no state where keys are evicted", "warn" if kept else "ok", evicted
    )


def _state_namespaces(app: str, scanned: Reply | ServerReplyError) -> list[str]:
    """Return the namespaces of state that a bounded look at the keys has met."""
    if not isinstance(scanned, list) or len(scanned) != 2 or not isinstance(scanned[1], list):
        return []
    keys = [key for key in scanned[1] if isinstance(key, bytes)]
    return [
        name
        for name in _STATE_NAMESPACES
        if any(key.startswith(f"{app}:{name}:".encode()) for key in keys)
    ]


def _persistence(info: Mapping[str, str]) -> Check:
    aof = info.get("aof_enabled") == "1"
    faults = [
        what
        for name, what in (
            ("rdb_last_bgsave_status", "the last snapshot failed"),
            ("aof_last_write_status", "the last write to the AOF failed"),
            ("aof_last_bgrewrite_status", "the last AOF rewrite failed"),
        )
        if info.get(name, "ok") != "ok"
    ]
    age = format_duration(max(time.time() - _number(info, "rdb_last_save_time"), 0))
    unsaved = _number(info, "rdb_changes_since_last_save")
    detail = "; ".join(faults) or f"{unsaved:,} changes since the last snapshot, {age} ago"
    # A cache goes on without its disk; a store whose AOF is not written refuses writes.
    broken = bool(faults) and info.get("aof_last_write_status", "ok") != "ok"
    verdict: Verdict = "ok"
    if faults:
        verdict = "fail" if broken else "warn"
    return Check("persistence", "aof" if aof else "no aof", "no failed save", verdict, detail)


def _keyspace(info: Mapping[str, str]) -> tuple[int, int]:
    """Return how many keys there are, and how many of them expire."""
    keys = expiring = 0
    for name, text in info.items():
        if name.startswith("db") and text.startswith("keys="):
            fields = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
            keys += int(fields.get("keys", 0))
            expiring += int(fields.get("expires", 0))
    return keys, expiring


def _number(info: Mapping[str, str], name: str) -> int:
    text = info.get(name, "")
    return int(text) if text.isdigit() else 0

"""What a server makes of valkey.conf: its words of refusal, its readings, its limits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from valkeyctl.render.conf import same_value

Change = Literal["live", "restart"]

# What CONFIG SET refuses ("can't set immutable config", "protected config"), found by
# trying each directive on 8.0.1, 8.1.1 and 9.1.2; tests/runtime/ tries the rendered ones.
_NAMES = """
aclfile always-show-logo aof-rewrite-cpulist appenddirname appendfilename bgsave-cpulist
bio-cpulist cluster-config-file cluster-databases cluster-enabled cluster-port daemonize databases
dbfilename dir disable-thp enable-debug-command enable-module-command enable-protected-configs
hash-seed io-threads-do-reads logfile mptcp pidfile rdbchecksum repl-mptcp replicaof server-cpulist
set-proc-title socket-mark-id supervised syslog-enabled syslog-facility syslog-ident tcp-backlog
unixsocket unixsocketgroup unixsocketperm
"""
_FIXED_AT_START = frozenset(_NAMES.split())
_LIVE_SINCE_9 = frozenset({"io-threads"})

_REFUSAL = re.compile(
    r"FATAL CONFIG FILE ERROR[^\n]*\n"
    r"(?:[^\n]*at line (?P<line>\d+)\n>>> (?P<what>[^\n]*)\n)?(?P<why>[^\n]*)"
)
# "4711:M 21 Nov 2026 07:46:55.748 # " before each line of a server's log
_STAMP = re.compile(r"^\d+:\S+ (?:\d+ \w+ \d+ [\d:.]+|\(\d+\)) [*#.-] ")
_DYING_WORDS = ("fatal", "failed", "could not", "can't", "cannot", "error", "unable", "out of")
# A warning about the kernel, and what follows the line that says why TLS cannot be had.
_NO_REASON = ("overcommit", "Failed to configure TLS")


def change_of(directive: str, version: str) -> Change:
    """Return what it takes to change *directive* on a server of *version*."""
    if directive in _LIVE_SINCE_9:
        major = version.partition(".")[0]
        return "live" if major.isdigit() and int(major) >= 9 else "restart"
    return "restart" if directive in _FIXED_AT_START else "live"


def differences(wanted: Mapping[str, str], reported: Mapping[str, str]) -> list[str]:
    """Return the directives that the server reads otherwise than they were written.

    A directive that CONFIG GET does not report is no difference.
    """
    return [
        name
        for name, value in wanted.items()
        if name in reported and not same_value(value, reported[name])
    ]


def refusal(output: str) -> str:
    """Return why a server ended, in its own words and with the line of its valkey.conf.

    Empty when *output*, its log, holds nothing that sounds like a reason.
    """
    found = _REFUSAL.search(output)
    if found:
        place = f"valkey.conf line {found['line']} >>> {found['what']} " if found["line"] else ""
        return f"{place}{found['why']}".strip()
    lines = [_STAMP.sub("", line).strip() for line in output.splitlines()]
    telling = [
        line
        for line in lines
        if any(word in line.lower() for word in _DYING_WORDS)
        and not any(word in line for word in _NO_REASON)
    ]
    return telling[-1] if telling else ""


def tail(output: str, lines: int = 20) -> tuple[str, ...]:
    """Return the last *lines* lines of *output* that say something."""
    return tuple(line for line in output.splitlines() if line.strip())[-lines:]


def readings(answers: Sequence[str]) -> dict[str, str]:
    """Return name to value from the flat list that CONFIG GET answers."""
    return dict(zip(answers[::2], answers[1::2], strict=False))

"""The directives of valkey.conf."""

from __future__ import annotations

import pytest

from valkeyctl.profile import Profile
from valkeyctl.render import CONF, render
from valkeyctl.render.conf import same_value

ALWAYS = {
    *("bind", "port", "protected-mode", "dir", "databases", "maxclients", "timeout"),
    *("tcp-backlog", "tcp-keepalive", "io-threads", "shutdown-timeout"),
    *("maxmemory", "maxmemory-clients", "maxmemory-policy", "repl-backlog-size"),
    *("client-output-buffer-limit", "save", "appendonly", "appendfsync"),
    *("enable-debug-command", "enable-module-command", "enable-protected-configs"),
    *("lazyfree-lazy-eviction", "lazyfree-lazy-expire", "lazyfree-lazy-server-del"),
    *("lazyfree-lazy-user-del", "lazyfree-lazy-user-flush"),
    *("latency-monitor-threshold", "slowlog-log-slower-than", "slowlog-max-len"),
}


def directives(**fields: object) -> dict[str, str]:
    """Return what a profile with these fields renders."""
    return dict(render(Profile.model_validate({"name": "x", **fields})).directives)


def test_what_decides_safety_is_always_said() -> None:
    """Nothing rests on a default that differs between builds and versions."""
    found = directives()

    assert found.keys() >= ALWAYS
    assert list(found) == sorted(found)


def test_the_text_has_each_directive_once_and_says_where_it_is_from() -> None:
    """The file and `Artefacts.directives` are the same thing."""
    artefacts = render(Profile(name="x"))
    lines = artefacts.files[CONF].splitlines()

    written = [line.split(" ", 1) for line in lines if line and not line.startswith("#")]

    assert "rendered by valkeyctl from profile x;" in lines[0]
    assert {name: value.strip('"') for name, value in written} == artefacts.directives
    assert len(written) == len(artefacts.directives)
    assert all(f"#   {line}" in lines for line in artefacts.budget.lines())


@pytest.mark.parametrize(
    ("mode", "save", "appendonly"),
    [
        ("none", "", "no"),
        ("rdb", "3600 1 300 100 60 10000", "no"),
        ("aof", "", "yes"),
        ("rdb+aof", "3600 1 300 100 60 10000", "yes"),
    ],
)
def test_persistence_is_said_in_both_directives(mode: str, save: str, appendonly: str) -> None:
    """`none` must say so: the server's own default takes snapshots."""
    found = directives(persistence=mode)

    assert (found["save"], found["appendonly"]) == (save, appendonly)


@pytest.mark.parametrize(
    ("grace", "wait"), [("60s", "10"), ("12s", "6"), ("3s", "1"), ("1s", "0"), ("200ms", "0")]
)
def test_the_server_waits_less_than_it_is_given(grace: str, wait: str) -> None:
    """There is time left to save after the wait for replicas."""
    assert directives(stop={"grace": grace})["shutdown-timeout"] == wait


@pytest.mark.parametrize(
    ("written", "rendered"),
    [("0", "0"), ("1ms", "1"), ("499ms", "1"), ("1.4s", "1"), ("1.6s", "2"), ("5m", "300")],
)
def test_a_short_time_does_not_become_never(written: str, rendered: str) -> None:
    """0 means off to the server; only a written 0 is one."""
    assert directives(tuning={"timeout": written})["timeout"] == rendered
    assert directives(tuning={"tcp_keepalive": written})["tcp-keepalive"] == rendered


def test_times_are_in_the_units_of_the_server() -> None:
    """Milliseconds for the latency monitor, microseconds for the slow log."""
    found = directives(tuning={"latency_monitor": "0.25s", "slowlog_threshold": "3ms"})

    assert found["latency-monitor-threshold"] == "250"
    assert found["slowlog-log-slower-than"] == "3000"


@pytest.mark.parametrize(("eviction", "stops"), [("allkeys-lfu", "no"), ("noeviction", "yes")])
def test_a_cache_goes_on_when_a_snapshot_fails(eviction: str, stops: str) -> None:
    """A full disk stops a store, which would lose data, and no cache."""
    assert directives(eviction=eviction)["stop-writes-on-bgsave-error"] == stops


@pytest.mark.parametrize(
    ("rendered", "reported", "same"),
    [
        ("normal 0 0 0 replica 1 2 3", "normal 0 0 0 slave 1 2 3", True),
        ("3600 1 300 100", "3600 1 300 100", True),
        ("", "", True),
        ("yes", "no", False),
        ("", "3600 1", False),
    ],
)
def test_the_answer_of_config_get_is_compared_word_by_word(
    rendered: str, reported: str, same: bool
) -> None:
    """The server's old word for replica is no difference."""
    assert same_value(rendered, reported) is same

"""Health: each check with a server that passes it and one that does not."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import command, free_port
from tests.ops.conftest import Start, fact
from tests.runtime.test_ready import answering
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import AuthError, DeadlineError, UnreachableError
from valkeyctl.ops.health import Check, HealthReport, Thresholds, probe


def named(report: HealthReport, name: str) -> Check:
    """Return one check of *report*."""
    return next(check for check in report.checks if check.name == name)


def fill(endpoint: Endpoint, size: int) -> None:
    """Store *size* bytes, in values of 64 KiB."""
    with Wire(endpoint) as wire:
        wire.pipeline([("SET", f"fill:{i}", b"x" * 65_536) for i in range(size // 65_536)])


def test_a_good_server_passes_every_check(start: Start) -> None:
    """All that the command line promises is looked at, and nothing is left behind."""
    endpoint = start("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru")

    report = probe(endpoint, app="t")

    names = [check.name for check in report.checks]
    assert names == [
        "ping",
        "write_read",
        "role",
        "replication",
        "memory",
        "eviction",
        "persistence",
    ]
    assert [check.name for check in report.checks if check.verdict != "ok"] == []
    assert report.healthy
    assert all(check.value and check.threshold for check in report.checks)
    assert 0 < report.elapsed_ms < 2000
    assert command(endpoint, "DBSIZE") == b":0\r\n"


def test_nothing_there_is_unreachable() -> None:
    """A closed port is no failed check but no server."""
    with pytest.raises(UnreachableError, match="cannot connect"):
        probe(Endpoint(port=free_port()))


def test_a_frozen_server_is_given_up_at_the_deadline(start: Start) -> None:
    """The kernel still accepts the connection."""
    endpoint = start()
    os.kill(int(fact(endpoint, "process_id")), signal.SIGSTOP)
    began = time.monotonic()

    with pytest.raises(DeadlineError):
        probe(endpoint, deadline=0.2)

    assert time.monotonic() - began < 0.5


def test_a_deadline_is_for_the_whole_probe(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many answers, each in time, can be too late together."""
    call = Wire.call

    def slow(self: Wire, *words: str) -> object:
        time.sleep(0.06)  # a slow network; there is no clock to move in it
        return call(self, *words)

    monkeypatch.setattr(Wire, "call", slow)

    # On a busy machine the last of them gets the little that is left, and not even that.
    with pytest.raises(DeadlineError, match=r"too slowly for the deadline|no answer from"):
        probe(endpoint, deadline=0.15)


def test_a_server_that_freezes_on_the_way_gets_the_rest_of_the_deadline(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What went before counts: one deadline, not one for each call."""
    endpoint = start()
    process_id = int(fact(endpoint, "process_id"))
    call = Wire.call

    def freezing(self: Wire, *words: str) -> object:
        answer = call(self, *words)
        time.sleep(0.2)  # some of the deadline is used up, and then nothing answers
        os.kill(process_id, signal.SIGSTOP)
        return answer

    monkeypatch.setattr(Wire, "call", freezing)
    began = time.monotonic()

    with pytest.raises(DeadlineError):
        probe(endpoint, deadline=0.5)

    assert time.monotonic() - began < 0.65


def test_a_wrong_password_is_refused(start: Start) -> None:
    """Neither none nor a wrong one gets in, and the password is not repeated."""
    endpoint = start("--requirepass", "right")

    with pytest.raises(AuthError, match="NOAUTH"):
        probe(endpoint)
    with pytest.raises(AuthError, match="WRONGPASS") as caught:
        probe(endpoint.with_password("wr0ng"))

    assert "wr0ng" not in str(caught.value)
    assert probe(endpoint.with_password("right")).healthy


def test_a_loading_server_cannot_take_traffic() -> None:
    """It answers, and not to PING."""
    with answering(b"-LOADING server is loading the dataset in memory\r\n") as endpoint:
        report = probe(endpoint)

    assert not report.healthy
    assert (report.checks[0].name, report.checks[0].value) == ("ping", "LOADING")


def test_a_slow_ping_is_judged_by_the_thresholds(endpoint: Endpoint) -> None:
    """The same server warns or fails by what is asked of it."""
    warned = probe(endpoint, thresholds=Thresholds(ping_warn_ms=0.0))
    failed = probe(endpoint, thresholds=Thresholds(ping_warn_ms=0.0, ping_fail_ms=0.0))

    assert (named(warned, "ping").verdict, warned.healthy) == ("warn", True)
    assert (named(failed, "ping").verdict, failed.healthy) == ("fail", False)


def test_a_full_cache_is_normal(start: Start) -> None:
    """A cache that evicts is meant to be full."""
    endpoint = start("--maxmemory", "4mb", "--maxmemory-policy", "allkeys-lru")
    fill(endpoint, 8 * 2**20)

    report = probe(endpoint)

    assert named(report, "memory").verdict == "ok"
    assert " evicted since" in named(report, "eviction").detail
    assert not named(report, "eviction").detail.startswith("0 ")


def test_a_store_that_fills_up_warns_and_then_fails(start: Start) -> None:
    """With noeviction the end of the memory is the end of writing."""
    endpoint = start("--maxmemory", "8mb", "--maxmemory-policy", "noeviction")
    fill(endpoint, 11 * 2**19)
    used = int(fact(endpoint, "used_memory"))
    command(endpoint, "CONFIG", "SET", "maxmemory", str(int(used / 0.9)))

    nearly = named(probe(endpoint), "memory")
    command(endpoint, "CONFIG", "SET", "maxmemory", str(used // 2))
    full = probe(endpoint)

    assert (nearly.verdict, "noeviction" in nearly.detail) == ("warn", True)
    assert named(full, "memory").verdict == "fail"
    assert (named(full, "write_read").value, named(full, "write_read").verdict) == ("OOM", "fail")
    assert not full.healthy


def test_volatile_without_ttls_counts_as_noeviction(start: Start) -> None:
    """Nothing has a TTL, so nothing can be evicted."""
    endpoint = start("--maxmemory-policy", "volatile-lru")
    fill(endpoint, 2**20)
    used = int(fact(endpoint, "used_memory"))
    command(endpoint, "CONFIG", "SET", "maxmemory", str(int(used / 0.9)))

    check = named(probe(endpoint), "memory")

    assert check.verdict == "warn"
    assert "there are none" in check.detail


def test_no_bound_on_memory_is_a_warning(endpoint: Endpoint) -> None:
    """Without maxmemory the kernel is the one that says when it is enough."""
    assert named(probe(endpoint), "memory").verdict == "warn"


@pytest.mark.parametrize(
    ("policy", "key", "verdict"),
    [
        ("allkeys-lru", "t:session:1", "warn"),
        ("allkeys-lru", "t:ratelimit:1", "warn"),
        ("noeviction", "t:session:1", "ok"),
        ("allkeys-lru", "other:session:1", "ok"),
        ("allkeys-lru", "t:response:1", "ok"),
    ],
)
def test_state_on_a_server_that_evicts_is_a_warning(
    start: Start, policy: str, key: str, verdict: str
) -> None:
    """Sessions and limits must not live where they may be evicted."""
    endpoint = start("--maxmemory", "64mb", "--maxmemory-policy", policy)
    command(endpoint, "SET", key, "x")

    assert named(probe(endpoint, app="t"), "eviction").verdict == verdict


def test_a_replica_says_that_it_takes_no_writes(start: Start) -> None:
    """That is what it is there for, so it is healthy, with warnings."""
    primary = start("--repl-diskless-sync-delay", "0")
    replica = start("--replicaof", "127.0.0.1", str(primary.port))
    until = time.monotonic() + 10
    while b"master_link_status:up" not in command(replica, "INFO", "replication"):
        assert time.monotonic() < until
        time.sleep(0.02)

    report = probe(replica)

    assert report.healthy
    assert (named(report, "role").value, named(report, "role").verdict) == ("replica", "warn")
    assert (named(report, "write_read").value, report.healthy) == ("READONLY", True)
    assert named(report, "replication").value == "link up"
    assert named(probe(primary), "replication").value == "1 replicas"


def test_a_replica_without_its_primary_fails(start: Start) -> None:
    """What it serves grows old."""
    replica = start("--replicaof", "127.0.0.1", str(free_port()))

    report = probe(replica)

    assert (named(report, "replication").value, report.healthy) == ("link down", False)


def test_a_failed_snapshot_is_a_warning(start: Start, tmp_path: Path) -> None:
    """The cache serves on, and would come back empty."""
    endpoint = start("--stop-writes-on-bgsave-error", "no")
    shutil.rmtree(tmp_path / "server-0")
    command(endpoint, "BGSAVE")
    until = time.monotonic() + 5
    while fact(endpoint, "rdb_last_bgsave_status") == "ok":
        assert time.monotonic() < until
        time.sleep(0.02)

    report = probe(endpoint)

    assert named(report, "persistence").verdict == "warn"
    assert "the last snapshot failed" in named(report, "persistence").detail
    assert report.healthy

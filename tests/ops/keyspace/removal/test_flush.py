"""A flush empties its namespace, tells exactly how much, and touches nothing else."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import free_port, start_server
from tests.ops.keyspace.scripted import page, scripted_server
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.keys import SHARDS, KeyScheme
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import PartialError, ServerReplyError, UnreachableError
from valkeyctl.ops.keyspace.pace import Pace
from valkeyctl.ops.keyspace.removal.flush import FlushProgress, flush
from valkeyctl.ops.keyspace.removal.flushplan import plan_flush
from valkeyctl.ops.keyspace.removal.selection import Selection

FAST = Pace(duty=1.0)
SPACE = Selection("a", namespace="n")
NEIGHBOURS = [
    "a:nn:1",
    "aa:n:1",
    "b:n:1",
    "a:n",
    "A:n:1",
    "xa:n:1",
    "a:~tag:n",
    "a:~version:nn",
    "n:a:1",
]


def test_a_flush_deletes_the_namespace_alone(endpoint: Endpoint, wire: Wire) -> None:
    """Every key of it, binary ones too; no neighbour, however alike its name."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(20_000))
    wire.call("SET", b"a:n:\xff\n*", "v")
    wire.call("SET", "a:n:", "v")
    wire.call("HSET", "a:n:hash", "field", "v")
    wire.pipeline(("SET", name, "v") for name in NEIGHBOURS)

    report = flush(endpoint, SPACE, pace=FAST)

    assert (report.app, report.namespace, report.invalidated) == ("a", "n", True)
    assert report.deleted == 20_003
    assert wire.call("DBSIZE") == len(NEIGHBOURS)
    assert 0 < report.longest_command_ms < report.seconds * 1000


def test_leases_go_with_the_namespace_uncounted(endpoint: Endpoint, wire: Wire) -> None:
    """Nobody shall wait for a load that can no longer be stored; neighbours' leases stay."""
    wire.pipeline(("SET", name, "v") for name in ("a:n:1", "a:~load:n:1", "a:~load:n:2"))
    kept = ["a:~load:m:1", "a:~load:nn:1", "b:~load:n:1", "a:~load:m:n:1"]
    wire.pipeline(("SET", name, "v") for name in kept)

    report = flush(endpoint, SPACE, pace=FAST)

    assert report.deleted == 1
    assert wire.call("DBSIZE") == wire.call("EXISTS", *kept) == len(kept)


@pytest.mark.parametrize("space", ["n-n", "a-bcdefgh", "load", "a_b-c-d-e-f"])
def test_no_name_of_a_namespace_hides_its_leases(
    endpoint: Endpoint, wire: Wire, space: str
) -> None:
    """The server filters by one glob for entries and leases, and names may have hyphens."""
    wire.pipeline(("SET", name, "v") for name in (f"a:{space}:1", f"a:~load:{space}:1"))

    report = flush(endpoint, Selection("a", namespace=space), pace=FAST)

    assert (report.deleted, wire.call("DBSIZE")) == (1, 0)


def test_a_delete_without_a_count_is_no_success() -> None:
    """What answers as no Valkey does has perhaps deleted nothing."""
    answers = {
        b"SCAN": [page(0), page(0, "a:1")],
        b"UNLINK": [b":0\r\n", b"+OK\r\n"],
        b"DBSIZE": [b":1\r\n"],
        b"HELLO": [b"*0\r\n"],
    }
    with scripted_server(answers) as server, pytest.raises(PartialError, match="is no count"):
        flush(server, Selection("a", pattern=b"a:*"), pace=FAST)


def test_a_cluster_of_one_node_is_flushed(tmp_path: Path) -> None:
    """It holds all the keys, but takes no command that names two slots."""
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    process, node = start_server(tmp_path, *options)
    try:
        with Wire(node) as wire:
            wire.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while b"cluster_state:ok" not in bytes(str(wire.call("CLUSTER", "INFO")), "ascii"):
                time.sleep(0.01)  # nothing announces it
            scheme = KeyScheme("a", shards=SHARDS)
            places = [scheme.place("n", str(number)) for number in range(500)]
            for place in places:
                wire.pipeline(("SET", key, "v") for key in (place.key, place.version))
            wire.call("SET", "a:m:1", "v")

            report = flush(node, SPACE, pace=FAST)

            assert report.deleted == 500
            assert wire.call("DBSIZE") == 1
    finally:
        process.terminate()
        process.wait(timeout=10)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    keys=st.sets(
        st.tuples(
            st.sampled_from([b"a:n:", b"a:n", b"a:", b"a:m:", b"b:n:", b"", b"a:n*:", b"a:[n]:"]),
            st.binary(min_size=1, max_size=5),
        ).map(b"".join),
        max_size=40,
    )
)
def test_the_plan_is_what_the_flush_deletes(endpoint: Endpoint, keys: set[bytes]) -> None:
    """For any keys: exactly those that begin with the prefix, counted exactly."""
    mine = {key for key in keys if key.startswith(b"a:n:")}
    with Wire(endpoint) as wire:
        wire.call("FLUSHALL")
        wire.pipeline(("SET", key, "v") for key in keys)

        plan = plan_flush(endpoint, SPACE)
        report = flush(endpoint, SPACE, pace=FAST)

        assert plan.keys == report.deleted == len(mine)
        assert all(wire.call("EXISTS", key) == 1 for key in keys - mine)


async def test_readers_miss_from_the_first_moment(client: ValkeyClient, endpoint: Endpoint) -> None:
    """When the first step reports, every entry is invalid, deleted or not."""
    cache = CacheService(client, app="a", budget=5.0)
    await cache.set_many("n", {str(number): "v" for number in range(2_000)}, ttl=300)
    await cache.set("m", "kept", "v", ttl=300)
    at_first_step: list[int] = []

    def count_valid(progress: FlushProgress) -> None:
        with Wire(endpoint) as wire:
            at_first_step.append(int(str(wire.call("EXISTS", "a:~version:n"))))

    report = flush(endpoint, SPACE, pace=Pace(largest=100), progress=count_valid)

    assert report.deleted == 2_000
    assert set(at_first_step) == {0}
    assert await cache.get("n", "1") is None
    assert await cache.get("m", "kept") == "v"


def test_progress_rises_to_the_end(endpoint: Endpoint, wire: Wire) -> None:
    """Fraction and count never fall, and end at the whole."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(10_000))
    steps: list[FlushProgress] = []

    flush(endpoint, SPACE, pace=FAST, progress=steps.append)

    values = [(step.visited, step.deleted, step.seconds) for step in steps]
    assert values == sorted(values)
    assert values[-1][:2] == (1.0, 10_000)


def test_an_interrupted_flush_says_what_is_done_and_can_go_on(
    endpoint: Endpoint, wire: Wire
) -> None:
    """Ctrl-C leaves an invalid namespace, a number, and a command that finishes."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(20_000))

    def interrupt(progress: FlushProgress) -> None:
        if progress.visited > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(PartialError) as caught:
        flush(endpoint, SPACE, pace=FAST, progress=interrupt)
    left = int(str(wire.call("DBSIZE")))
    report = flush(endpoint, SPACE, pace=FAST)

    assert f"and {20_000 - left:,} keys are deleted" in str(caught.value)
    assert str(caught.value.hint).endswith("valkeyctl keys flush n --app a --yes")
    assert 0 < left < 20_000
    assert report.deleted == left
    assert wire.call("DBSIZE") == 0


def test_a_signal_in_mid_step_is_an_interrupt(endpoint: Endpoint, wire: Wire) -> None:
    """A real Ctrl-C, wherever it strikes, ends in the same sentence."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(5_000))
    main = threading.main_thread().ident or 0
    timer = threading.Timer(0.05, signal.pthread_kill, [main, signal.SIGINT])
    begun: list[FlushProgress] = []

    def begin(progress: FlushProgress) -> None:
        if not begun:
            timer.start()
        begun.append(progress)

    with pytest.raises(PartialError, match="interrupted"):
        flush(endpoint, SPACE, pace=Pace(duty=0.0005, largest=20), progress=begin)

    timer.join()


def test_a_server_that_goes_away_leaves_a_part(tmp_path: Path) -> None:
    """It is no success and no mere failure: some is deleted, and it says how much."""
    process, endpoint = start_server(tmp_path)

    def kill(progress: FlushProgress) -> None:
        if progress.visited < 0.9:
            process.kill()
            process.wait()

    try:
        with Wire(endpoint) as wire:
            wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(20_000))

        with pytest.raises(PartialError, match=endpoint.address):
            flush(endpoint, SPACE, pace=FAST, progress=kill)
    finally:
        process.kill()
        process.wait()


def test_a_server_that_is_not_there_leaves_no_part() -> None:
    """Nothing was done, so nothing is called partly done."""
    with pytest.raises(UnreachableError):
        flush(Endpoint(port=1), SPACE)


def test_a_replica_refuses_before_anything_is_done(endpoint: Endpoint, wire: Wire) -> None:
    """A server that takes no writes gives its own sentence, not a part."""
    wire.call("SET", "a:n:1", "v")
    wire.call("REPLICAOF", "127.0.0.1", 1)
    try:
        with pytest.raises(ServerReplyError, match="READONLY"):
            flush(endpoint, SPACE)
    finally:
        wire.call("REPLICAOF", "NO", "ONE")

    assert wire.call("EXISTS", "a:n:1") == 1

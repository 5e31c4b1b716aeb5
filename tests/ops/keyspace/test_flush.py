"""A flush empties its namespace, tells exactly how much, and touches nothing else."""

from __future__ import annotations

import re
import signal
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import free_port, start_server
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.caching.keys import SHARDS, KeyScheme
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import InvalidKeyError, PartialError, ServerReplyError, UnreachableError
from valkeyctl.ops.keyspace.flush import FlushProgress, flush, plan_flush
from valkeyctl.ops.keyspace.scan import Pace

FAST = Pace(duty=1.0)
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


def test_a_plan_counts_and_changes_nothing(endpoint: Endpoint, wire: Wire) -> None:
    """Exact number, five samples, an estimate of bytes, and every key still there."""
    wire.pipeline(("SET", f"a:n:{number}", "v" * 100) for number in range(3_000))
    wire.pipeline(("SET", name, "v") for name in NEIGHBOURS)
    truth = 3_000 * int(str(wire.call("MEMORY", "USAGE", "a:n:1000")))

    plan = plan_flush(endpoint, "a", "n")

    assert (plan.keys, len(plan.sample)) == (3_000, 5)
    assert all(name.startswith("a:n:") for name in plan.sample)
    assert plan.memory_bytes == pytest.approx(truth, rel=0.05)
    assert wire.call("DBSIZE") == 3_000 + len(NEIGHBOURS)


def test_a_plan_of_nothing_is_empty(endpoint: Endpoint) -> None:
    """A namespace without keys has nothing to flush."""
    plan = plan_flush(endpoint, "a", "n")

    assert (plan.keys, plan.sample, plan.memory_bytes) == (0, (), 0)


def test_a_plan_shows_hostile_keys_safely(endpoint: Endpoint, wire: Wire) -> None:
    """The sample goes to a terminal, before a question about deleting."""
    wire.call("SET", b"a:n:\x1b[2J\n", "v")

    assert plan_flush(endpoint, "a", "n").sample == ("a:n:\\x1b[2J\\x0a",)


def test_a_flush_deletes_the_namespace_alone(endpoint: Endpoint, wire: Wire) -> None:
    """Every key of it, binary ones too; no neighbour, however alike its name."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(20_000))
    wire.call("SET", b"a:n:\xff\n*", "v")
    wire.call("SET", "a:n:", "v")
    wire.call("HSET", "a:n:hash", "field", "v")
    wire.pipeline(("SET", name, "v") for name in NEIGHBOURS)

    report = flush(endpoint, "a", "n", pace=FAST)

    assert (report.app, report.namespace, report.invalidated) == ("a", "n", True)
    assert report.deleted == 20_003
    assert wire.call("DBSIZE") == len(NEIGHBOURS)
    assert 0 < report.longest_command_ms < report.seconds * 1000


def test_leases_go_with_the_namespace_uncounted(endpoint: Endpoint, wire: Wire) -> None:
    """Nobody shall wait for a load that can no longer be stored; neighbours' leases stay."""
    wire.pipeline(("SET", name, "v") for name in ("a:n:1", "a:~load:n:1", "a:~load:n:2"))
    kept = ["a:~load:m:1", "a:~load:nn:1", "b:~load:n:1", "a:~load:m:n:1"]
    wire.pipeline(("SET", name, "v") for name in kept)

    report = flush(endpoint, "a", "n", pace=FAST)

    assert report.deleted == 1
    assert wire.call("DBSIZE") == wire.call("EXISTS", *kept) == len(kept)


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

            report = flush(node, "a", "n", pace=FAST)

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

        plan = plan_flush(endpoint, "a", "n")
        report = flush(endpoint, "a", "n", pace=FAST)

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

    report = flush(endpoint, "a", "n", pace=Pace(largest=100), progress=count_valid)

    assert report.deleted == 2_000
    assert set(at_first_step) == {0}
    assert await cache.get("n", "1") is None
    assert await cache.get("m", "kept") == "v"


def test_progress_rises_to_the_end(endpoint: Endpoint, wire: Wire) -> None:
    """Fraction and count never fall, and end at the whole."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(10_000))
    steps: list[FlushProgress] = []

    flush(endpoint, "a", "n", pace=FAST, progress=steps.append)

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
        flush(endpoint, "a", "n", pace=FAST, progress=interrupt)
    left = int(str(wire.call("DBSIZE")))
    report = flush(endpoint, "a", "n", pace=FAST)

    assert "interrupted" in str(caught.value)
    said = re.search(r"at least (\d+) keys", str(caught.value))
    assert said is not None
    assert 20_000 - left - 1_100 <= int(said[1]) <= 20_000 - left
    assert str(caught.value.hint).endswith("valkeyctl keys flush n --app a --yes")
    assert 0 < left < 20_000
    assert report.deleted == left
    assert wire.call("DBSIZE") == 0


def test_a_signal_in_mid_step_is_an_interrupt(endpoint: Endpoint, wire: Wire) -> None:
    """A real Ctrl-C, wherever it strikes, ends in the same sentence."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(5_000))
    main = threading.main_thread().ident or 0
    timer = threading.Timer(0.1, signal.pthread_kill, [main, signal.SIGINT])
    timer.start()

    with pytest.raises(PartialError, match="interrupted"):
        flush(endpoint, "a", "n", pace=Pace(duty=0.001, largest=100))

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
            flush(endpoint, "a", "n", pace=FAST, progress=kill)
    finally:
        process.kill()
        process.wait()


def test_a_server_that_is_not_there_leaves_no_part() -> None:
    """Nothing was done, so nothing is called partly done."""
    with pytest.raises(UnreachableError):
        flush(Endpoint(port=1), "a", "n")


def test_a_replica_refuses_before_anything_is_done(endpoint: Endpoint, wire: Wire) -> None:
    """A server that takes no writes gives its own sentence, not a part."""
    wire.call("SET", "a:n:1", "v")
    wire.call("REPLICAOF", "127.0.0.1", 1)
    try:
        with pytest.raises(ServerReplyError, match="READONLY"):
            flush(endpoint, "a", "n")
    finally:
        wire.call("REPLICAOF", "NO", "ONE")

    assert wire.call("EXISTS", "a:n:1") == 1


@pytest.mark.parametrize(
    ("app", "namespace"), [("a", "*"), ("a", ""), ("", "n"), ("*", "n"), ("a", "n:"), ("a", "N")]
)
def test_a_name_that_could_reach_further_is_refused(
    endpoint: Endpoint, wire: Wire, app: str, namespace: str
) -> None:
    """Before anything is asked of the server."""
    wire.call("SET", "a:n:1", "v")

    for verb in (plan_flush, flush):
        with pytest.raises(InvalidKeyError):
            verb(endpoint, app, namespace)

    assert wire.call("DBSIZE") == 1


def test_a_gentle_flush_leaves_room_for_others(endpoint: Endpoint, wire: Wire) -> None:
    """A client that reads all the while hardly waits, and the steps are short."""
    wire.pipeline(("SET", f"a:n:{number}", "v" * 100) for number in range(50_000))
    waits: list[float] = []
    done = threading.Event()

    def read() -> None:
        with Wire(endpoint) as reader:
            while not done.is_set():
                began = time.perf_counter()
                reader.call("GET", "b:n:1")
                waits.append(time.perf_counter() - began)

    thread = threading.Thread(target=read)
    thread.start()
    report = flush(endpoint, "a", "n")
    done.set()
    thread.join()

    assert report.deleted == 50_000
    # The bound is loose, for the machine is shared; KEYS or one script would take ten times it.
    assert sorted(waits)[int(len(waits) * 0.95)] < 0.01

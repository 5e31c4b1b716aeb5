"""A sample of a keyspace: close to the truth, and honest about how close."""

from __future__ import annotations

import random

import pytest

from tests.ops.keyspace.scripted import bulk, page, scripted_server
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.keyspace import sample as sample_module
from valkeyctl.ops.keyspace import stats as stats_module
from valkeyctl.ops.keyspace.census import KeyspaceStats
from valkeyctl.ops.keyspace.sample import Ratio, Runs
from valkeyctl.ops.keyspace.stats import stats

KEYS = 20_000


@pytest.fixture(autouse=True)
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of a quarter of the usual size, from keyspaces that take no time to write."""
    monkeypatch.setattr(sample_module, "_RUNS", 200)
    monkeypatch.setattr(stats_module, "SAMPLED_KEYS", 10_000)


@pytest.fixture
def truth(endpoint: Endpoint, wire: Wire) -> KeyspaceStats:
    """A keyspace of three uneven namespaces and some strangers, counted exactly."""
    rng = random.Random(7)
    names = ["a:big:", "a:middle:", "a:small:", "b:n:"]
    wire.pipeline(
        ("SET", f"{prefix}{number}", "v" * int(rng.expovariate(0.01)), "PX", 3_600_000)
        for number, prefix in enumerate(rng.choices(names, [60, 25, 10, 5], k=KEYS))
    )
    wire.pipeline(("PERSIST", f"a:big:{number}") for number in range(0, KEYS, 2))
    return stats(endpoint, "a", method="exact")


def test_a_sample_is_close_to_the_truth(endpoint: Endpoint, truth: KeyspaceStats) -> None:
    """Every namespace within its bounds, the number of all keys exact, half of them asked."""
    found = stats(endpoint, "a", method="sample", rng=random.Random(1))

    assert found.method == "sample"
    assert [one.name for one in found.namespaces] == [one.name for one in truth.namespaces]
    for one, exact in zip(
        (*found.namespaces, *found.foreign), (*truth.namespaces, *truth.foreign), strict=True
    ):
        assert one.keys == pytest.approx(exact.keys, rel=0.35)
        assert one.memory_bytes == pytest.approx(exact.memory_bytes, rel=0.35)
        assert one.without_expiry == pytest.approx(exact.without_expiry, rel=0.35)
        assert one.ttl_s is not None
        assert exact.ttl_s is not None
        assert one.ttl_s.p50 == pytest.approx(exact.ttl_s.p50, rel=0.05)
    assert found.total.keys == KEYS
    assert found.total.ci95 is not None
    assert found.total.ci95.keys == (KEYS, KEYS)
    assert 10_000 <= found.asked <= 12_000


def test_intervals_hold_the_truth(endpoint: Endpoint, truth: KeyspaceStats) -> None:
    """Of many intervals about 95 in 100 hold what was counted, and none is wide."""
    exact = {one.name: one for one in truth.namespaces}
    held = []

    for seed in range(8):
        for one in stats(endpoint, "a", method="sample", rng=random.Random(seed)).namespaces:
            assert one.ci95 is not None
            for (low, high), true in (
                (one.ci95.keys, exact[one.name].keys),
                (one.ci95.memory_bytes, exact[one.name].memory_bytes),
                (one.ci95.without_expiry, exact[one.name].without_expiry),
            ):
                held.append(low <= true <= high)
                assert high - low <= 0.25 * true

    # 72 intervals, of which 24 are of zero keys without expiry and always hold.
    assert sum(held) >= 0.85 * len(held)


def test_intervals_of_runs_hold_the_truth() -> None:
    """Over 400 samples of uneven runs the coverage is within a few points of 95 %."""
    rng = random.Random(3)
    held = 0
    for _ in range(400):
        runs, ratio = Runs(), Ratio()
        for _ in range(200):
            size = rng.randint(40, 60)
            # Half of the runs lie where the group is twice as dense: a cluster effect.
            density = rng.choice([0.1, 0.2])
            runs.add(size)
            ratio.add(sum(rng.random() < density for _ in range(size)), size)
        _, (low, high) = ratio.estimate(runs, 1_000_000)
        held += low <= 150_000 <= high

    assert 0.92 <= held / 400 <= 0.98


def test_one_seed_draws_one_sample(endpoint: Endpoint, truth: KeyspaceStats) -> None:
    """A report on a keyspace that holds still can be had again; another seed gives another."""
    first, again, other = (
        stats(endpoint, "a", method="sample", rng=random.Random(seed)).namespaces
        for seed in (1, 1, 2)
    )

    assert [one.ci95 for one in first] == [one.ci95 for one in again]
    assert [one.keys for one in first] != [one.keys for one in other]


def test_many_keys_are_sampled_unless_asked_otherwise(
    endpoint: Endpoint, truth: KeyspaceStats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the bound a sample is the default."""
    assert stats(endpoint, "a").method == "exact"
    monkeypatch.setattr(stats_module, "SAMPLE_ABOVE", KEYS - 1)

    assert stats(endpoint, "a").method == "sample"
    assert stats(endpoint, "a", method="exact").method == "exact"


def test_a_keyspace_of_expired_keys_is_counted_instead() -> None:
    """When the places drawn hold no living key, the answer is a count, not a guess."""
    answers = {
        b"DBSIZE": [b":5000000\r\n"],
        b"SCAN": [*[page(1)] * 200, page(0, "a:n:1")],
        b"MEMORY": [b":50\r\n"],
        b"PTTL": [b":-1\r\n"],
    }

    with scripted_server(answers) as endpoint:
        found = stats(endpoint, "a")

    assert (found.method, found.total.keys) == ("exact", 1)


def test_a_cluster_node_is_counted_instead() -> None:
    """Its tables, one per slot, are of different sizes: a random cursor would be no fair draw."""
    info = "cluster_size:1\r\n"
    answers = {
        b"HELLO": [bulk("mode", "cluster")],
        b"CLUSTER": [f"${len(info)}\r\n{info}\r\n".encode()],
        b"DBSIZE": [b":5000000\r\n"],
        b"SCAN": [page(0, "a:n:1")],
        b"MEMORY": [b":50\r\n"],
        b"PTTL": [b":-1\r\n"],
    }

    with scripted_server(answers) as endpoint:
        assert stats(endpoint, "a", method="sample").method == "exact"

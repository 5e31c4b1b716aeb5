"""A sample of a keyspace: close to the truth, and honest about how close."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.caching.deployments import ClusterDeployment
from tests.conftest import command, free_port, start_server
from tests.ops.keyspace.scripted import page, scripted_server
from valkeyctl.caching.driver.slots import slot_of
from valkeyctl.caching.keys import SHARDS, KeyScheme
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.keyspace.counting import sample as sample_module
from valkeyctl.ops.keyspace.counting import stats as stats_module
from valkeyctl.ops.keyspace.counting.census import KeyspaceStats
from valkeyctl.ops.keyspace.counting.draws import Draws
from valkeyctl.ops.keyspace.counting.stats import stats
from valkeyctl.ops.keyspace.pace import Impact, Pace
from valkeyctl.ops.keyspace.scan import Walker

KEYS = 20_000
CLUSTER_KEYS = 12_000


@pytest.fixture
def endpoint(steady_server: Endpoint) -> Endpoint:
    """That server, emptied: a seed then always draws the same keys."""
    command(steady_server, "FLUSHALL")
    return steady_server


@pytest.fixture(autouse=True)
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of keyspaces that take no time to write, a fifth of the usual size at first."""
    monkeypatch.setattr(sample_module, "_FIRST_KEYS", 3_000)
    monkeypatch.setattr(stats_module, "SAMPLED_KEYS", 6_000)


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


def held(found: KeyspaceStats, truth: KeyspaceStats) -> list[bool]:
    """Return for each interval whether it holds the truth."""
    exact = {one.name: one for one in (*truth.namespaces, *truth.foreign)}
    results = []
    for one in (*found.namespaces, *found.foreign):
        assert one.ci95 is not None
        true = exact[one.name]
        for (low, high), amount in (
            (one.ci95.keys, true.keys),
            (one.ci95.memory_bytes, true.memory_bytes),
            (one.ci95.without_expiry, true.without_expiry),
        ):
            results.append(low <= amount <= high)
    return results


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
        assert one.share == pytest.approx(exact.share, rel=0.35)
        assert one.types == {"string": one.keys}
        assert one.ttl_s is not None
        assert exact.ttl_s is not None
        assert one.ttl_s.p50 == pytest.approx(exact.ttl_s.p50, rel=0.05)
        assert one.size_bytes.p50 == pytest.approx(exact.size_bytes.p50, rel=0.25)
    assert found.total.keys == KEYS
    assert found.total.ci95 is not None
    assert found.total.ci95.keys == (KEYS, KEYS)
    assert found.asked <= KEYS / 2 + 500
    assert found.unseen_bytes == 0


def test_intervals_hold_the_truth(endpoint: Endpoint, truth: KeyspaceStats) -> None:
    """Of 120 intervals about 95 in 100 hold what was counted."""
    results = []
    for seed in range(10):
        found = stats(endpoint, "a", method="sample", rng=random.Random(seed))
        results += held(found, truth)

    assert len(results) == 120
    assert sum(results) >= 0.85 * len(results)


def test_drawing_goes_on_until_the_intervals_are_narrow(endpoint: Endpoint, wire: Wire) -> None:
    """Alike keys need few, and a namespace that is harder to judge more; both are precise."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(KEYS))
    easy = stats(endpoint, "a", method="sample", rng=random.Random(1))
    wire.pipeline(("SET", f"a:m:{number}", "v") for number in range(KEYS // 3))
    harder = stats(endpoint, "a", method="sample", rng=random.Random(1))

    assert (easy.precise, harder.precise) == (True, True)
    assert easy.asked < harder.asked
    for row in harder.namespaces:
        assert row.ci95 is not None
        low, high = row.ci95.memory_bytes
        assert (high - low) / 2 <= 0.05 * row.memory_bytes


def test_a_namespace_of_few_big_keys_is_not_called_precise(endpoint: Endpoint, wire: Wire) -> None:
    """Some were drawn, too few for 5 %: the interval is wide and the result says so."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(KEYS))
    wire.pipeline(("SET", f"a:rare:{number}", "v" * 50_000) for number in range(60))
    exact = stats(endpoint, "a", method="exact")

    (true,) = (row for row in exact.namespaces if row.name == "rare")
    within = 0
    for seed in range(10):
        found = stats(endpoint, "a", method="sample", rng=random.Random(seed))
        assert not found.precise
        (row,) = (row for row in found.namespaces if row.name == "rare")
        assert row.ci95 is not None
        low, high = row.ci95.memory_bytes
        within += low < true.memory_bytes < high
        assert high - row.memory_bytes > row.memory_bytes - low > 0.2 * row.memory_bytes
    assert within >= 8


def test_giants_that_were_not_drawn_are_missed_aloud(endpoint: Endpoint, wire: Wire) -> None:
    """The server says how much its data takes: what no key accounts for widens the intervals."""
    wire.pipeline(("SET", f"a:n:{number}", "v") for number in range(KEYS))
    wire.call("SETRANGE", "a:n:giant", 64 * 2**20, "v")
    exact = stats(endpoint, "a", method="exact")
    found = next(
        sampled
        for sampled in (
            stats(endpoint, "a", method="sample", rng=random.Random(seed)) for seed in range(50)
        )
        if sampled.biggest[0].memory_bytes < 2**20
    )

    assert not found.precise
    assert found.unseen_bytes > 32 * 2**20
    (row,) = found.namespaces
    assert row.ci95 is not None
    assert found.total.ci95 is not None
    for low, high in (row.ci95.memory_bytes, found.total.ci95.memory_bytes):
        # What the server counts is a few per cent from what the keys add up to.
        assert low < exact.total.memory_bytes < high * 1.1


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


def test_a_user_without_scripts_gets_the_same_sample(
    endpoint: Endpoint, wire: Wire, truth: KeyspaceStats
) -> None:
    """By plain commands, key for key."""
    wire.call("ACL", "SETUSER", "plain", "on", ">pw", "~*", "+@all", "-@scripting")
    user = Endpoint(port=endpoint.port, username="plain", password="pw")

    found = [stats(one, "a", method="sample", rng=random.Random(4)) for one in (endpoint, user)]

    wire.call("ACL", "DELUSER", "plain")
    assert [row.ci95 for row in found[0].namespaces] == [row.ci95 for row in found[1].namespaces]
    assert found[0].asked == found[1].asked


def test_a_gentle_sample_rests_between_runs(endpoint: Endpoint, truth: KeyspaceStats) -> None:
    """At low impact the server is left alone three times as long as it works."""
    rests: list[float] = []
    ticks = iter(range(10**6))

    with Walker(endpoint) as walker:
        draws = Draws(
            walker,
            random.Random(1),
            Pace.of(Impact.LOW),
            clock=lambda: float(next(ticks)),
            sleep=rests.append,
        )
        runs = list(draws.take(20))

    assert len(runs) == 20
    assert rests == [pytest.approx(3.0)] * 20


def test_a_keyspace_of_expired_keys_is_counted_instead() -> None:
    """When the places drawn hold no living key, the answer is a count, not a guess."""
    empty = b"*5\r\n$1\r\n0\r\n*0\r\n*0\r\n*0\r\n*0\r\n"
    key = b"*5\r\n$1\r\n0\r\n*1\r\n$5\r\na:n:1\r\n*1\r\n:50\r\n*1\r\n:-1\r\n*0\r\n"
    runs = 3_000 // 75
    answers = {
        b"DBSIZE": [b":5000000\r\n"],
        # Asked once whether scripts run, by the sample and by the count.
        b"EVAL": [empty, *[empty] * runs, empty, key],
        b"SCAN": [page(0)],
    }

    with scripted_server(answers) as endpoint:
        found = stats(endpoint, "a")

    assert found.method == "exact"
    assert found.asked > 0


@pytest.mark.parametrize(
    ("key", "slot"),
    [(b"foo", 12182), (b"{foo}x", 12182), (b"a{foo}{bar}", 12182), (b"{}foo", 9500)],
)
def test_slots_are_those_of_the_cluster(key: bytes, slot: int) -> None:
    """By CRC16 of the first hash tag that is not empty."""
    assert slot_of(key) == slot


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterDeployment]:
    """Two primaries with keys of ours in 64 slots, a namespace in all slots, one in a single."""
    folder = tmp_path_factory.mktemp("cluster")
    with ClusterDeployment(folder, primaries=2, replicas=False) as made:
        scheme = KeyScheme("shop", shards=SHARDS)
        rng = random.Random(3)
        commands: dict[bool, list[tuple[bytes, bytes, bytes]]] = {False: [], True: []}
        for number in range(CLUSTER_KEYS):
            keys = (
                scheme.place("big", str(number)).key,
                b"other:spread:%d" % number,
                b"other:tagged:{one}:%d" % number,
            )
            key = keys[(0, 0, 1, 1, 2)[number % 5]]
            value = b"v" * int(rng.lognormvariate(4, 1))
            commands[slot_of(key) >= 8192].append((b"SET", key, value))
        for high, node in enumerate(made.nodes):
            with Wire(node.endpoint) as wire:
                wire.pipeline(commands[bool(high)])
        yield made


class TestCluster:
    """Tables, one per slot, of very different sizes."""

    def test_intervals_hold_the_truth(self, cluster: ClusterDeployment) -> None:
        """Over all primaries, for keys in few slots and in many."""
        truth = stats(cluster.endpoint, method="exact")
        results = []
        for seed in range(10):
            found = stats(cluster.endpoint, method="sample", rng=random.Random(seed))
            assert found.method == "sample"
            assert found.total.keys == CLUSTER_KEYS
            results += held(found, truth)

        assert {row.name for row in truth.namespaces} == {
            "shop:big",
            "other:spread",
            "other:tagged",
        }
        assert len(results) == 90
        assert sum(results) >= 0.85 * len(results)

    def test_a_run_stays_in_its_slot(self, cluster: ClusterDeployment) -> None:
        """Also at the end of a slot's table, behind which SCAN goes on with the next slot."""
        with Walker(cluster.endpoint) as walker:
            runs = list(Draws(walker, random.Random(1), Pace()).take(500))

        assert len(runs) > 480  # but for those behind the last key of a table
        for run in runs:
            assert len({slot_of(key) for key in run.page.keys}) == 1
            assert len(run.page.keys) == len(run.page.memory) == len(run.page.pttl)
            assert run.scale == 1 / len(run.page.keys)


def test_strays_take_their_types_with_them(tmp_path: Path) -> None:
    """A hash behind the end of a slot's table does not make a string of its neighbour."""
    process, endpoint = start_server(
        tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port())
    )
    try:
        with Wire(endpoint) as wire:
            wire.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while b"cluster_state:ok" not in str(wire.call("CLUSTER", "INFO")).encode():
                pass  # it takes as long as the server wants
            for number in range(40):
                wire.call("SET", f"x:s:{number}", "v")
                wire.call("HSET", f"x:h:{number}", "f", "v")

        with Walker(endpoint) as walker:
            runs = list(Draws(walker, random.Random(1), Pace()).take(200))
    finally:
        process.terminate()
        process.wait()

    for run in runs:
        for place, key in enumerate(run.page.keys):
            assert (place in run.page.odd) == key.startswith(b"x:h:")

"""The keyspace as a tree: every key in one branch, bounded, exact or sampled."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import command, free_port, start_server
from valkeyctl.caching.keys import SHARDS, KeyScheme
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UsageError
from valkeyctl.ops.keyspace.counting import sample as sample_module
from valkeyctl.ops.keyspace.counting import tree as tree_module
from valkeyctl.ops.keyspace.counting.tree import OTHER, Branch, tree

KEYS = 20_000


def by_prefix(root: Branch) -> dict[str, int]:
    """Return the number of keys of every branch below *root*; of what is put together too."""
    found = {}
    for branch in root.branches:
        name = f"{branch.prefix}{OTHER}" if branch.name == OTHER else branch.prefix
        found[name] = branch.keys
        found |= by_prefix(branch)
    return found


def store(wire: Wire, *keys: str) -> None:
    """Write *keys*, all alike."""
    wire.pipeline(("SET", key, "v") for key in keys)


def test_keys_part_at_every_separator(endpoint: Endpoint, wire: Wire) -> None:
    """As deep as asked for; the last word of a key is no branch."""
    store(wire, "a:n:1", "a:n:2", "a:m:x:1", "b:1", "loose", "a:m:x:y:z:1")

    found = tree(endpoint, depth=3)

    assert by_prefix(found.root) == {
        "a:": 4,
        "a:n:": 2,
        "a:m:": 2,
        "a:m:x:": 2,
        "b:": 1,
    }
    assert (found.root.keys, found.method, found.asked) == (6, "exact", 6)
    assert by_prefix(tree(endpoint, depth=1).root) == {"a:": 4, "b:": 1}
    assert "a:m:x:y:z:" in by_prefix(tree(endpoint, depth=32).root)


def test_branches_say_what_they_take(endpoint: Endpoint, wire: Wire) -> None:
    """Memory, share and keys without expiry; the largest first."""
    wire.pipeline([("SET", "a:1", "v" * 9_000), ("SET", "b:1", "v" * 900, "EX", 100)])
    sizes = [wire.call("MEMORY", "USAGE", key) for key in ("a:1", "b:1")]

    found = tree(endpoint).root

    assert [branch.memory_bytes for branch in found.branches] == sizes
    assert [branch.name for branch in found.branches] == ["a:", "b:"]
    assert [branch.without_expiry for branch in found.branches] == [1, 0]
    assert sum(branch.share for branch in found.branches) == pytest.approx(1, abs=0.001)
    assert found.share == 1.0


def test_a_prefix_is_whole_words(endpoint: Endpoint, wire: Wire) -> None:
    """With or without its separator, and never a part of a longer word or a glob."""
    store(wire, "a:n:1:x", "a:n:2:x", "a:nn:1:x", "a:*:1:x")

    assert by_prefix(tree(endpoint, "a:n").root) == {"a:n:1:": 1, "a:n:2:": 1}
    assert tree(endpoint, "a:n").root == tree(endpoint, "a:n:").root
    assert tree(endpoint, "a:*").root.keys == 1
    assert tree(endpoint, "nowhere").root.keys == 0


def test_any_text_separates(endpoint: Endpoint, wire: Wire) -> None:
    """Also several characters, and such as mean something in a pattern."""
    store(wire, "a.*b.*1", "a.*c.*1", "a:b:1")

    assert by_prefix(tree(endpoint, separator=".*").root) == {"a.*": 2, "a.*b.*": 1, "a.*c.*": 1}


def test_odd_words_are_shown_and_found_again(endpoint: Endpoint, wire: Wire) -> None:
    """A prefix as it is shown is a prefix that can be asked for."""
    wire.pipeline(("SET", key, "v") for key in (b"\x1b[2J\n:\xff:1", b"::1", b"\\:1"))

    found = by_prefix(tree(endpoint).root)

    assert found == {"\\x1b[2J\\x0a:": 1, "\\x1b[2J\\x0a:\\xff:": 1, ":": 1, "::": 1, "\\\\:": 1}
    assert tree(endpoint, "\\x1b[2J\\x0a:").root.keys == 1


def test_small_branches_are_put_together(endpoint: Endpoint, wire: Wire) -> None:
    """The largest stay, and what stands for the rest comes last with their number."""
    wire.pipeline(("SET", f"a:{number:02}:x", "v" * number * 50) for number in range(30))

    (branch,) = tree(endpoint, width=5).root.branches

    assert [child.name for child in branch.branches] == ["29:", "28:", "27:", "26:", "25:", OTHER]
    other = branch.branches[-1]
    assert (other.keys, other.folded, other.ci95) == (25, 25, None)
    assert sum(child.memory_bytes for child in branch.branches) == branch.memory_bytes


def test_words_made_up_per_key_do_not_fill_the_memory(endpoint: Endpoint, wire: Wire) -> None:
    """The first few hundred are told apart, the rest is one, and no key is lost."""
    wire.pipeline(("SET", f"user:{number}:name", "v") for number in range(3_000))
    wire.pipeline(("SET", f"{'w' * 300}{number}:name:x", "v") for number in range(3))
    wire.pipeline(("SET", f"app:big:{number}", "v" * 100) for number in range(1_000))

    found = tree(endpoint, width=256).root

    user = next(branch for branch in found.branches if branch.name == "user:")
    assert user.keys == 3_000 == sum(branch.keys for branch in user.branches)
    assert len(user.branches) == 257
    (cut,) = tree(endpoint, "user", width=20, depth=1).root.branches[20:]
    assert (cut.keys, cut.folded) == (2_980, 236)
    assert by_prefix(found)["app:big:"] == 1_000
    assert found.keys == 4_003


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sets(st.text(alphabet="ab:", min_size=1, max_size=10), min_size=1, max_size=40),
    st.integers(1, 4),
)
def test_every_key_is_in_the_branches_that_it_begins_with(
    endpoint: Endpoint, keys: set[str], depth: int
) -> None:
    """Whatever the keys are."""
    with Wire(endpoint) as wire:
        wire.call("FLUSHALL")
        store(wire, *keys)
    expected: dict[str, int] = {}
    for key in keys:
        words = key.split(":")[:-1]
        for level in range(1, min(depth, len(words)) + 1):
            prefix = "".join(f"{word}:" for word in words[:level])
            expected[prefix] = expected.get(prefix, 0) + 1

    found = tree(endpoint, depth=depth, width=256)

    assert by_prefix(found.root) == expected
    assert found.root.keys == len(keys)


@pytest.fixture
def sampled(steady_server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """A keyspace that is sampled, of two applications and a rare namespace."""
    command(steady_server, "FLUSHALL")
    monkeypatch.setattr(sample_module, "_FIRST_KEYS", 3_000)
    monkeypatch.setattr(tree_module, "SAMPLED_KEYS", 6_000)
    monkeypatch.setattr(tree_module, "SAMPLE_ABOVE", 10_000)
    rng = random.Random(3)
    names = rng.choices(["a:n:x:", "a:n:y:", "a:m:x:", "b:n:x:"], [40, 30, 20, 10], k=KEYS)
    with Wire(steady_server) as wire:
        store(wire, *(f"{name}{number}" for number, name in enumerate(names)))
        store(wire, *(f"c:rare:{number}" for number in range(20)))
    return steady_server


def test_a_sampled_tree_has_intervals_at_every_level(sampled: Endpoint) -> None:
    """Which hold what is counted, nearly always; parents hold what their branches do."""
    exact = by_prefix(tree(sampled, method="exact").root)
    held = []

    def look(branch: Branch) -> None:
        assert branch.ci95 is not None
        low, high = branch.ci95.keys
        held.append(low <= exact[branch.prefix] <= high)
        assert branch.keys == pytest.approx(exact[branch.prefix], rel=0.5)
        inner = sum(child.keys for child in branch.branches)
        assert not branch.branches or inner == pytest.approx(branch.keys, abs=3)
        for child in branch.branches:
            look(child)

    for seed in range(8):
        found = tree(sampled, rng=random.Random(seed))
        assert found.method == "sample"
        for branch in found.root.branches:
            if not branch.prefix.startswith("c:"):
                look(branch)

    assert sum(held) >= 0.8 * len(held)


def test_a_rare_prefix_is_counted_rather_than_guessed(sampled: Endpoint) -> None:
    """A sample of all keys hardly sees it, and the server finds its keys quickly."""
    found = tree(sampled, "c:rare")

    assert (found.method, found.root.keys) == ("exact", 20)
    assert tree(sampled, "a:n", rng=random.Random(1)).method == "sample"


def test_a_shard_group_is_no_word(tmp_path: Path) -> None:
    """On a Cluster a namespace of ours is one branch, not 64."""
    process, endpoint = start_server(
        tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port())
    )
    scheme = KeyScheme("shop", shards=SHARDS)
    try:
        with Wire(endpoint) as wire:
            wire.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while b"cluster_state:ok" not in str(wire.call("CLUSTER", "INFO")).encode():
                pass  # it takes as long as the server wants
            keys = [scheme.place("n", f"u{number}:name").key for number in range(200)]
            wire.pipeline(("SET", key, "v") for key in keys)

        whole = by_prefix(tree(endpoint, depth=2).root)
        below = tree(endpoint, "shop:n", depth=1, width=256).root
    finally:
        process.terminate()
        process.wait()

    assert whole == {"shop:": 200, "shop:n:": 200}
    assert len(below.branches) == 200


@pytest.mark.parametrize("options", [{"depth": 0}, {"depth": 33}, {"width": 0}, {"separator": ""}])
def test_what_cannot_be_meant_is_refused(endpoint: Endpoint, options: dict[str, int | str]) -> None:
    """Before the server is asked."""
    with pytest.raises(UsageError):
        tree(endpoint, **options)  # type: ignore[arg-type]  # one wrong option each

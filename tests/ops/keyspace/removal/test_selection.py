"""A selection says exactly what is meant, and refuses what could reach further."""

from __future__ import annotations

import pytest

from valkeyctl.caching.keys import SHARDS
from valkeyctl.errors import InvalidKeyError, RefusedError, UsageError
from valkeyctl.ops.keyspace.removal.selection import Selection, literal_head


@pytest.mark.parametrize(
    ("glob", "head"),
    [
        (b"shop:*", b"shop:"),
        (b"sh\\op:x", b"shop:x"),
        (b"shop\\*:*", b"shop*:"),
        (b"sho?:*", b"sho"),
        (b"[s]hop:*", b""),
        (b"shop:\\", b"shop:\\"),
        (b"\\", b"\\"),
        (b"", b""),
    ],
)
def test_a_glob_tells_what_its_keys_begin_with(glob: bytes, head: bytes) -> None:
    """As the server reads it: escapes are literal, wildcards and sets end it."""
    assert literal_head(glob) == head


@pytest.mark.parametrize(
    "pattern",
    [b"*", b"?*", b"**", b"shop*", b"[s]hop:*", b"shop\\*:x", b"sho?:*", b"bank:*", b"Shop:*"],
)
def test_a_pattern_that_may_reach_other_applications_is_refused(pattern: bytes) -> None:
    """Unless it is said that it may."""
    with pytest.raises(RefusedError, match="does not begin with shop:"):
        Selection("shop", pattern=pattern)

    assert Selection("shop", pattern=pattern, foreign=True).pattern == pattern


@pytest.mark.parametrize("pattern", [b"shop:*", b"sh\\op:*", b"shop:[ab]*", b"shop:x"])
def test_a_pattern_of_the_application_is_taken(pattern: bytes) -> None:
    """However its first part is written."""
    assert Selection("shop", pattern=pattern).pattern == pattern


def test_the_empty_pattern_is_always_refused() -> None:
    """It is an empty variable of a script; whoever means everything writes it."""
    with pytest.raises(UsageError, match="the pattern is empty"):
        Selection("shop", pattern=b"", foreign=True)


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        (b"shop:*", False),
        (b"shop:~version:*", True),
        (b"shop:\\~load:*", True),
        (b"*:~load:*", True),
        (b"shop:?load:*", False),
        (b"shop:[~]load:*", False),
        (b"shop:*~*", False),
        (b"shop:[x:~]*", False),
    ],
)
def test_control_keys_are_meant_only_when_they_are_named(pattern: bytes, named: bool) -> None:
    """A wildcard that happens to match a version key does not mean it."""
    assert Selection("shop", pattern=pattern, foreign=True).control is named


@pytest.mark.parametrize(
    "chosen", [{}, {"namespace": "n", "tag": "t"}, {"tag": "t", "pattern": b"shop:*"}]
)
def test_it_is_one_of_the_three(chosen: dict[str, str]) -> None:
    """Nothing at all, or two at a time, cannot be meant."""
    with pytest.raises(UsageError, match="either a namespace, a tag or a pattern"):
        Selection("shop", **chosen)  # type: ignore[arg-type]


@pytest.mark.parametrize("chosen", [{"namespace": "*"}, {"namespace": ""}, {"tag": "a b"}])
def test_a_name_that_breaks_the_rules_is_refused(chosen: dict[str, str]) -> None:
    """Before anything is asked of a server."""
    with pytest.raises(InvalidKeyError):
        Selection("shop", **chosen)  # type: ignore[arg-type]


def test_a_cluster_has_the_versions_of_all_shards_and_the_plain_one() -> None:
    """A client that took a node for a single server has written the plain one."""
    versions = Selection("shop", tag="t").versions(has_slots=True)

    assert versions[0] == b"shop:~tag:t"
    assert len(set(versions)) == SHARDS + 1
    assert Selection("shop", pattern=b"shop:*").versions(has_slots=True) == []


def test_an_escaped_bracket_does_not_end_a_set() -> None:
    """What follows it is in the set still, and names no control key."""
    assert not Selection("a", pattern=b"a:[\\]:~]x").control
    assert Selection("a", pattern=b"a:[x]:~y").control

"""What a deploy makes of the words of several sentinels, some of which may be away."""

from __future__ import annotations

from tests.ops.topology.profiles import topology
from valkeyctl.ops.endpoints import published
from valkeyctl.ops.topology.sentinelwords import SentinelWord, agreed_primary, sentinel_words
from valkeyctl.render import render

OLD, NEW = ("10.0.0.1", 6379), ("10.0.0.2", 6379)


def test_more_than_half_of_all_sentinels_must_name_the_same_primary() -> None:
    """One that answers alone may have slept through a failover."""
    alone = [SentinelWord("a", OLD), SentinelWord("b", fault="away"), SentinelWord("c")]
    most = [SentinelWord("a", OLD), SentinelWord("b", NEW), SentinelWord("c", NEW)]

    assert agreed_primary(alone) is None
    assert agreed_primary(most) == NEW
    assert agreed_primary([]) is None


def test_a_sentinel_that_is_away_says_so() -> None:
    """None is left out, so that a majority is one of all."""
    artefacts = render(topology("sentinel"))

    words = sentinel_words(artefacts, published)

    assert [one.primary for one in words] == [None] * 3
    assert all(one.fault.startswith(f"{one.unit}: ") for one in words)

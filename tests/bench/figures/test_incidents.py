"""Faults and evictions in words, of runs made up sample by sample."""

from __future__ import annotations

from dataclasses import replace

from tests.bench.conftest import made_up
from valkeyctl.bench.arm import Node
from valkeyctl.bench.figures.incidents import incidents
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.samples import Samples

SIZE = 100


def run(*, failed: bool = False, **facts: Node) -> Samples:
    """One round of 100 requests of 10 ms; those from 40 to 59 are misses and take 30 ms."""
    hurt = range(40, 60)
    block = [30.0 if index in hurt else 10.0 for index in range(SIZE)]
    samples = made_up(
        Plan.of(rounds=1, requests=SIZE),
        [[block], [[10.0] * SIZE]],
        outcomes=[lambda index: "miss" if index in hurt else "hit", lambda _: "bypass"],
        failed=lambda arm, index: failed and arm == 0 and index == 45,
    )
    return replace(samples, facts={**samples.facts, **facts})


def fault(samples: Samples, undone: float | None) -> Samples:
    begin = samples.stages[0].begin
    one: Node = {
        "kind": "kill",
        "arm": "cached",
        "round": 0,
        "at_s": begin + 0.395,
        "undone_s": None if undone is None else begin + undone,
    }
    return replace(samples, facts={**samples.facts, "disturbances": [one]})


def test_a_fault_says_what_clients_felt_of_it() -> None:
    """Of those who asked while it lasted; before and after it stand beside."""
    (sentence,) = incidents(fault(run(), undone=0.995))

    assert sentence.text == (
        "The cache's server was killed in round 1 of arm cached, for 600 ms: of 20 requests "
        "that were due meanwhile each had a right answer, the slowest took 30.0 ms (before it "
        "10.0 ms) and 0 % came from the cache (before it 100 %, after it 100 %)."
    )


def test_wrong_answers_of_a_fault_are_counted() -> None:
    """They are what it is about; a fault that was never undone lasted to the end."""
    (sentence,) = incidents(fault(run(failed=True), undone=None))

    assert "for 1 s: of 60 requests that were due meanwhile 1 had no right answer" in sentence.text


def test_evictions_are_told_by_server() -> None:
    """With its memory and policy; a server that evicted nothing is left out."""
    servers: Node = [
        {
            "arms": ["small"],
            "settings": {"maxmemory-policy": "allkeys-lru"},
            "after": {"maxmemory_bytes": 8 * 2**20},
            "delta": {"evicted_keys": 1234},
        },
        {"arms": ["large"], "settings": {}, "after": {}, "delta": {"evicted_keys": 0}},
        {"arms": ["gone"], "settings": {}, "after": {}, "delta": None},
    ]
    (sentence,) = incidents(run(servers=servers))

    assert sentence.text == (
        "The memory of 8.0 MiB of the server of arm small was full: it evicted 1,234 entries, "
        "by allkeys-lru, the cold start's included."
    )


def test_a_quiet_run_has_nothing_to_tell() -> None:
    """Nor does one whose facts an earlier version wrote."""
    assert incidents(run()) == ()
    assert incidents(run(disturbances=[{"arm": "cached"}, 3], servers="none")) == ()

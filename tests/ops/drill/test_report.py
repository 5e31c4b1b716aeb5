"""What a drill concludes from what it has seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from valkeyctl.ops.drill.report import Facts, Losses, judge

KEPT = Losses(acknowledged=100, confirmed=60, lost=0, lost_confirmed=0)
GOOD = Facts(
    drill="kill",
    recovered=True,
    troubles=(),
    time_to_healthy_s=2.5,
    write_gap_s=1.25,
    losses=KEPT,
    evicted_keys=0,
    keeps_data=True,
    replicated=True,
    came_back=None,
    policy=False,
    taken_over=False,
    should_be_taken_over=False,
)


def test_a_recovery_without_loss_passes() -> None:
    """And says how long it took."""
    assert judge(GOOD) == (
        "ok",
        (
            "recovered in 2.5 s; 1.25 s without an accepted write",
            "none of 100 acknowledged writes was lost",
        ),
    )


@pytest.mark.parametrize(
    ("facts", "status", "words"),
    [
        (
            replace(GOOD, recovered=False, troubles=("replicas: 1 of 2 online",)),
            "fail",
            "it did not recover in time: replicas: 1 of 2 online",
        ),
        (replace(GOOD, should_be_taken_over=True), "fail", "no other server took over"),
        (replace(GOOD, policy=True, came_back=False), "warn", "did not start it again"),
        (
            replace(GOOD, losses=replace(KEPT, lost=3, lost_confirmed=1)),
            "fail",
            "3 of 100 acknowledged writes are gone, 1 of which replicas had confirmed",
        ),
        (
            replace(GOOD, drill="restart", evicted_keys=3, losses=replace(KEPT, lost=3)),
            "warn",
            "3 of 100 acknowledged writes are gone; 3 keys evicted meanwhile",
        ),
        (
            replace(GOOD, drill="restart", evicted_keys=1, losses=replace(KEPT, lost=3)),
            "fail",
            "1 key evicted meanwhile, in a planned restart",
        ),
        (
            replace(GOOD, replicated=False, losses=Losses(100, None, 3, None)),
            "warn",
            "what a server has not saved yet ends with it",
        ),
        (
            replace(GOOD, losses=Losses(100, None, 3, None)),
            "warn",
            "replicas were not asked to confirm them",
        ),
        (
            replace(GOOD, losses=replace(KEPT, lost=3)),
            "warn",
            "3 of 100 acknowledged writes are gone; no replica had confirmed them",
        ),
        (
            replace(GOOD, losses=replace(KEPT, lost=3), keeps_data=False),
            "warn",
            "the profile keeps no data over a restart",
        ),
        (
            replace(GOOD, drill="restart", losses=replace(KEPT, lost=3)),
            "fail",
            "in a planned restart",
        ),
        (
            replace(
                GOOD,
                drill="full-memory",
                evicted_keys=9,
                losses=replace(KEPT, lost=3, lost_confirmed=3),
            ),
            "warn",
            "9 keys evicted meanwhile",
        ),
        (
            replace(GOOD, losses=replace(KEPT, lost=None, lost_confirmed=None)),
            "fail",
            "could not be read back",
        ),
    ],
)
def test_what_speaks_against_a_deployment_comes_first(
    facts: Facts, status: str, words: str
) -> None:
    """One reason is enough, however good the rest is."""
    found, sentences = judge(facts)

    assert found == status
    assert words in sentences[0]

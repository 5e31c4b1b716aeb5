"""Which gateways a run needs, and who shares one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from valkeyctl.bench.gateways import Gateway, Target, arm_urls, assign, options
from valkeyctl.bench.plan import BYPASS, Arm, Plan
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import UsageError

CACHE = Target(cache=Endpoint(password="hunter2"))
PAST = (BYPASS,)


def served(*arms: Arm) -> list[tuple[int, ...]]:
    return [gateway.arms for gateway in assign(Plan.of(arms=arms), CACHE, "run")]


def test_arms_that_differ_by_headers_share_a_gateway() -> None:
    """With and without the cache is one process: nothing else differs."""
    assert served(Arm("cached"), Arm("uncached", PAST)) == [(0, 1)]
    assert served(Arm("uncached", PAST), Arm("cached")) == [(0, 1)]


def test_two_arms_that_use_the_cache_never_share_it() -> None:
    """The second to play a block would be answered from what the first stored."""
    assert served(Arm("a"), Arm("b", (("X-A", "1"),)), Arm("off", PAST)) == [(0, 2), (1,)]


def test_another_environment_is_another_gateway() -> None:
    """Also for an arm past the cache."""
    assert served(Arm("a"), Arm("b", PAST, (("A", "1"),))) == [(0,), (1,)]


def test_every_gateway_has_keys_of_its_own() -> None:
    """No gateway, and no later run, finds what another has stored."""
    plan = Plan.of(arms=[Arm("a"), Arm("b")])

    apps = [gateway.app for run in ("r1", "r2") for gateway in assign(plan, CACHE, run)]

    assert len(set(apps)) == 4


def test_arms_with_urls_need_no_gateway() -> None:
    """An arm's own URL comes before the target's."""
    plan = Plan.of(arms=[Arm("a", url="http://one"), Arm("b")])
    target = Target(url="http://two/")

    assert assign(plan, target, "run") == []
    assert arm_urls(plan, target, {}) == ("http://one", "http://two")


def test_what_bench_cannot_do_is_refused() -> None:
    """Variables of an application it does not start, and a gateway without a cache."""
    with pytest.raises(UsageError, match="does not start"):
        assign(Plan.of(arms=[Arm("a", env=(("A", "1"),))]), Target(url="http://x"), "run")
    with pytest.raises(UsageError, match="no cache"):
        assign(Plan.of(), Target(), "run")
    with pytest.raises(UsageError, match="not an http"):
        Target(url="localhost:80")


def test_options_hold_no_secret() -> None:
    """They stand in the process list and in the report."""
    assert "hunter2" not in " ".join(options(Plan.of(), CACHE, 3600))


TELLS = (
    "import os, sys; print(sys.stdin.readline().strip()); print(sys.argv[1:3]); "
    "print([name for name, value in os.environ.items() if 'hunter2' in value]); "
    "print(os.environ.get('VALKEYCTL_CACERT'), flush=True)"
)


def test_a_gateway_is_told_of_its_cache_where_nobody_else_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password is in no argument and no variable; the CA is a file, and named."""
    monkeypatch.setenv("VALKEYCTL_URL", "redis://:hunter2@elsewhere")
    cache = Endpoint(password="hunter2", tls=True, ca_file=tmp_path / "ca.crt")
    target = Target(cache=cache, command=(sys.executable, "-c", TELLS))
    (planned,) = assign(Plan.of(), target, "run")

    started = Gateway(planned, target, (), tmp_path)

    started.child.process.wait(10)
    assert started.child.last_lines() == (
        cache.url(show_secret=True),
        "['--url', '-']",
        "[]",
        str(tmp_path / "ca.crt"),
    )

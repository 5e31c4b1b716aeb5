"""Which applications a run needs, who shares one, and what each is told."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.bench.conftest import FAKE_GATEWAY
from tests.conftest import free_port
from valkeyctl.bench.arm import BYPASS, Arm
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.services import applications
from valkeyctl.bench.services.applications import (
    COMMANDS,
    Application,
    Kind,
    arm_urls,
    assign,
    needs_cache,
    options,
    wait_until_healthy,
)
from valkeyctl.bench.services.target import Target, ThrowawayServer
from valkeyctl.bench.traffic.scenario import Disturbance
from valkeyctl.endpoint import Endpoint, Topology
from valkeyctl.errors import UsageError


def serve(settings: Mapping[str, str]) -> ThrowawayServer:
    """Stand for a server that nobody starts here."""
    raise AssertionError(settings)


CACHE = Target(cache=Endpoint(password="hunter2"))
PAST = (BYPASS,)
BIG = (("maxmemory", "64mb"),)


def served(*arms: Arm, target: Target = CACHE) -> list[tuple[int, ...]]:
    return [one.arms for one in assign(Plan.of(arms=arms), target, "run")]


def test_arms_that_differ_by_headers_share_an_application() -> None:
    """With and without the cache is one process: nothing else differs."""
    assert served(Arm("cached"), Arm("uncached", PAST)) == [(0, 1)]
    assert served(Arm("uncached", PAST), Arm("cached")) == [(0, 1)]


def test_two_arms_that_use_the_cache_never_share_it() -> None:
    """The second to play a block would be answered from what the first stored."""
    assert served(Arm("a"), Arm("b", (("X-A", "1"),)), Arm("off", PAST)) == [(0, 2), (1,)]


def test_another_environment_is_another_application() -> None:
    """Also for an arm past the cache."""
    assert served(Arm("a"), Arm("b", PAST, (("A", "1"),))) == [(0,), (1,)]


def test_every_application_has_keys_of_its_own() -> None:
    """No application, and no later run, finds what another has stored."""
    plan = Plan.of(arms=[Arm("a"), Arm("b")])

    apps = [one.app for run in ("r1", "r2") for one in assign(plan, CACHE, run)]

    assert len(set(apps)) == 4


def test_arms_with_urls_need_no_application() -> None:
    """An arm's own URL comes before the target's."""
    plan = Plan.of(arms=[Arm("a", url="http://one"), Arm("b")])
    target = Target(url="http://two/")

    assert assign(plan, target, "run") == []
    assert arm_urls(plan, target, {}) == ("http://one", "http://two")


def test_what_bench_cannot_do_is_refused() -> None:
    """Variables and servers of an application it does not start, and one without a cache."""
    for arm in (Arm("a", env=(("A", "1"),)), Arm("a", server=BIG)):
        with pytest.raises(UsageError, match="does not start"):
            assign(Plan.of(arms=[arm]), Target(url="http://x"), "run")
    small = replace(Plan.of(), scenario=replace(Plan.of().scenario, server=BIG))
    with pytest.raises(UsageError, match="'llm-chat' sets the server of an application"):
        assign(small, Target(url="http://x"), "run")
    with pytest.raises(UsageError, match="no cache"):
        assign(Plan.of(), Target(), "run")
    with pytest.raises(UsageError, match="not an http"):
        Target(url="localhost:80")

    with pytest.raises(UsageError, match="cannot be started here"):
        assign(Plan.of(arms=[Arm("a", server=BIG)]), CACHE, "run")


def test_arms_with_servers_of_their_own_never_share_one() -> None:
    """Nor do two that use the cache and want the same settings; one past it finds a place."""
    target = replace(CACHE, serve=serve)
    arms = (Arm("a", server=BIG), Arm("b", server=BIG), Arm("off", PAST), Arm("given"))

    assigned = assign(Plan.of(arms=arms), target, "run")

    assert [(one.arms, one.server, one.cache) for one in assigned] == [
        ((0, 2), BIG, "throwaway"),
        ((1,), BIG, "throwaway"),
        ((3,), (), "given"),
    ]


def test_a_scenario_says_what_is_started_and_with_what() -> None:
    """An arm's variables and settings come over the scenario's."""
    plan = Plan.of(arms=[Arm("a", env=(("A", "2"),), server=(("maxmemory", "2mb"),))])
    scenario = replace(
        plan.scenario,
        application="sample",
        env=(("A", "1"), ("B", "1")),
        server=(("maxmemory", "1mb"), ("maxmemory-policy", "allkeys-lru")),
    )

    (one,) = assign(replace(plan, scenario=scenario), Target(serve=serve), "run")

    assert one.kind == "sample"
    assert one.env == (("A", "2"), ("B", "1"))
    assert one.server == (("maxmemory", "2mb"), ("maxmemory-policy", "allkeys-lru"))


def test_a_scenario_without_an_application_needs_an_address() -> None:
    """There is nothing that could be started."""
    plan = Plan.of()
    plan = replace(plan, scenario=replace(plan.scenario, application="none"))

    with pytest.raises(UsageError, match="starts no application"):
        assign(plan, CACHE, "run")
    assert assign(plan, Target(url="http://x"), "run") == []


@pytest.mark.parametrize(
    ("arms", "url", "needed"),
    [
        ((Arm("a"), Arm("off", PAST)), None, True),
        ((Arm("a"), Arm("off", PAST)), "http://x", False),
        ((Arm("a", url="http://x"), Arm("off", PAST)), None, False),
        ((Arm("a", server=(("maxmemory", "1mb"),)), Arm("off", PAST)), None, False),
        ((Arm("a", server=(("maxmemory", "1mb"),)), Arm("b")), None, True),
        ((Arm("a", env=(("VALKEYCTL_URL", "redis://h"),)),), None, False),
    ],
)
def test_a_cache_is_only_asked_for_where_it_is_used(
    arms: tuple[Arm, ...], url: str | None, needed: bool
) -> None:
    """A run whose arms have servers of their own works without any deployment."""
    assert needs_cache(Plan.of(arms=arms), url) is needed


def test_a_run_with_a_fault_waits_for_the_cache_as_the_product_does() -> None:
    """Elsewhere a slow read is a slow read, and no miss."""
    calm = Plan.of()
    disturbed = replace(calm, scenario=replace(calm.scenario, during=Disturbance("kill")))

    assert [CACHE.budget(plan) for plan in (calm, disturbed)] == [30.0, 0.025]
    assert replace(CACHE, cache_budget=0.1).budget(disturbed) == 0.1
    assert "--cache-budget 0.025" in " ".join(options("sample", disturbed, CACHE, 60))


def test_options_hold_no_secret() -> None:
    """They stand in the process list and in the report."""
    assert "hunter2" not in " ".join(options("gateway", Plan.of(), CACHE, 3600))


TELLS = (
    "import os, sys; print(sys.stdin.readline().strip()); print(sys.argv[1:3]); "
    "print([k for k, v in os.environ.items() if 'hunter2' in v or 's3-secret' in v]); "
    "print(os.environ.get('VALKEYCTL_CACERT'), flush=True)"
)


@pytest.mark.parametrize(
    ("topology", "more"),
    [
        ("standalone", {}),
        ("cluster", {"nodes": (("one", 1), ("two", 2))}),
        (
            "sentinel",
            {"nodes": (("one", 1),), "primary_name": "p", "sentinel_password": "s3-secret"},
        ),
    ],
)
def test_an_application_is_told_of_its_cache_where_nobody_else_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, topology: Topology, more: dict[str, Any]
) -> None:
    """The password is in no argument and no variable; the CA is a file, and named."""
    monkeypatch.setenv("VALKEYCTL_URL", "redis://:hunter2@elsewhere")
    ca = tmp_path / "ca.crt"
    cache = Endpoint(password="hunter2", tls=True, ca_file=ca, topology=topology, **more)
    (planned,) = assign(Plan.of(), Target(cache=cache), "run")

    started = Application(planned, cache, (sys.executable, "-c", TELLS), (), tmp_path)

    started.child.process.wait(10)
    assert started.child.last_lines() == (
        cache.url(show_secret=True),
        "['--url', '-']",
        "[]",
        str(tmp_path / "ca.crt"),
    )
    assert Endpoint.parse(started.child.last_lines()[0]) == replace(cache, ca_file=None)


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("gateway", FAKE_GATEWAY),
        pytest.param("gateway", COMMANDS["gateway"], marks=pytest.mark.slow),
        pytest.param("sample", COMMANDS["sample"], marks=pytest.mark.slow),
    ],
)
def test_a_port_that_is_taken_meanwhile_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind, command: tuple[str, ...]
) -> None:
    """Another process was faster; the application is started again on another port."""
    plan = Plan.of()
    (planned,) = assign(plan, CACHE, "run")
    common = options(kind, plan, CACHE, 60)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = [taken.getsockname()[1], free_port()]
        monkeypatch.setattr(applications, "free_port", lambda: ports.pop(0))
        one = Application(replace(planned, kind=kind), Endpoint(port=1), command, common, tmp_path)
        try:
            wait_until_healthy([one])
        finally:
            one.child.end()

    assert ports == []

"""What a deploy does about what health finds at its end; the findings are made up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.ops.topology.profiles import topology
from valkeyctl.errors import AuthError, StartError, UnreachableError
from valkeyctl.ops.checks import Check, Verdict
from valkeyctl.ops.endpoints import published
from valkeyctl.ops.topology import wholeness
from valkeyctl.ops.topology.forming import Forming
from valkeyctl.render import render
from valkeyctl.runtime.process import ProcessRuntime

GOOD = Check("primary", "3 of 3 shards", "exactly one each", "ok")


def check(name: str, value: str, verdict: Verdict = "fail", detail: str = "") -> Check:
    """Return what health has found."""
    return Check(name, value, "", verdict, detail)


@pytest.fixture
def forming(tmp_path: Path) -> Forming:
    """A Cluster that nobody has started: only its health is asked for."""
    runtime = ProcessRuntime(tmp_path)
    return Forming(render(topology("cluster")), runtime, published, lambda _: None, 0.1)


class Findings:
    """Answers for health: each finding once, the last one for ever."""

    def __init__(self, *findings: Check | Exception) -> None:
        self.looks = 0
        self._findings: Iterator[Check | Exception] = iter(findings)
        self._now: Check | Exception = GOOD

    def __call__(self, *_: object, **__: object) -> tuple[Sequence[Check], None]:
        self.looks += 1
        self._now = next(self._findings, self._now)
        if isinstance(self._now, Exception):
            raise self._now
        return [GOOD, self._now], None


def found(monkeypatch: pytest.MonkeyPatch, *findings: Check | Exception) -> Findings:
    """Let health find these, one after the other."""
    made = Findings(*findings)
    monkeypatch.setattr(wholeness, "check_topology", made)
    return made


@pytest.mark.parametrize(
    "finding",
    [
        check("min_replicas", "0 good", detail="10.0.0.1:6379 refuses writes"),
        check("write_read", "NOREPLICAS"),
        check("ping", "LOADING"),
        check("seen_down", "1 node", "warn"),
        UnreachableError("nobody answers"),
    ],
    ids=str,
)
def test_what_time_mends_is_waited_for(
    forming: Forming, monkeypatch: pytest.MonkeyPatch, finding: Check | Exception
) -> None:
    """As long as it lasts, and then nothing is left to tell."""
    health = found(monkeypatch, finding, finding, GOOD)

    assert forming.wait_until_whole() == []

    assert health.looks >= 3


def test_what_stays_broken_fails_and_says_what(
    forming: Forming, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator reads the check, and what to do next."""
    found(monkeypatch, check("primary", "2 found", detail="b takes writes, too"))

    with pytest.raises(StartError, match="health finds primary: b takes writes, too") as caught:
        forming.wait_until_whole()

    assert "valkeyctl logs" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("finding", "told"),
    [
        (check("memory", "100% of 4Mi"), "health fails: memory: 100% of 4Mi"),
        (check("write_read", "OOM on 10.0.0.1:6379"), "health fails: write_read: OOM on 10"),
        (check("write_read", "MISCONF", detail="the disk is full"), "write_read: the disk is full"),
        (check("ping", "140.00 ms on 10.0.0.1:6379"), "health fails: ping: 140.00 ms"),
    ],
    ids=str,
)
def test_what_no_waiting_mends_is_told_at_once(
    forming: Forming, monkeypatch: pytest.MonkeyPatch, finding: Check, told: str
) -> None:
    """A full server is no reason to refuse a change that may make room."""
    health = found(monkeypatch, finding)

    (warning,) = forming.wait_until_whole()

    assert told in warning
    assert health.looks == 1


def test_a_warning_that_stays_is_told(forming: Forming, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a node that was taken out by hand, which the others go on missing."""
    found(monkeypatch, check("seen_down", "1 node", "warn", "b by 2 of 6 nodes"))

    assert forming.wait_until_whole() == ["health warns: seen_down: b by 2 of 6 nodes"]


def test_a_refused_login_is_no_reason_to_wait(
    forming: Forming, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as what it is."""
    health = found(monkeypatch, AuthError("WRONGPASS"))

    with pytest.raises(AuthError):
        forming.wait_until_whole()

    assert health.looks == 1

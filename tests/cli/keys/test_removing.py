"""`keys flush`, `invalidate` and `expire`: what they ask, print, and end with."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.keyspace.lanes import LaneName
from valkeyctl.ops.keyspace.removal.resume import Progress, open_journal
from valkeyctl.ops.keyspace.removal.selection import Selection


@pytest.fixture
def wire(endpoint: Endpoint) -> Iterator[Wire]:
    """A connection to the emptied server."""
    with Wire(endpoint) as connected:
        yield connected


@pytest.fixture
def at(endpoint: Endpoint) -> tuple[str, ...]:
    """The options that name the server and the application."""
    return ("--url", endpoint.url(), "--app", "shop")


def _fill(wire: Wire) -> None:
    wire.pipeline(("SET", f"shop:response:{number}", "v", "EX", 100) for number in range(20))
    wire.call("SET", "shop:metadata:1", "v")


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("--pattern", "*"), 4, "refused"),
        (("--pattern", "bank:*"), 4, "refused"),
        (("--pattern", "shop*"), 4, "refused"),
        (("--pattern", ""), 2, "usage"),
        (("--pattern", "", "--all"), 2, "usage"),
        ((), 2, "usage"),
        (("response", "--tag", "t"), 2, "usage"),
        (("response", "--all"), 2, "usage"),
        (("*",), 2, "invalid_key"),
        (("response", "--max-keys", "19"), 4, "refused"),
        (("response", "--resume"), 1, "not_found"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    ctl: Run, wire: Wire, at: tuple[str, ...], words: tuple[str, ...], status: int, code: str
) -> None:
    """With a status by its cause, even with a yes, and nothing is touched."""
    _fill(wire)

    done = ctl(*at, "-o", "json", "keys", "flush", *words, "--yes")

    assert (done.status, done.error["code"]) == (status, code)
    assert wire.call("DBSIZE") == 21


def test_without_a_terminal_it_refuses_to_ask(ctl: Run, wire: Wire, at: tuple[str, ...]) -> None:
    """After it has shown what would go."""
    _fill(wire)

    asked = ctl(*at, "keys", "flush", "response")

    assert asked.status == 4
    assert "shop:response: 20 keys" in asked.err
    assert "removing 20 keys of shop:response needs a yes" in asked.err
    assert "the first expires in" in asked.err
    assert wire.call("DBSIZE") == 21


def test_a_dry_run_tells_all_and_changes_nothing(ctl: Run, wire: Wire, at: tuple[str, ...]) -> None:
    """Count, bytes, samples and lives."""
    _fill(wire)

    done = ctl(*at, "-o", "json", "keys", "flush", "--pattern", "shop:*", "--dry-run")

    assert done.status == 0
    assert (done.data["keys"], done.data["without_expiry"]) == (21, 1)
    assert {"sample", "memory_bytes", "ttl_min_s", "ttl_max_s", "pattern"} <= set(done.data)
    assert wire.call("DBSIZE") == 21


@pytest.mark.parametrize("impact", ["low", "normal", "max"])
def test_with_a_yes_it_flushes(ctl: Run, wire: Wire, at: tuple[str, ...], impact: str) -> None:
    """One envelope with the exact count, and no file left behind."""
    _fill(wire)

    done = ctl(*at, "-o", "json", "keys", "flush", "response", "--yes", "--impact", impact)

    assert (done.status, done.envelope["kind"]) == (0, "keys.flush")
    assert (done.data["deleted"], done.data["invalidated"], done.data["uncounted"]) == (20, True, 0)
    assert (done.data["effect"] is None) == (impact == "max")
    assert list((Path(os.environ["VALKEYCTL_STATE_DIR"]) / "resume").iterdir()) == []


def test_an_unfinished_flush_is_mentioned_when_it_is_given_up(
    ctl: Run, wire: Wire, at: tuple[str, ...], endpoint: Endpoint, tmp_path: Path
) -> None:
    """And the command line says how to go on with it instead."""
    _fill(wire)
    folder = tmp_path / "state" / "resume"
    with open_journal(folder, endpoint, Selection("shop", namespace="response")) as journal:
        journal.begin((LaneName("h:1", "r", 0, 1),), 0, Progress((5,), deleted=7, visited=0.25))

    unasked = ctl(*at, "keys", "flush", "response", "--resume")
    resumed = ctl(*at, "keys", "flush", "response", "--resume", "--yes")
    again = ctl(*at, "keys", "flush", "response", "--yes")

    assert (unasked.status, resumed.status) == (4, 4)
    assert "which stopped at 25% after 7 keys needs a yes" in unasked.err
    assert "its servers are other ones now" in resumed.err
    assert "stopped at 25% after 7 keys (--resume goes on with it)" in again.err
    assert "20 keys removed" in again.out


def test_a_flush_that_still_runs_is_not_called_given_up(
    ctl: Run, wire: Wire, at: tuple[str, ...], endpoint: Endpoint, tmp_path: Path
) -> None:
    """A second one of the same is refused in one sentence, and touches nothing."""
    _fill(wire)
    chosen = Selection("shop", namespace="response")
    with open_journal(tmp_path / "state" / "resume", endpoint, chosen) as journal:
        journal.begin((LaneName("h:1", "r", 0, 1),), 0, Progress((5,)))

        done = ctl(*at, "keys", "flush", "response", "--yes")

    assert done.status == 5
    assert "another valkeyctl (pid" in done.err
    assert "starting over" not in done.err
    assert wire.call("DBSIZE") == 21


def test_nothing_to_resume_is_said_before_it_is_asked_about(
    ctl: Run, wire: Wire, at: tuple[str, ...]
) -> None:
    """A question whose yes could only fail is none."""
    done = ctl(*at, "-o", "json", "keys", "flush", "response", "--resume")

    assert (done.status, done.error["code"]) == (1, "not_found")
    assert list((Path(os.environ["VALKEYCTL_STATE_DIR"]) / "resume").iterdir()) == []


def test_at_a_terminal_it_asks(wire: Wire, at: tuple[str, ...], home: Path) -> None:
    """A no changes nothing."""
    _fill(wire)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "valkeyctl", *at, "keys", "flush", "response"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=home,
    )
    os.close(theirs)
    shown = b""
    while b"[y/N]" not in shown:
        shown += os.read(ours, 4096)
    os.write(ours, b"n\n")
    status = process.wait(timeout=10)
    os.close(ours)

    assert b"Removing 20 keys of shop:response?" in shown
    assert status == 4
    assert wire.call("DBSIZE") == 21


def test_invalidate_needs_no_yes(ctl: Run, wire: Wire, at: tuple[str, ...]) -> None:
    """It destroys nothing, and says what it did."""
    wire.pipeline(("SET", name, "v") for name in ("shop:~version:response", "shop:~tag:t"))

    dry = ctl(*at, "keys", "invalidate", "response", "--dry-run")
    space = ctl(*at, "-o", "json", "keys", "invalidate", "response")
    tag = ctl(*at, "keys", "invalidate", "--tag", "t")
    neither = ctl(*at, "keys", "invalidate")

    assert "1 version would go; nothing was changed" in dry.out
    assert space.envelope["kind"] == "keys.invalidate"
    assert (space.data["versions"], space.data["acknowledged"]) == (1, True)
    assert "the tag t of shop: invalid, 1 version removed in" in tag.out
    assert (dry.status, space.status, tag.status, neither.status) == (0, 0, 0, 2)
    assert wire.call("DBSIZE") == 0


def test_expire_finds_and_fixes(ctl: Run, wire: Wire, at: tuple[str, ...]) -> None:
    """Status 1 while there is something to find, so that CI notices."""
    _fill(wire)
    wire.call("SET", "shop:odd:1", "v")

    dry = ctl(*at, "-o", "json", "keys", "expire", "--dry-run")
    refused = ctl(*at, "keys", "expire")
    by_policy = ctl(*at, "-o", "json", "keys", "expire", "--yes")
    by_ttl = ctl(*at, "keys", "expire", "odd", "--ttl", "1h", "--yes")
    clean = ctl(*at, "keys", "expire")

    assert (dry.status, dry.data["found"], dry.data["left"]) == (1, 2, 2)
    assert (refused.status, by_policy.status) == (4, 1)
    assert (by_policy.data["fixed"], by_policy.data["left"]) == ({"metadata": 1}, 1)
    assert "give --ttl" in by_policy.err
    assert "1 given an expiry" in by_ttl.out
    assert (by_ttl.status, clean.status) == (0, 0)
    assert "every key of shop expires" in clean.out
    assert 0 < int(str(wire.call("TTL", "shop:metadata:1"))) <= 330
    assert 3200 < int(str(wire.call("TTL", "shop:odd:1"))) <= 3960


@pytest.mark.parametrize("ttl", ["0", "soon", "-1"])
def test_a_ttl_that_is_none_is_refused(ctl: Run, wire: Wire, at: tuple[str, ...], ttl: str) -> None:
    """As wrong usage, and nothing is touched."""
    wire.call("SET", "shop:odd:1", "v")

    done = ctl(*at, "keys", "expire", f"--ttl={ttl}", "--yes")

    assert (done.status, wire.call("TTL", "shop:odd:1")) == (2, -1)


@pytest.mark.parametrize(
    "words", [("flush", "response", "--yes"), ("invalidate", "response"), ("expire", "--ttl", "1h")]
)
def test_a_server_and_an_application_need_no_profile(
    words: tuple[str, ...], ctl: Run, at: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken one is in nobody's way."""
    monkeypatch.setenv("VALKEYCTL_PROFILE", "there-is-none")

    assert ctl("keys", *words, *at).status == 0


@pytest.mark.parametrize(
    "words",
    [
        ("flush", "response", "--yes"),
        ("invalidate", "response"),
        ("expire", "--ttl", "1h"),
        ("export", "--out", "x.jsonl"),
    ],
)
def test_an_application_that_nobody_named_is_named(
    words: tuple[str, ...], ctl: Run, endpoint: Endpoint, at: tuple[str, ...]
) -> None:
    """Or emptying the wrong one would look like success."""
    assert "the application is default" in ctl("keys", *words, "--url", endpoint.url()).err
    assert "the application is" not in ctl("keys", *words, *at).err


def test_there_may_be_nothing_to_invalidate(ctl: Run, at: tuple[str, ...]) -> None:
    """And it does not say that something was done."""
    done = ctl("keys", "invalidate", "response", *at)

    assert "shop:response: invalid already, no version there in" in done.out

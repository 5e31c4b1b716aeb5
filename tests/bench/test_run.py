"""Whole runs: real Locust, real HTTP, a gateway process that caches in its own memory."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.bench.conftest import FAKE_GATEWAY, gone, mooncake
from tests.bench.load.scripted import Scripted, always
from valkeyctl.bench import run as run_module
from valkeyctl.bench.arm import Arm
from valkeyctl.bench.load.generator import Progress
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import load, report
from valkeyctl.bench.run import run
from valkeyctl.bench.services.target import Target
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import (
    FolderError,
    MissingError,
    ServerReplyError,
    StartError,
    ToolError,
    UnreachableError,
)
from valkeyctl.ops.tls.issue import init

pytestmark = pytest.mark.usefixtures("nothing_left_running")

QUICK = Plan.of(duration=1.0, rounds=5, users=4, warmup=0.2, requests=200)


def ignore(_: Progress) -> None:
    """Nobody watches."""


def test_a_plan_and_a_target_are_enough_for_a_run(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples come back, kept in a new folder among the temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    samples = run(QUICK, target)

    assert samples.folder.parent == tmp_path
    assert report(samples).samples == len(samples.rows)


def test_a_closed_run_counts_every_request_once(target: Target, tmp_path: Path) -> None:
    """Samples, the origin's own counter, and Locust's totals agree."""
    seen: list[Progress] = []

    samples = run(QUICK, target, out=tmp_path, progress=seen.append)

    rows = samples.rows[samples.rows["round"] >= 0]
    shown = report(samples)
    cached, uncached = shown.arms
    for arm in (0, 1):
        assert sorted(rows["index"][rows["arm"] == arm]) == list(range(200))
    assert (cached.requests, cached.errors, uncached.bypassed) == (200, 0, 200)
    assert (cached.misses, cached.origin_calls) == (cached.origin_calls, cached.misses)
    assert cached.from_cache + (cached.misses or 0) == 200
    assert uncached.origin_calls == 200
    assert samples.facts["locust"] == {"requests": len(samples.rows), "failures": 0}
    assert (rows["start"] >= rows["intended"]).all()
    assert (rows["end"] > rows["start"]).all()
    assert seen[0].phase == "starting"
    assert (seen[-1].done, seen[-1].total) == (400, 400)
    assert samples.incomplete is False
    assert load(tmp_path).plan == samples.plan

    shown.write()
    page = (tmp_path / "report.html").read_text()
    assert "simulated LLM (the one stand-in of this run)" in page
    assert "--cache-budget 30" in page
    assert "locust" in page


def test_rounds_alternate_and_arms_play_the_same_blocks(target: Target, tmp_path: Path) -> None:
    """A B, B A, A B; request k is in the same round in both arms."""
    samples = run(QUICK, target, out=tmp_path, progress=ignore)

    order = [(stage.round, stage.arm) for stage in samples.stages]
    rows = samples.rows[samples.rows["round"] >= 0]
    assert order[:6] == [(0, 0), (0, 1), (1, 1), (1, 0), (2, 0), (2, 1)]
    rounds = [
        dict(zip(part["index"].tolist(), part["round"].tolist(), strict=True))
        for part in (rows[rows["arm"] == 0], rows[rows["arm"] == 1])
    ]
    assert rounds[0] == rounds[1]


def test_a_trace_gives_the_truth_that_arithmetic_gives(target: Target, tmp_path: Path) -> None:
    """Hits and collapsed together are the repeats; a repeat may fall in any round."""
    prompts = [k if k % 9 else k // 2 for k in range(600)]
    repeats = len(prompts) - len(set(prompts))
    trace = mooncake(tmp_path / "t.jsonl", prompts, gap_ms=100)
    plan = Plan.of(trace=trace, speedup=100.0, rounds=5, warmup=0.2, max_in_flight=20)

    shown = report(run(plan, target, out=tmp_path / "out", progress=ignore))

    cached, uncached = shown.arms
    assert cached.errors == uncached.errors == 0
    assert cached.from_cache == repeats
    assert cached.origin_calls == cached.misses == len(set(prompts))
    assert uncached.origin_calls == 600
    shown.write()
    assert "t.jsonl, replayed 100 times as fast" in (tmp_path / "out/report.html").read_text()


def test_two_arms_with_caches_do_not_feed_each_other(target: Target, tmp_path: Path) -> None:
    """A/A: each has a gateway of its own, so both miss what they have not asked before."""
    plan = replace(QUICK, arms=(Arm("a"), Arm("b")))

    shown = report(run(plan, target, out=tmp_path, progress=ignore))

    first, second = shown.arms
    assert first.origin_calls == first.misses == second.misses == second.origin_calls


@pytest.mark.slow
@pytest.mark.parametrize(("in_flight", "rounds"), [(10, 1), (1000, 1), (1000, 20)])
def test_a_stall_is_seen_in_full_by_an_open_loop(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_flight: int, rounds: int
) -> None:
    """Half a second of silence: p99 is what the schedule says.

    However few are in flight, and however short the blocks are.
    """
    monkeypatch.setenv("FAKE_STALL", "0.5")
    monkeypatch.setenv("FAKE_STALL_AT", "1")
    monkeypatch.setenv("FAKE_STALL_LOG", str(tmp_path / "stall"))
    monkeypatch.setenv("FAKE_DELAY", "0")
    plan = Plan.of(
        rate=400.0, arrivals="constant", duration=3.0, rounds=rounds, warmup=0.2,
        arms=[Arm("only")], max_in_flight=in_flight,
    )  # fmt: skip

    samples = run(plan, target, out=tmp_path / "out", progress=ignore)

    rows = samples.rows[samples.rows["round"] >= 0]
    begin, end = json.loads((tmp_path / "stall").read_text())
    due = rows["intended"]
    # What the server's own record of its silence makes of the schedule: nobody who was
    # due within it can have had an answer before its end.
    least = np.where((due >= begin) & (due < end), end - due, 0.0)
    took = rows["end"] - due
    assert len(rows) == 1200
    assert samples.facts["locust"] == {"requests": len(samples.rows), "failures": 0}
    assert (took >= least).all()
    truth, seen = np.sort(least)[1187], np.sort(took)[1187]
    assert truth > 0.4
    # A busy machine may work off the 200 that waited slowly, but not for as long again.
    assert truth <= seen <= truth + 0.4
    assert (took > 0.05).sum() >= 170


def test_wrong_answers_and_errors_are_counted_not_hidden(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run without a single right answer ends with the reason, and keeps its samples."""
    monkeypatch.setenv("FAKE_STATUS", "503")

    with pytest.raises(ServerReplyError, match=r"none of .* HTTP 503"):
        run(QUICK, target, out=tmp_path, progress=ignore)

    kept = load(tmp_path)
    assert kept.incomplete
    assert (kept.rows["status"] == 503).all()


def test_answers_of_something_else_are_wrong_answers(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 200 alone proves nothing."""
    monkeypatch.setenv("FAKE_BODY", "<html>welcome</html>")

    with pytest.raises(ServerReplyError, match="does not hold"):
        run(QUICK, target, out=tmp_path, progress=ignore)


def test_a_gateway_that_dies_ends_the_run_with_its_status(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was measured until then is kept and marked."""
    monkeypatch.setenv("FAKE_DIE_AFTER", "150")

    with pytest.raises(ToolError, match="the gateway ended with status 3 during the run") as caught:
        run(QUICK, target, out=tmp_path, progress=ignore)

    kept = load(tmp_path)
    assert kept.incomplete
    assert (kept.rows["error"] == 0).sum() >= 140
    assert "gateway-1.log" in str(caught.value.hint)
    assert "status 3" in str(kept.facts["failure"])


def test_a_gateway_that_does_not_start_says_why(tmp_path: Path) -> None:
    """Its last line is the message."""
    command = (sys.executable, "-c", "raise SystemExit('no such upstream')")
    broken = Target(cache=Endpoint(), command=command)

    with pytest.raises(StartError, match="status 1 before it answered: no such upstream"):
        run(QUICK, broken, out=tmp_path, progress=ignore)


def test_a_target_that_is_down_is_unreachable(tmp_path: Path) -> None:
    """Said before anything is started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"

    with pytest.raises(UnreachableError, match="which arm 'cached' needs"):
        run(QUICK, Target(url=url), out=tmp_path, progress=ignore)


def test_an_application_of_the_users_is_measured_without_a_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without counters at the origin its calls are unknown, not zero."""
    monkeypatch.setenv("FAKE_NO_METRICS", "1")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--upstream", "x", "--seed", "1", "--speedup", "1", "--app", "x"]
    options += ["--cache-budget", "1", "--ttl", "1", "--log-level", "warning", "--url", "-"]
    application = subprocess.Popen(
        [*FAKE_GATEWAY, "--host", "127.0.0.1", "--port", str(port), *options],
        stdin=subprocess.PIPE,
    )
    assert application.stdin
    with application.stdin as said:
        said.write(b"redis://unused\n")
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)  # the only way to learn that a foreign process listens
        url = f"http://127.0.0.1:{port}"
        samples = [
            run(QUICK, Target(url=url), out=tmp_path / name, progress=ignore)
            for name in ("first", "again")
        ]
    finally:
        application.terminate()
        application.wait()

    shown = [report(one) for one in samples]
    assert shown[0].arm("cached").origin_calls is None
    assert shown[0].arm("cached").from_cache > 0
    # The application still holds what the first run made it store; the second asks anew.
    assert shown[0].arm("cached").misses == shown[1].arm("cached").misses
    assert shown[0].facts["gateways"] == []


def test_an_application_that_speaks_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trusted as the system trusts; each block says what it cost the generator."""
    init("bench", tmp_path / "tls", ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls/server.crt", tmp_path / "tls/server.key")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "tls/ca.crt"))
    body = b'{"choices": []}'
    reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    plan = replace(QUICK, rate=200.0, requests=20, rounds=2, warmup=0.1)

    with Scripted(always(reply), tls=context) as server:
        samples = run(plan, Target(url=server.url), out=tmp_path / "out", progress=ignore)

    assert not samples.incomplete
    assert (samples.rows["error"] == 0).all()
    assert all((stage.cpu or 0) > 0 for stage in samples.stages)
    assert all((stage.lateness_p99_ms or 0) > 0 for stage in samples.stages)


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")]
)
def test_an_interrupted_run_keeps_what_it_measured(
    target: Target, tmp_path: Path, number: signal.Signals, name: str
) -> None:
    """The samples come back marked incomplete; nothing is left running."""
    plan = replace(QUICK, requests=200_000, rounds=2000)

    def stop(step: Progress) -> None:
        if step.round > 3:
            os.kill(os.getpid(), number)

    samples = run(plan, target, out=tmp_path, progress=stop)

    assert (samples.incomplete, samples.interrupted) == (True, name)
    assert len(samples.complete_rounds()) >= 2
    assert load(tmp_path).interrupted == name
    assert f"stopped by {name}" in report(samples).incomplete


def test_a_parent_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    """Locust notices within a second, and ends the gateways on its way out."""
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from tests.bench.test_run import QUICK, FAKE_GATEWAY, Target, Endpoint, replace, run\n"
        "plan = replace(QUICK, requests=200_000)\n"
        "target = Target(cache=Endpoint(port=1), command=FAKE_GATEWAY)\n"
        "say = lambda step: print(step.round, flush=True)\n"
        f"run(plan, target, out=Path({str(tmp_path)!r}), progress=say)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    for line in parent.stdout:
        if int(line) > 0:
            break
    children = psutil.Process(parent.pid).children(recursive=True)

    parent.kill()
    parent.wait()
    parent.stdout.close()

    assert len(children) == 2
    assert all(gone(child.pid) for child in children)
    assert load(tmp_path).incomplete


def test_keys_are_forgotten_after_the_run(target: Target, tmp_path: Path) -> None:
    """Each gateway's own first part of keys is handed over once."""
    forgotten: Counter[str] = Counter()

    def forget(app: str) -> None:
        forgotten[app] += 1

    run(QUICK, replace(target, forget=forget), out=tmp_path, progress=ignore)

    assert list(forgotten.values()) == [1]
    assert all(app.startswith("bench-") for app in forgotten)


def test_an_earlier_run_in_the_folder_is_replaced(target: Target, tmp_path: Path) -> None:
    """No file of the earlier one can be taken for one of this."""
    (tmp_path / "stages.jsonl").write_text("old\n")
    (tmp_path / "gateway-9.log").write_text("old\n")
    (tmp_path / "mine.txt").write_text("kept\n")

    run(replace(QUICK, requests=20, warmup=0.1), target, out=tmp_path, progress=ignore)

    assert not (tmp_path / "gateway-9.log").exists()
    assert (tmp_path / "mine.txt").exists()


def test_a_folder_that_cannot_be_made_is_named(target: Target, tmp_path: Path) -> None:
    """Before anything is started."""
    (tmp_path / "file").write_text("")

    with pytest.raises(FolderError, match="cannot be written"):
        run(QUICK, target, out=tmp_path / "file" / "out", progress=ignore)


def test_a_missing_extra_is_one_sentence_with_the_command(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a traceback of an import."""
    monkeypatch.setattr(
        run_module, "find_spec", lambda name: None if name == "locust" else object()
    )

    with pytest.raises(MissingError, match="bench needs locust") as caught:
        run(QUICK, target, out=tmp_path, progress=ignore)

    assert "valkeyctl[bench]" in str(caught.value.hint)

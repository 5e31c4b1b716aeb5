"""Runs whose load several processes send: nothing lost, nothing doubled, one schedule."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.bench.conftest import gone
from tests.bench.load.scripted import Scripted, always
from tests.conftest import free_port
from valkeyctl.bench.arm import Arm
from valkeyctl.bench.load import generator as generator_module
from valkeyctl.bench.load.blocks import Stage, cut
from valkeyctl.bench.load.clocks import Offset, offset
from valkeyctl.bench.load.generator import Progress
from valkeyctl.bench.load.ledger import Ledger
from valkeyctl.bench.load.record import RECORD, SAMPLES_FILE, Recorder
from valkeyctl.bench.load.shares import own_part, share
from valkeyctl.bench.load.source import BlockSource
from valkeyctl.bench.load.workers import Work, work
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.run import run
from valkeyctl.bench.samples import DTYPE, Samples, load_samples
from valkeyctl.bench.services.target import Target
from valkeyctl.bench.traffic.stream import stream
from valkeyctl.errors import (
    AuthError,
    MissingError,
    PortTakenError,
    ToolError,
    UnreachableError,
    UsageError,
)

pytestmark = pytest.mark.usefixtures("nothing_left_running")

TOKEN = "a token for the tests"
QUICK = Plan.of(duration=1.0, rounds=5, users=6, warmup=0.2, requests=200, workers=2)
BODY = b'{"choices": [{"message": {"content": "right"}}]}'
REPLY = b"HTTP/1.1 200 OK\r\nX-Cache: hit\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
ARMS = [Arm("a"), Arm("b")]


def ignore(_: Progress | Work) -> None:
    """Nobody watches."""


def children(module: str) -> Iterator[psutil.Process]:
    """Yield our descendants that run *module*."""
    for child in psutil.Process().children(recursive=True):
        # One that has ended has no command any more.
        with contextlib.suppress(psutil.Error):
            if module in child.cmdline():
                yield child


def measured(samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Return the samples of the rounds."""
    return samples.rows[samples.rows["round"] >= 0]


@pytest.mark.slow
def test_two_workers_send_every_request_once(target: Target, tmp_path: Path) -> None:
    """Half of the stream each, and the samples, the origin and Locust agree."""
    seen: list[Progress] = []

    samples = run(QUICK, target, out=tmp_path, progress=seen.append)

    rows = measured(samples)
    for arm in (0, 1):
        mine = rows[rows["arm"] == arm]
        assert sorted(mine["index"]) == list(range(200))
        assert list(np.bincount(mine["worker"])) == [100, 100]
        assert (mine["index"] % 2 == mine["worker"]).all()
    assert samples.facts["locust"] == {"requests": len(samples.rows), "failures": 0}
    assert sum(stage.origin_calls or 0 for stage in samples.stages if stage.arm == 1) == 200
    assert [stage.size for stage in samples.stages] == [40] * 10
    for stage in samples.stages:
        played = rows[(rows["arm"] == stage.arm) & (rows["round"] == stage.round)]
        assert (played["start"] >= stage.begin).all()
        assert (played["end"] <= stage.end).all()
    crew = samples.facts["crew"]
    assert isinstance(crew, dict)
    assert crew["clock_error_ms"] == 0
    assert isinstance(crew["members"], list)
    assert len(crew["members"]) == 2
    assert (seen[-1].done, seen[-1].total) == (400, 400)


@pytest.mark.slow
def test_three_workers_keep_one_schedule(target: Target, tmp_path: Path) -> None:
    """What they send together was due when the plan says; none waits for another."""
    plan = Plan.of(rate=300.0, duration=1.0, rounds=2, warmup=0.2, workers=3, max_in_flight=50)

    samples = run(plan, target, out=tmp_path, progress=ignore)

    rows = measured(samples)
    for stage in samples.stages:
        played = np.sort(
            rows[(rows["arm"] == stage.arm) & (rows["round"] == stage.round)], order="index"
        )
        due = np.array([one.due for one, _ in zip(stream(plan), range(150), strict=False)])
        due = due[played["index"]]
        assert set(played["worker"]) == {0, 1, 2}
        assert np.diff(played["intended"]) == pytest.approx(np.diff(due), abs=1e-6)
        # The moment at which all of them begin is the first arrival.
        assert played["intended"][0] == pytest.approx(stage.begin, abs=1e-6)
        assert stage.lateness_p99_ms is not None
        assert (played["start"] >= played["intended"] - 1e-6).all()
    assert (rows["error"] == 0).all()


@pytest.mark.slow
def test_a_worker_that_is_killed_ends_the_run(target: Target, tmp_path: Path) -> None:
    """By name, and what was measured until then is kept."""
    plan = Plan.of(rate=100.0, duration=30.0, rounds=20, warmup=0.2, workers=2)

    def kill(now: Progress) -> None:
        if now.phase == "measuring" and now.round == 2:
            for child in [*children("valkeyctl.bench.load.worker")][:1]:
                child.kill()

    with pytest.raises(ToolError, match=r"worker \d .*ended"):
        run(plan, target, out=tmp_path, progress=kill)

    kept = load_samples(tmp_path)
    assert kept.incomplete
    assert kept.complete_rounds() == [0]


def _start(port: int, token: str, *, host: str = "127.0.0.1") -> subprocess.Popen[bytes]:
    """Start the command that joins a run."""
    said = subprocess.Popen(
        [
            *(sys.executable, "-m", "valkeyctl", "bench", "worker", "-o", "json"),
            *("--master-host", host, "--master-port", str(port), "--wait", "20s"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert said.stdin is not None
    said.stdin.write(token.encode() + b"\n")
    said.stdin.close()
    return said


def _ended(process: subprocess.Popen[bytes]) -> tuple[int, dict[str, object]]:
    """Return a command's status and what it printed."""
    assert process.stdout is not None
    with process.stdout as output:
        text = output.read()
    return process.wait(20), json.loads(text)


@pytest.mark.slow
def test_workers_join_at_another_address(tmp_path: Path) -> None:
    """They end with 0; one that does not know the token is not heard."""
    plan = Plan.of(
        duration=1.0, rounds=2, users=4, warmup=0.2, requests=100, workers=0, remote_workers=2,
        arms=ARMS, scenario="llm-chat",
    )  # fmt: skip
    port = free_port()
    with Scripted(always(REPLY)) as server:
        target = Target(url=server.url, master=("127.0.0.2", port), token=TOKEN)
        said = [_start(port, token, host="127.0.0.2") for token in ("another", TOKEN, TOKEN)]
        try:
            samples = run(plan, target, out=tmp_path, progress=ignore)
        finally:
            ended = [_ended(one) for one in said]

    rows = measured(samples)
    for arm in (0, 1):
        assert sorted(rows["index"][rows["arm"] == arm]) == list(range(100))
    assert [status for status, _ in ended] == [3, 0, 0]
    stranger, *members = (document for _, document in ended)
    assert isinstance(stranger["error"], dict)
    assert stranger["error"]["code"] == "auth"
    sent = [one["data"]["samples"] for one in members if isinstance(one["data"], dict)]
    assert sum(sent) == len(samples.rows)
    assert TOKEN not in "".join(
        file.read_text(errors="replace") for file in tmp_path.iterdir() if file.is_file()
    )


@pytest.mark.slow
def test_a_worker_that_is_stopped_elsewhere_ends_the_run(tmp_path: Path) -> None:
    """At once: it takes its leave."""
    plan = Plan.of(
        rate=100.0, duration=60.0, rounds=30, warmup=0.2, workers=1, remote_workers=1, arms=ARMS
    )
    port = free_port()
    with Scripted(always(REPLY)) as server:
        target = Target(url=server.url, master=("127.0.0.1", port), token=TOKEN)
        said = _start(port, TOKEN)

        def stop(now: Progress) -> None:
            if now.phase == "measuring" and said.poll() is None:
                said.send_signal(signal.SIGTERM)

        try:
            with pytest.raises(ToolError, match=r"worker \d \(.*, process \d+\) ended before"):
                run(plan, target, out=tmp_path, progress=stop)
        finally:
            status, _ = _ended(said)

    assert status == 130


def test_nobody_joins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Says how many were waited for."""
    monkeypatch.setattr(generator_module, "_REMOTE_PATIENCE", 0.2)
    plan = Plan.of(duration=1.0, rounds=2, users=4, workers=0, remote_workers=2, arms=ARMS)

    with Scripted(always(REPLY)) as server:
        target = Target(url=server.url, master=("127.0.0.1", free_port()))

        with pytest.raises(MissingError, match="2 workers were waited for"):
            run(plan, target, out=tmp_path, progress=ignore)


def test_a_place_to_meet_that_is_taken(tmp_path: Path) -> None:
    """Is said before anybody waits."""
    plan = Plan.of(duration=1.0, rounds=2, users=4, workers=0, remote_workers=1, arms=ARMS)

    with Scripted(always(REPLY)) as server:
        target = Target(url=server.url, master=("127.0.0.1", server.port))

        with pytest.raises(PortTakenError, match=f"127.0.0.1:{server.port}"):
            run(plan, target, out=tmp_path, progress=ignore)


def test_a_worker_without_a_master(tmp_path: Path) -> None:
    """Gives up when nobody answers."""
    port = free_port()

    with pytest.raises(UnreachableError, match=f"no Locust master answers at 127.0.0.1:{port}"):
        work(
            ("127.0.0.1", port),
            TOKEN,
            locustfile=None,
            patience=0.3,
            log=tmp_path / "log",
            progress=ignore,
        )


@pytest.mark.slow
def test_a_worker_ends_when_its_master_is_gone(tmp_path: Path) -> None:
    """It notices the silence; nothing of it stays."""
    plan = Plan.of(
        rate=50.0, duration=60.0, rounds=30, warmup=0.2, workers=1, remote_workers=1, arms=ARMS
    )
    port = free_port()
    failed: list[BaseException] = []
    seen: list[Work] = []

    def join() -> None:
        try:
            work(
                ("127.0.0.1", port),
                TOKEN,
                locustfile=None,
                patience=20,
                silence=3,
                log=tmp_path / "log",
                progress=seen.append,
            )
        except (ToolError, UnreachableError, AuthError) as error:
            failed.append(error)

    def kill(now: Progress) -> None:
        if now.phase == "measuring":
            for child in children("valkeyctl.bench.load.master"):
                child.kill()

    with Scripted(always(REPLY)) as server:
        target = Target(url=server.url, master=("127.0.0.1", port), token=TOKEN)
        thread = threading.Thread(target=join)
        thread.start()
        try:
            with pytest.raises(ToolError, match="Locust ended"):
                run(plan, target, out=tmp_path / "out", progress=kill)
        finally:
            thread.join(30)

    assert not thread.is_alive()
    assert isinstance(failed[0], UnreachableError)
    assert "silent" in str(failed[0])
    assert seen[-1].worker in {1, 2}


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"users": 3, "workers": 4}, "4 workers cannot share 3 users"),
        ({"rate": 10.0, "max_in_flight": 1, "workers": 2}, "cannot share 1 places"),
        ({"workers": 200, "remote_workers": 100, "users": 1000}, "workers are 300"),
        ({"workers": 0}, "workers are 0"),
    ],
)
def test_work_that_cannot_be_shared_is_refused(values: dict[str, float], text: str) -> None:
    """Before anything starts."""
    with pytest.raises(UsageError, match=text):
        Plan.of(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_parts_are_the_whole(workers: int) -> None:
    """Users, places in flight, and each block's requests."""
    plan = Plan.of(rate=1000.0, max_in_flight=20, users=10, requests=1000, seed=3)
    sizes = cut(1000, 7)
    sources = [BlockSource(plan, "", sizes, worker=w, workers=workers) for w in range(workers)]

    assert sum(share(10, worker, workers) for worker in range(workers)) == 10
    assert sum(own_part(plan, w, workers).max_in_flight for w in range(workers)) == 20
    low = 0
    for number, size in enumerate(sizes):
        stage = Stage(0, number, size)
        parts = [list(source.block(stage)) for source in sources]
        assert sorted(one.index for part in parts for one in part) == [*range(low, low + size)]
        # Whoever has the first request knows when the whole block begins.
        firsts = [source.first for source in sources if source.first is not None]
        assert min(firsts) == min(one.due or 0.0 for part in parts for one in part)
        low += size


def test_a_clock_is_read_by_its_quickest_answer() -> None:
    """The middle of the question, give or take half of it."""
    found = offset([(0.0, 90.0, 20.0), (30.0, 95.5, 32.0)])

    assert found == Offset(-64.5, 1.0)


def test_samples_of_another_process_get_our_codes_and_our_clock(tmp_path: Path) -> None:
    """Errors and kinds are numbered by each process for itself."""
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    theirs.mkdir()
    ours.mkdir()
    stage = Stage(1, 2, 2)
    with_error = Recorder(theirs)
    for index, error in enumerate((None, "HTTP 500")):
        with_error.write(
            stage, index, intended=1.0, start=1.5, end=2.0, status=200, outcome=1, size=3,
            error=error, queued=False, request=0, worker=4,
        )  # fmt: skip
    with_error.close()
    records = (theirs / SAMPLES_FILE).read_bytes()
    ledger = Ledger(ours)
    for known in ("one", "two"):
        ledger.merge(
            records[RECORD.size :], stage, worker=4, clock=Offset(), errors=[known], kinds=[0]
        )

    kept = ledger.merge(
        records, stage, worker=4, clock=Offset(10.0), errors=with_error.texts, kinds=[7]
    )
    with pytest.raises(ToolError, match="another stage"):
        ledger.merge(records, stage, worker=3, clock=Offset(), errors=["x"], kinds=None)
    with pytest.raises(ToolError, match="torn"):
        ledger.merge(records[:-1], stage, worker=4, clock=Offset(), errors=["x"], kinds=None)
    ledger.close()

    rows = np.fromfile(ours / SAMPLES_FILE, DTYPE)
    assert kept == 2
    assert (ledger.count, ledger.failed) == (4, 3)
    assert list(rows["error"]) == [1, 2, 0, 3]
    assert list(rows["request"]) == [0, 0, 7, 7]
    assert list(rows["intended"]) == [1.0, 1.0, 11.0, 11.0]
    assert np.isnan(rows["first"]).all()
    assert ledger.texts == ["one", "two", "HTTP 500"]


@pytest.mark.slow
def test_killed_workers_are_gone(target: Target, tmp_path: Path) -> None:
    """When the process that runs is killed, no worker of it stays."""
    code = (
        "import sys; from pathlib import Path; "
        "from valkeyctl.bench.plan import Plan; from valkeyctl.bench.run import run; "
        "from valkeyctl.bench.services.target import Target; "
        "run(Plan.of(rate=50.0, duration=60.0, workers=2, warmup=0.1), "
        "Target(url=sys.argv[1]), out=Path(sys.argv[2]), "
        "progress=lambda now: print(now.phase, flush=True))"
    )
    with Scripted(always(REPLY)) as server:
        said = subprocess.Popen(
            [sys.executable, "-c", code, server.url, str(tmp_path)], stdout=subprocess.PIPE
        )
        assert said.stdout is not None
        with said.stdout as output:
            assert any(b"measuring" in line for line in output)
            started = psutil.Process(said.pid).children(recursive=True)
            os.kill(said.pid, signal.SIGKILL)
            said.wait()

    began = time.monotonic()
    assert len(started) == 3
    assert all(gone(child.pid) for child in started)
    assert time.monotonic() - began < 10

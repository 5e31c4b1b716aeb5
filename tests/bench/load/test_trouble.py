"""Children that are killed, that hang, and that will not end; and answers without an end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partialmethod
from pathlib import Path

import psutil
import pytest

from tests.bench.conftest import gone
from tests.bench.load.scripted import Scripted, always, request
from tests.conftest import free_port
from valkeyctl.bench.arm import Arm
from valkeyctl.bench.load import generator as generator_module
from valkeyctl.bench.load import workers as workers_module
from valkeyctl.bench.load.generator import Progress
from valkeyctl.bench.load.workers import Work, work
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.run import run
from valkeyctl.bench.samples import load_samples
from valkeyctl.bench.services.children import Child
from valkeyctl.bench.services.target import Target
from valkeyctl.bench.traffic.scenariofile import load_scenario
from valkeyctl.errors import ToolError, UnreachableError
from valkeyctl.ops.drill.throwaway import start_for_run

pytestmark = pytest.mark.usefixtures("nothing_left_running")

BODY = b'{"choices": [{"message": {"content": "right"}}]}'
REPLY = b"HTTP/1.1 200 OK\r\nX-Cache: hit\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
ARMS = [Arm("a"), Arm("b")]
LONG = Plan.of(rate=200.0, duration=30.0, rounds=150, warmup=0.2, arms=ARMS)
CACHES = (Arm("small", server=(("maxmemory", "16mb"),)),)
HOLDS_ON = """
import time
from locust import HttpUser, task

class Holds(HttpUser):
    @task
    def hold(self):
        self.client.get("/")
        until = time.monotonic() + 60
        while time.monotonic() < until:
            pass
"""
# Says that it is connected, closes what it says it by, and does not end.
STUBBORN = """
import json, os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pipe = json.loads(os.environ["VALKEYCTL_BENCH_HIRE"])["progress_fd"]
os.write(pipe, b'{"event": "connected"}\\n')
os.close(pipe)
time.sleep(60)
"""


def ignore(_: Progress | Work) -> None:
    """Nobody watches."""


def send(number: signal.Signals, what: str) -> Callable[[Progress], None]:
    """Return a listener that signals the child whose command has *what*, in the second round."""
    sent: list[int] = []

    def listen(now: Progress) -> None:
        if now.phase != "measuring" or now.round < 2 or sent:
            return
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if any(what in word for word in child.cmdline()):
                    sent.append(child.pid)
                    child.send_signal(number)
                    return

    return listen


@pytest.mark.parametrize(
    ("workers", "what", "said"),
    [
        (1, "load.users", "Locust ended with status -9"),
        pytest.param(2, "load.master", "Locust ended with status -9", marks=pytest.mark.slow),
    ],
)
def test_a_killed_load_generator_ends_the_run(
    tmp_path: Path, workers: int, what: str, said: str
) -> None:
    """The round that was whole is kept, and no worker goes on."""
    plan = replace(LONG, workers=workers)

    with Scripted(always(REPLY)) as server, pytest.raises(ToolError, match=said):
        run(plan, Target(url=server.url), out=tmp_path, progress=send(signal.SIGKILL, what))

    kept = load_samples(tmp_path)
    assert kept.incomplete
    assert 0 in kept.complete_rounds()
    assert "status -9" in str(kept.facts["failure"])


def test_a_killed_gateway_ends_the_run(target: Target, tmp_path: Path) -> None:
    """By its name and how it ended."""
    with pytest.raises(ToolError, match="the gateway ended with status -9 during the run"):
        run(LONG, target, out=tmp_path, progress=send(signal.SIGKILL, "fake_gateway"))

    assert load_samples(tmp_path).incomplete


def test_a_killed_server_of_an_arm_ends_the_run(tmp_path: Path) -> None:
    """Else the arm would be measured without the cache that it names; its folder goes, too."""
    plan = replace(LONG, scenario=replace(load_scenario("api"), arms=(), server=()), arms=CACHES)
    ours = f"valkeyctl-trial-{os.getpid()}-*"
    before = {*Path(tempfile.gettempdir()).glob(ours)}

    with pytest.raises(ToolError, match="the throwaway server of small ended during the run"):
        run(
            plan,
            Target(serve=start_for_run),
            out=tmp_path,
            progress=send(signal.SIGKILL, "/valkey.conf"),
        )

    assert load_samples(tmp_path).incomplete
    assert {*Path(tempfile.gettempdir()).glob(ours)} == before


@pytest.mark.slow
def test_a_load_generator_that_stands_still_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is stopped says nothing any more, and would be waited for for ever."""
    halt = send(signal.SIGSTOP, "load.users")

    def stop(now: Progress) -> None:
        if now.phase == "measuring" and now.round >= 2:
            # Not before: it may take long to begin on a busy machine.
            monkeypatch.setattr(generator_module, "_SILENCE", 1.0)
            halt(now)

    with (
        Scripted(always(REPLY)) as server,
        pytest.raises(ToolError, match="Locust has said nothing for 1 s"),
    ):
        run(LONG, Target(url=server.url), out=tmp_path, progress=stop)

    assert load_samples(tmp_path).complete_rounds()


@pytest.mark.slow
def test_a_locustfile_that_does_not_let_go_ends_with_its_parent(tmp_path: Path) -> None:
    """Its event loop stands still, so nothing that waits in it would see the parent die."""
    file = tmp_path / "holds.py"
    file.write_text(HOLDS_ON)
    code = (
        "import sys; from pathlib import Path; "
        "from valkeyctl.bench.plan import Plan; from valkeyctl.bench.run import run; "
        "from valkeyctl.bench.services.target import Target; "
        "run(Plan.of(locustfile=Path(sys.argv[3]), users=1, duration=60.0, warmup=1.0), "
        "Target(url=sys.argv[1]), out=Path(sys.argv[2]), "
        "progress=lambda now: print(now.phase, flush=True))"
    )
    with Scripted(always(REPLY)) as server:
        parent = subprocess.Popen(
            [sys.executable, "-c", code, server.url, str(tmp_path / "out"), str(file)],
            stdout=subprocess.PIPE,
        )
        assert parent.stdout is not None
        with parent.stdout as output:
            assert any(b"warm-up" in line for line in output)
            started = psutil.Process(parent.pid).children(recursive=True)
            os.kill(parent.pid, signal.SIGKILL)
            parent.wait()

        assert len(started) == 1
        assert gone(started[0].pid, within=20)


def test_a_worker_that_does_not_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a sentence, although it has closed what it says all by and ignores SIGTERM."""
    monkeypatch.setattr(workers_module, "command_of", lambda _: [sys.executable, "-c", STUBBORN])
    monkeypatch.setattr(workers_module, "_END_PATIENCE", 0.2)
    monkeypatch.setattr(Child, "end", partialmethod(Child.end, grace=0.2))
    seen: list[Work] = []

    with pytest.raises(ToolError, match="the worker's process stopped working before the run"):
        work(
            ("127.0.0.1", free_port()),
            "a token",
            locustfile=None,
            patience=5,
            log=tmp_path / "log",
            progress=seen.append,
        )

    assert seen[-1].phase == "waiting"


@pytest.mark.parametrize("every", [1, 40])
def test_answers_without_an_end_do_not_hold_up_the_run(tmp_path: Path, every: int) -> None:
    """Each is an error after the deadline, although it is never silent."""
    served = 0

    def endless(connection: socket.socket) -> None:
        nonlocal served
        while got := request(connection):
            served += 1
            if b"/metrics" in got or served % every:
                connection.sendall(REPLY)
                continue
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            while True:
                connection.sendall(b"data: x\n\n")
                time.sleep(0.02)

    plan = Plan.of(
        users=4, requests=100, rounds=2, warmup=0.2, duration=1.0, arms=ARMS[:1], deadline=0.3
    )
    begin = time.monotonic()

    with Scripted(endless) as server:
        target = Target(url=server.url)
        if every == 1:
            with pytest.raises(
                UnreachableError, match=r"the first: answer not ended within 0\.3 s"
            ):
                run(plan, target, out=tmp_path, progress=ignore)
        else:
            run(plan, target, out=tmp_path, progress=ignore)

    samples = load_samples(tmp_path)
    failed = samples.rows[samples.rows["error"] > 0]
    assert time.monotonic() - begin < 20
    assert samples.errors == ("answer not ended within 0.3 s",)
    assert len(failed) >= 2
    assert (failed["end"] - failed["start"] >= 0.3).all()

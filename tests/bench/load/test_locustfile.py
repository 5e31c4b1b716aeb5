"""Runs whose load is the user's own locustfile."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.bench.load.scripted import Scripted, request
from valkeyctl.bench.arm import Arm
from valkeyctl.bench.load.checking import inspect
from valkeyctl.bench.load.generator import Progress
from valkeyctl.bench.load.kinds import Kinds
from valkeyctl.bench.load.record import OUTCOMES
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.report import report
from valkeyctl.bench.run import run
from valkeyctl.bench.samples import load_samples
from valkeyctl.bench.services.target import Target
from valkeyctl.cli.bench.wishes import Wishes
from valkeyctl.errors import ToolError, UsageError

ARMS = [Arm("a", headers=(("X-Arm", "a"),)), Arm("b", headers=(("X-Arm", "b"),))]
OWN = """
import gevent
from locust import FastHttpUser, HttpUser, User, constant, task

NUMBERS = open("numbers.txt").read()


class Plain(HttpUser):
    wait_time = constant(0.005)

    def on_start(self):
        self.client.get("/login", name="login", headers={"x-arm": "mine"})

    @task
    def read(self):
        self.client.get("/read", name="read")

    @task
    def strict(self):
        with self.client.get("/strict", name="strict", catch_response=True) as answer:
            answer.failure("not what I want")


class Fast(FastHttpUser):
    wait_time = constant(0.005)

    @task
    def fast(self):
        self.client.get("/fast", name="fast")


class Own(User):
    wait_time = constant(0.02)

    @task
    def compute(self):
        gevent.sleep(0.003)
        self.environment.events.request.fire(
            request_type="own", name="compute", response_time=3.0, response_length=7,
            exception=None, context={},
        )
"""


class Seen:
    """Answers each request after a moment, and notes which arm asked for what, and when."""

    def __init__(self, delay: float = 0.002) -> None:
        self.asked: list[tuple[str, str, float, float]] = []
        self._delay = delay
        self._lock = threading.Lock()

    def __call__(self, connection: socket.socket) -> None:
        while got := request(connection):
            begin = time.perf_counter()
            time.sleep(self._delay)
            head = got.decode("latin-1").lower()
            path = head.split()[1]
            arm = head.partition("x-arm: ")[2].split("\r\n")[0]
            status = b"500 No" if path == "/broken" else b"200 OK"
            with self._lock:
                self.asked.append((arm, path, begin, time.perf_counter()))
            connection.sendall(
                b"HTTP/1.1 %s\r\nX-Cache: hit\r\nContent-Length: 2\r\n\r\nok" % status
            )


def ignore(_: Progress) -> None:
    """Nobody watches."""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A locustfile of three kinds of users, which opens a file where the user is."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "numbers.txt").write_text("1 2 3")
    file = tmp_path / "own users.py"
    file.write_text(OWN)
    return file


@pytest.mark.slow
def test_the_users_of_a_locustfile_are_the_load(own: Path, tmp_path: Path) -> None:
    """Each request is a sample of its name; arms never overlap, and their headers are sent."""
    plan = Plan.of(locustfile=own, arms=ARMS, users=6, duration=2.0, rounds=5, warmup=0.4)
    seen = Seen()

    with Scripted(seen) as server:
        samples = run(plan, Target(url=server.url), out=tmp_path / "out", progress=ignore)

    rows = samples.rows
    names = [one.name for one in samples.plan.scenario.requests]
    assert sorted(names) == ["compute", "fast", "login", "read", "strict"]
    assert samples.plan.scenario.name == "own-users"
    kinds = Counter(names[code] for code in rows["request"])
    asked = Counter(path.removeprefix("/") for _, path, _, _ in seen.asked)
    asked.pop("metrics")
    assert {name: kinds[name] for name in asked} == asked
    assert samples.facts["locust"] == {
        "requests": len(rows),
        "failures": kinds["strict"],
    }
    assert set(np.unique(rows["error"][rows["request"] == names.index("strict")])) == {1}
    assert samples.errors == ("not what I want",)
    assert kinds["login"] == 4  # two users of the class in each arm, in the warm-up
    computed = rows[rows["request"] == names.index("compute")]
    assert (computed["size"] == 7).all()
    assert (computed["end"] - computed["start"]) == pytest.approx(0.003)
    fast = rows[rows["request"] == names.index("fast")]
    assert {OUTCOMES[code] for code in fast["outcome"]} == {"hit"}
    assert (fast["status"] == 200).all()
    for stage in samples.stages:
        played = rows[(rows["arm"] == stage.arm) & (rows["round"] == stage.round)]
        assert len(played) == stage.size
        # Locust dates a request by the wall clock, which may be slewed meanwhile.
        assert (played["start"] >= stage.begin - 0.01).all()
        assert (played["end"] <= stage.end + 1e-6).all()
        # Whatever the server saw in this time came from this arm.
        during = [
            arm
            for arm, path, begin, end in seen.asked
            if path != "/metrics" and begin > stage.begin and end < stage.end
        ]
        assert set(during) == {"ab"[stage.arm]}
    shown = report(samples)
    assert [one.name for one in shown.arms[0].kinds] == names
    assert shown.plan.who == "your locustfile, 6 users"


@pytest.mark.slow
def test_workers_share_the_users_of_a_locustfile(own: Path, tmp_path: Path) -> None:
    """Both have some, kinds keep their names, and every sample arrives."""
    plan = Plan.of(
        locustfile=own, arms=ARMS, users=6, duration=1.0, rounds=2, warmup=0.2, workers=2
    )
    seen = Seen()

    with Scripted(seen) as server:
        samples = run(plan, Target(url=server.url), out=tmp_path / "out", progress=ignore)

    rows = samples.rows
    names = [one.name for one in samples.plan.scenario.requests]
    asked = Counter(path.removeprefix("/") for _, path, _, _ in seen.asked)
    asked.pop("metrics")
    kinds = Counter(names[code] for code in rows["request"])
    assert {name: kinds[name] for name in asked} == asked
    assert set(rows["worker"]) == {0, 1}
    assert kinds["login"] == 4
    assert samples.facts["locust"] == {"requests": len(rows), "failures": kinds["strict"]}


@pytest.mark.slow
def test_a_task_that_does_not_end_is_an_error(own: Path, tmp_path: Path) -> None:
    """It is given up after the timeout, and its user is replaced."""
    own.write_text(
        "import gevent\nfrom locust import HttpUser, task\n"
        "class Long(HttpUser):\n"
        "    @task\n"
        "    def long(self):\n"
        "        self.client.get('/one', name='one')\n"
        "        gevent.sleep(60)\n"
    )
    plan = Plan.of(
        locustfile=own, arms=ARMS[:1], users=2, duration=0.4, rounds=2, warmup=0.1, timeout=0.2
    )

    with Scripted(Seen()) as server:
        samples = run(plan, Target(url=server.url), out=tmp_path / "out", progress=ignore)

    names = [one.name for one in samples.plan.scenario.requests]
    late = samples.rows[samples.rows["request"] == names.index("(unfinished task)")]
    assert len(late) == 6
    assert (late["error"] > 0).all()
    assert (samples.rows["request"] == names.index("one")).sum() == 6


@pytest.mark.slow
def test_users_who_send_nothing_end_the_run(own: Path, tmp_path: Path) -> None:
    """With the error that they made."""
    own.write_text(
        "from locust import HttpUser, task\n"
        "class Broken(HttpUser):\n"
        "    @task\n"
        "    def broken(self):\n"
        "        raise ValueError('my mistake')\n"
    )
    plan = Plan.of(locustfile=own, arms=ARMS, users=1, duration=0.4, rounds=2, warmup=0)

    with Scripted(Seen()) as server, pytest.raises(ToolError, match="ValueError: my mistake"):
        run(plan, Target(url=server.url), out=tmp_path / "out", progress=ignore)

    assert load_samples(tmp_path / "out").incomplete


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import locust\ndef x(:\n", r"own users.py:2: invalid syntax"),
        ("\nimport nothing_of_this_name\n", r"own users.py:2: ModuleNotFoundError: No module"),
        ("from locust import task\n", r"own users.py:1: there is no user class"),
        ("import os\nos._exit(7)\n", r"own users.py:1: it ended Python with status 7"),
        ("import sys\nsys.exit('no')\n", r"own users.py:2: SystemExit: no"),
    ],
)
def test_a_faulty_locustfile_is_one_sentence(own: Path, text: str, said: str) -> None:
    """With its line, and nothing is started for it."""
    own.write_text(text)

    with pytest.raises(UsageError, match=said):
        inspect(own)


def test_what_a_run_cannot_do_is_said(own: Path) -> None:
    """Headers of users that are not Locust's own HTTP users, and load shapes."""
    own.write_text(
        OWN + "\nfrom locust import LoadTestShape\nclass Steps(LoadTestShape):\n"
        "    def tick(self):\n        return None\n"
    )

    found = inspect(own)

    assert found.classes == ("Plain", "Fast", "Own")
    headers, shape = found.limits()
    assert headers.startswith("Own is no HttpUser or FastHttpUser")
    assert shape.startswith("Steps is not followed")


def test_a_locustfile_that_is_not_there(tmp_path: Path) -> None:
    """Is wrong usage."""
    with pytest.raises(UsageError, match="is no file"):
        inspect(tmp_path / "none.py")


@pytest.mark.slow
def test_a_fault_in_the_file_is_found_by_the_run_too(own: Path, tmp_path: Path) -> None:
    """For those who call it without the command line."""
    own.write_text("from locust import task\n")
    plan = Plan.of(locustfile=own, arms=ARMS, users=1, duration=0.4, rounds=2)

    with Scripted(Seen()) as server, pytest.raises(UsageError, match="no user class"):
        run(plan, Target(url=server.url), out=tmp_path / "out", progress=ignore)


@pytest.mark.parametrize(
    "wishes",
    [
        Wishes(locustfile=Path("x.py"), rate=1.0),
        Wishes(locustfile=Path("x.py"), trace=Path("t")),
        Wishes(locustfile=Path("x.py"), requests=10),
        Wishes(locustfile=Path("x.py"), scenario="api"),
        Wishes(locustfile=Path("x.py"), speedup=2.0),
    ],
)
def test_what_a_locustfile_decides_itself_is_refused(wishes: Wishes) -> None:
    """Rather than left out of account."""
    with pytest.raises(UsageError):
        wishes.check()


def test_names_beyond_the_first_255_are_others() -> None:
    """A sample has one byte for them."""
    told: list[int] = []
    kinds = Kinds(lambda names: told.append(len(names)))

    codes = [kinds.code(f"name {number}") for number in range(300)]

    assert codes[:255] == list(range(255))
    assert set(codes[255:]) == {255}
    assert kinds.names[255:] == ["other"]
    assert kinds.code("name 7") == 7
    assert told == list(range(1, 257))

"""Runs beside the settings of the user's own Locust, which must not reach them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.bench.load.scripted import Scripted, always
from valkeyctl.bench.arm import Arm
from valkeyctl.bench.load.checking import inspect
from valkeyctl.bench.load.generator import Progress
from valkeyctl.bench.load.surroundings import child_environment
from valkeyctl.bench.plan import Plan
from valkeyctl.bench.run import run
from valkeyctl.bench.services.target import Target
from valkeyctl.errors import UsageError

BODY = b'{"choices": [{"message": {"content": "right"}}]}'
REPLY = b"HTTP/1.1 200 OK\r\nX-Cache: hit\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
ARMS = [Arm("a"), Arm("b")]
# Each of them changes or ends a run of Locust's command.
VARIABLES = {
    "LOCUST_RUN_TIME": "1s",
    "LOCUST_USERS": "3",
    "LOCUST_HEADLESS": "false",
    "LOCUST_MODE_MASTER": "true",
    "LOCUST_SKIP_MONKEY_PATCH": "1",
    "LOCUST_LOCUSTFILE": "nowhere.py",
    "LOCUST_USER_CLASSES": "Nobody",
    "LOCUST_TAGS": "none",
    "LOCUST_SHOP": "from a variable of Locust's",
    "GEVENT_LOOP": "no.such.Loop",
}
SETTINGS = "run-time = 1s\nusers = 3\nmaster = true\nexclude-tags = all\nshop = from a file\n"
MODULES = ("locust.py", "random.py", "gevent.py", "valkeyctl.py")
SHOP = """
import json
from locust import HttpUser, constant, events, tag, task

HEARD = []


@events.init_command_line_parser.add_listener
def options(parser):
    parser.add_argument("--shop", default="the default", env_var="LOCUST_SHOP")
    parser.add_argument("--till", default="the default", env_var="TILL")


@events.init.add_listener
def begin(environment, **_):
    HEARD.append("init")


@events.test_start.add_listener
def start(environment, **_):
    HEARD.append("test_start")


@events.test_stop.add_listener
def stop(environment, **_):
    given = environment.parsed_options
    said = [*HEARD, "test_stop", given.shop, given.till, given.num_users]
    with open("said.txt", "a") as file:
        file.write(json.dumps(said) + "\\n")


class Buyer(HttpUser):
    wait_time = constant(0.01)

    @tag("all")
    @task
    def buy(self):
        self.client.get("/buy", name="buy")
"""


def ignore(_: Progress) -> None:
    """Nobody watches."""


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the user is in and the run's own, full of settings; and so is home."""
    (tmp_path / ".locust.conf").write_text(SETTINGS)
    (tmp_path / "locust.conf").write_text(SETTINGS)
    (tmp_path / "pyproject.toml").write_text('[tool.locust]\nusers = 3\nrun-time = "1s"\n')
    for name in MODULES:
        (tmp_path / name).write_text("raise SystemExit('this is not the module')\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def test_variables_of_locust_are_not_handed_on(hostile: Path) -> None:
    """The others are, and ours beside them."""
    environment = child_environment({"OURS": "1"})

    assert not {*VARIABLES} & {*environment}
    assert (environment["OURS"], environment["HOME"]) == ("1", str(hostile))


def test_settings_of_the_user_s_locust_change_nothing(hostile: Path) -> None:
    """As many requests as planned, although each setting alone would spoil the run."""
    plan = Plan.of(arms=ARMS, users=4, requests=100, rounds=5, duration=1.0, warmup=0.1)

    with Scripted(always(REPLY)) as server:
        samples = run(plan, Target(url=server.url), out=hostile, progress=ignore)

    rows = samples.rows[samples.rows["round"] >= 0]
    assert not samples.incomplete
    assert (np.bincount(rows["arm"]) == 100).all()
    assert (rows["error"] == 0).all()
    assert samples.facts["locust"] == {"requests": len(samples.rows), "failures": 0}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_locustfile_hears_its_events_and_has_its_own_options(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """With their defaults or variables of its own; the same with workers as without."""
    for name in MODULES:
        # On the import path of a locustfile, as in Locust itself.
        (hostile / name).unlink()
    monkeypatch.setenv("TILL", "from a variable of mine")
    file = hostile / "shop.py"
    file.write_text(SHOP)
    plan = Plan.of(
        locustfile=file, arms=ARMS, users=4, duration=0.6, rounds=2, warmup=0.1, workers=workers
    )

    with Scripted(always(REPLY)) as server:
        samples = run(plan, Target(url=server.url), out=hostile / "out", progress=ignore)

    said = [json.loads(line) for line in (hostile / "said.txt").read_text().splitlines()]
    assert not samples.incomplete
    assert said == workers * [
        ["init", "test_start", "test_stop", "the default", "from a variable of mine", 4]
    ]


def test_an_option_without_a_value_is_one_sentence(tmp_path: Path) -> None:
    """Said before anything starts: nobody can give it."""
    file = tmp_path / "shop.py"
    file.write_text(SHOP.replace('"--shop", default="the default"', '"--shop", required=True'))

    with pytest.raises(UsageError, match=r"shop.py: its options cannot be read: .*--shop"):
        inspect(file)

"""What a reader of a report learns of the machine, and what nobody must."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from valkeyctl.bench.environment import Watch, capture, command_line


class Clock:
    """Processor times that a test sets."""

    def __init__(self, *times: Mapping[str, float]) -> None:
        self._times = list(times)

    def __call__(self) -> Mapping[str, float]:
        return self._times.pop(0)


def test_the_machine_is_told() -> None:
    """Plain JSON, with what the figures depend on."""
    known = capture()

    assert json.loads(json.dumps(known)) == known
    assert known.keys() >= {
        *("python", "platform", "cpu", "cpu_count", "cpu_governor", "memory_bytes"),
        *("load_average", "versions", "command"),
    }
    assert isinstance(known["versions"], dict)
    assert {"valkeyctl", "locust", "numpy"} <= known["versions"].keys()


def test_time_that_the_hypervisor_took_is_told() -> None:
    """Of 200 s of two processors, 100 idle or waiting for a disk, 20 taken for others."""
    before = {"user": 50.0, "idle": 10.0, "iowait": 0.0, "steal": 1.0, "guest": 5.0}
    after = {"user": 130.0, "idle": 100.0, "iowait": 10.0, "steal": 21.0, "guest": 5.0}

    told = Watch(Clock(before, after)).end()

    assert told["cpu_busy_share"] == 0.5
    assert told["cpu_steal_share"] == 0.1
    assert isinstance(told["load_average_after"], list)


def test_a_system_without_steal_says_nothing_of_it() -> None:
    """None, not zero."""
    still = {"user": 1.0, "idle": 1.0}

    told = Watch(Clock(still, {"user": 2.0, "idle": 2.0})).end()
    nothing = Watch(Clock(still, still)).end()

    assert told["cpu_steal_share"] is None
    assert nothing["cpu_busy_share"] is None


@pytest.mark.parametrize(
    "argument",
    [
        "a=header:Authorization:Bearer hunter2",
        "--arm=a=env:API_KEY=hunter2",
        "redis://user:hunter2@127.0.0.1:6379",
        "--target=http://me:hunter2@host/",
    ],
)
def test_no_secret_of_the_command_line_is_kept(argument: str) -> None:
    """Headers, variables and URLs."""
    shown = command_line(["/usr/bin/valkeyctl", "bench", argument])

    assert shown.startswith("valkeyctl bench ")
    assert "hunter2" not in shown
    assert "***" in shown

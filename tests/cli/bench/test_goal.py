"""What the command line lets a load run start, ask and break."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.conftest import free_port
from valkeyctl.bench.traffic.scenariofile import load_scenario
from valkeyctl.endpoint import Endpoint

SHORT = ("--requests", "40", "--rounds", "2", "--warmup", "0.1s", "--users", "2")
FAULTY = """
name: faulty
about: a fault in the middle
application: sample
requests: [{name: item, path: "/items/{key}"}]
keys: {count: 10}
during: {kind: kill}
"""


@pytest.fixture
def faulty(tmp_path: Path) -> str:
    """A scenario with a fault, on a cache from outside."""
    file = tmp_path / "faulty.yaml"
    file.write_text(FAULTY)
    assert load_scenario(str(file)).during is not None
    return str(file)


@pytest.mark.slow
def test_arms_with_servers_of_their_own_need_no_deployment(ctl: Run, tmp_path: Path) -> None:
    """Nothing is deployed and no URL is given; nothing is asked of the default profile."""
    arms = [f"--arm={name}=server:maxmemory={size}" for name, size in (("a", "4mb"), ("b", "8mb"))]

    done = ctl("bench", "--scenario", "api", *arms, *SHORT, "--out", str(tmp_path / "out"))

    assert done.status in {0, 9}, done.err
    assert (tmp_path / "out" / "sample-2.log").exists()


def test_a_server_that_is_merely_reached_is_not_disturbed(
    ctl: Run, faulty: str, endpoint: Endpoint, tmp_path: Path
) -> None:
    """It is somebody's; nothing is started."""
    done = ctl("bench", "--url", endpoint.url(), "--scenario", faulty, "--out", str(tmp_path))

    assert done.status == 2
    assert "no deployment of ours" in done.err


def test_behind_an_application_of_the_users_nothing_is_guessed(
    ctl: Run, faulty: str, tmp_path: Path
) -> None:
    """Which deployment it caches on, nobody has said."""
    target = f"http://127.0.0.1:{free_port()}"

    done = ctl("bench", "--target", target, "--scenario", faulty, "--out", str(tmp_path))

    assert done.status == 2
    assert "no deployment of ours" in done.err

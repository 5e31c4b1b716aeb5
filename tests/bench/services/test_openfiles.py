"""How many files may be open while a run lasts."""

from __future__ import annotations

import resource

import pytest

from valkeyctl.bench.plan import Plan
from valkeyctl.bench.services.openfiles import enough_files
from valkeyctl.errors import ToolError


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """A system that allows 1,024 files, of which 256 are taken up; limits as they are set."""
    made = [(256, 1024)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: made[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, limit: made.append(limit))
    return made


def test_users_that_cannot_all_connect_are_refused_before_the_start(
    limits: list[tuple[int, int]],
) -> None:
    """Else their requests would be errors, in the middle of a long run."""
    with pytest.raises(ToolError, match="2,000 users need 2,200 open files, and 1,024 are"):
        enough_files(Plan.of(users=2000), 1).__enter__()

    assert limits == [(256, 1024)]


def test_what_the_system_allows_is_taken_up_and_put_back(limits: list[tuple[int, int]]) -> None:
    """Two applications with 300 users each."""
    with enough_files(Plan.of(users=300), 2):
        assert limits[-1] == (800, 1024)

    assert limits[-1] == (256, 1024)


def test_an_open_loop_takes_what_there_is(limits: list[tuple[int, int]]) -> None:
    """Its bound of requests in flight is seldom reached."""
    with enough_files(Plan.of(rate=10.0, max_in_flight=5000), 1):
        assert limits[-1] == (1024, 1024)


def test_few_users_change_nothing(limits: list[tuple[int, int]]) -> None:
    """They fit as it is."""
    with enough_files(Plan.of(users=4), 1):
        assert limits == [(256, 1024)]

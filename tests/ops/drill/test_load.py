"""The load of a drill ends whole, whatever becomes of the server meanwhile."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Callable

import pytest

from tests.caching.conftest import MortalServer, mortal_server
from tests.caching.test_closing import connections_to
from valkeyctl.ops.drill.load import KeyNames, Load
from valkeyctl.ops.drill.shards import Finder

__all__ = ["mortal_server"]


@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_it_ends_in_the_middle_of_connecting_again(
    mortal_server: Callable[..., MortalServer],
    fault: str,
) -> None:
    """No thread, no connection and nothing for the garbage collector is left."""
    server = mortal_server()
    finder = Finder(server.endpoint, timeout=0.25)
    before = set(threading.enumerate())

    with (
        warnings.catch_warnings(record=True) as caught,
        Load(finder, KeyNames("t", "load"), rate=200, confirm=0) as load,
    ):
        warnings.simplefilter("always", ResourceWarning)
        while not all(tally.answers for tally in load.tallies):
            threading.Event().wait(0.005)
        getattr(server, fault)()
        while not all(tally.failures for tally in load.tallies):
            threading.Event().wait(0.005)
        load.stop()
        gc.collect()

    assert set(threading.enumerate()) <= before
    assert connections_to(server.endpoint.port) == 0
    assert [str(one.message) for one in caught] == []


def test_a_bug_in_a_probe_leaves_no_connection(
    mortal_server: Callable[..., MortalServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is raised where the load ends."""
    server = mortal_server()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("valkeyctl.ops.drill.load.DirectProbe._write_next", broken)
    load = Load(Finder(server.endpoint, timeout=0.25), KeyNames("t", "load"), rate=50, confirm=0)

    with pytest.raises(ZeroDivisionError), load:
        load._threads[1].join(5)

    assert connections_to(server.endpoint.port) == 0

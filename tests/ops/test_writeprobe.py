"""The write gap: what is measured, and that nothing stays behind."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from tests.conftest import command, free_port
from tests.ops.conftest import Start, fact
from valkeyctl.endpoint import Endpoint
from valkeyctl.ops.writeprobe import WriteProbe


def test_a_frozen_server_is_a_gap_of_that_length(start: Start) -> None:
    """Frozen for 200 ms, the longest wait of a writer is at least that, and not much more."""
    endpoint = start()
    process_id = int(fact(endpoint, "process_id"))

    with WriteProbe([endpoint], "t") as probe:
        os.kill(process_id, signal.SIGSTOP)
        time.sleep(0.2)  # the length of the fault itself
        os.kill(process_id, signal.SIGCONT)

    assert probe.gap_ms is not None
    assert 190 < probe.gap_ms < 1000
    assert command(endpoint, "DBSIZE") == b":0\r\n"


def test_without_a_fault_the_gap_is_small(endpoint: Endpoint) -> None:
    """It is the pause between two writes, and what the machine adds."""
    with WriteProbe([endpoint], "t") as probe:
        pass

    assert probe.gap_ms is not None
    assert probe.gap_ms < 150


def test_a_gap_that_lasts_is_as_long_as_it_was_seen(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that does not come back has no gap of zero."""
    monkeypatch.setattr("valkeyctl.ops.writeprobe._LAST_WRITE", 0.3)
    endpoint = start()

    process_id = int(fact(endpoint, "process_id"))

    with WriteProbe([endpoint], "t") as probe:
        while probe.gap_ms is None:
            time.sleep(0.01)  # the probe's own thread has to write twice
        os.kill(process_id, signal.SIGKILL)

    assert probe.gap_ms > 200


def test_time_without_a_write_from_the_first_attempt_on_is_a_gap(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that answers only later was not there before; `no gap` would be wrong."""
    monkeypatch.setattr("valkeyctl.ops.writeprobe._FIRST_WRITE", 0.25)
    endpoint = start()
    process_id = int(fact(endpoint, "process_id"))
    os.kill(process_id, signal.SIGSTOP)

    with WriteProbe([endpoint], "t") as probe:
        os.kill(process_id, signal.SIGCONT)
        while probe.gap_ms is None:
            time.sleep(0.01)  # the probe's own thread has to write twice

    assert probe.gap_ms > 200


def test_without_a_server_there_is_no_gap_to_tell() -> None:
    """Nothing was acknowledged, so nothing was interrupted."""
    with WriteProbe([Endpoint(port=free_port())], "t") as probe:
        pass

    assert probe.gap_ms is None


def test_a_server_that_moves_is_followed(start: Start) -> None:
    """The second address takes over when the first one answers no more."""
    old, new = start(), start()

    with WriteProbe([old, new], "t") as probe:
        os.kill(int(fact(old, "process_id")), signal.SIGKILL)

    assert probe.gap_ms is not None
    assert b"cmdstat_set:" in command(new, "INFO", "commandstats")


def test_its_thread_ends_with_it(endpoint: Endpoint) -> None:
    """On a failure inside too, at once."""
    with pytest.raises(KeyError), WriteProbe([endpoint], "t"):
        raise KeyError

    assert not [thread for thread in threading.enumerate() if thread.name == "write-probe"]

"""Where the deployments of benchmarks are put."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from benchmarks.placing import free_row

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_a_row_of_ports_is_free_and_no_outgoing_connection_takes_one_of_it() -> None:
    """One that did would keep a server from coming back to its port."""
    first = free_row(12)

    with contextlib.ExitStack() as probes:
        for port in range(first, first + 12):
            probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
    if _RANGE.exists():
        assert first + 12 <= int(_RANGE.read_text().split()[0])

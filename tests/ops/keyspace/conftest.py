"""Fixtures of the keyspace tests: a connection, and keyspaces to look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint


@pytest.fixture
def wire(endpoint: Endpoint) -> Iterator[Wire]:
    """A connection to the emptied server."""
    with Wire(endpoint) as connected:
        yield connected

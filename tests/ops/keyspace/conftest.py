"""Fixtures of the keyspace tests: a connection, and keyspaces to look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import start_server
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint


@pytest.fixture(scope="session")
def steady_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """A server that puts the same keys into the same places in every process.

    There a random walk with a seed finds the same keys again.
    """
    folder = tmp_path_factory.mktemp("steady")
    process, endpoint = start_server(folder, "--hash-seed", "tests")
    yield endpoint
    process.terminate()
    process.wait()


@pytest.fixture
def wire(endpoint: Endpoint) -> Iterator[Wire]:
    """A connection to the emptied server."""
    with Wire(endpoint) as connected:
        yield connected

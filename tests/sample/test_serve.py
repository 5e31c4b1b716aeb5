"""The sample application as a process."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests.bench.conftest import gone
from tests.conftest import command, free_port
from valkeyctl.endpoint import Endpoint

COMMAND = (sys.executable, "-m", "valkeyctl.sample")


def get(port: int, path: str) -> str | None:
    """Return what X-Cache says of one answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with closing(connection):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
    return answer.headers["x-cache"]


@contextmanager
def started(endpoint: Endpoint, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start it, and wait until it answers."""
    port = free_port()
    process = subprocess.Popen(
        [*COMMAND, "--port", str(port), "--url", "-", "--app", "t", *options],
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    with process.stdin as said:
        said.write(f"{endpoint.url()}\n".encode())
    try:
        while process.poll() is None:
            try:
                get(port, "/healthz")
                break
            except OSError:
                time.sleep(0.02)  # the only way to learn that a foreign process listens
        yield process, port
    finally:
        process.kill()
        process.wait()


def test_it_serves_until_it_is_told_to_stop(endpoint: Endpoint) -> None:
    """The cache's URL comes by standard input; SIGTERM is no failure."""
    with started(endpoint) as (process, port):
        for source in ("miss", "hit"):
            assert get(port, "/items/a?bytes=10") == source

        process.terminate()

        assert process.wait(10) == 0
    assert command(endpoint, "EXISTS", "t:items:a") == b":1\r\n"


def test_it_does_not_outlive_its_parent(endpoint: Endpoint) -> None:
    """A benchmark that was killed cannot end it."""
    code = (
        "import subprocess, sys, time, os\n"
        f"child = subprocess.Popen([*{COMMAND!r}, '--port', '0', '--parent', str(os.getpid())])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)"
    )
    environ = {**os.environ, "VALKEYCTL_URL": endpoint.url()}
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environ
    )
    assert parent.stdout is not None
    with parent.stdout as said:
        child = int(said.readline())

    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()

    assert gone(child, within=30)


def test_what_is_wrong_is_the_last_thing_it_says() -> None:
    """Whoever started it shows that line; the status is the error's own."""
    port = free_port()
    environ = {**os.environ, "VALKEYCTL_SAMPLE_TTL": "soon"}

    ended = subprocess.run(
        [*COMMAND, "--port", str(port)], env=environ, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("error: VALKEYCTL_SAMPLE_TTL: 'soon'")

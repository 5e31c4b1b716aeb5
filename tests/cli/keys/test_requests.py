"""``keys warm --request`` and ``--from-bench``, against a gateway of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.test_recorded import write_run
from tests.caching.deployments import until
from tests.cli.conftest import Run
from tests.conftest import free_port
from tests.gateway.asking import question
from valkeyctl.bench.plan import Plan
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint


@pytest.fixture(scope="module")
def gateway(valkey_server: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway process with the simulated origin."""
    port = free_port()
    words = ["--url", valkey_server.url(), "gateway", "serve", "--port", str(port)]
    log = tmp_path_factory.mktemp("gateway") / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "valkeyctl",
                *words,
                "--speedup",
                "1000",
                "--cache-budget",
                "2s",
            ],
            stderr=stderr,
            stdin=subprocess.DEVNULL,
        )
        try:
            until(lambda: b'"ready"' in log.read_bytes(), 20, "the gateway is ready")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def requests(path: Path, count: int, **fields: object) -> Path:
    """Write so many requests."""
    lines = (json.dumps(question(f"{path} {number}", **fields)) for number in range(count))
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_a_file_of_requests_warms_the_cache(ctl: Run, gateway: str, home: Path) -> None:
    """The second time all of them are there."""
    path = requests(home / "requests", 20)
    words = ("keys", "warm", "--request", str(path), "--gateway", gateway)

    first = ctl(*words, "-o", "json")
    second = ctl(*words)

    assert (first.status, first.data["stored"], first.data["hits"]) == (0, 20, 0)
    assert second.status == 0
    assert "20 requests answered by " in second.out
    assert "  20 already there\n" in second.out


def test_the_requests_of_a_bench_run_are_sent_once_each(ctl: Run, gateway: str, home: Path) -> None:
    """Those that users asked most come first."""
    write_run(home, Plan.of(seed=3), sent=60)

    data = ctl("keys", "warm", "--from-bench", str(home), "--gateway", gateway, "-o", "json").data

    assert data["stored"] == data["answered"]
    assert 0 < int(str(data["answered"])) <= 60


def test_refused_lines_are_status_1_and_in_a_file(ctl: Run, gateway: str, home: Path) -> None:
    """The rest is stored."""
    path = requests(home / "requests", 3)
    path.write_text(f"wrong\n{path.read_text()}")
    rejects = home / "rejects"

    done = ctl(
        *("keys", "warm", "--request", str(path), "--gateway", gateway),
        *("--rejects", str(rejects)),
    )

    assert done.status == 1
    assert "line 1: not JSON" in done.err
    assert json.loads(rejects.read_text())["text"] == "wrong"


@pytest.mark.parametrize(
    "words",
    [
        ("entries.jsonl", "--request", "r"),
        ("--request", "r", "--from-bench", "d"),
        ("--request", "r", "--verify"),
        ("entries.jsonl", "--gateway", "http://x"),
        ("--request", "r", "--timeout", "soon"),
        ("--request", "r", "--concurrency", "0"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(ctl: Run, words: tuple[str, ...]) -> None:
    """One sentence, status 2."""
    assert ctl("keys", "warm", *words).status == 2


def test_no_gateway_is_one_sentence(ctl: Run, home: Path) -> None:
    """It names the address, and the option for another one."""
    path = requests(home / "requests", 1)
    url = f"http://127.0.0.1:{free_port()}"

    done = ctl("keys", "warm", "--request", str(path), "--gateway", url)

    assert done.status == 3
    assert f"no gateway answers at {url}" in done.err
    assert "--gateway" in done.err


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_tells_how_to_go_on(
    gateway: str, valkey_server: Endpoint, home: Path, sent: signal.Signals
) -> None:
    """Status 7, the line to go on at, and nothing left running."""

    def stored() -> int:
        with Wire(valkey_server) as wire:
            return int(str(wire.call("DBSIZE")))

    path = requests(home / "requests", 10_000)
    words = ["keys", "warm", "--request", str(path), "--gateway", gateway, "--rate", "200"]
    before = stored()
    process = subprocess.Popen(
        [sys.executable, "-m", "valkeyctl", *words, "-o", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ),
        # Where the test run itself ignores SIGINT, a child would, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    try:
        until(lambda: stored() > before + 10, 30, "some requests are answered")
        process.send_signal(sent)
        out, err = process.communicate(timeout=10)
    finally:
        process.kill()

    error = json.loads(out)["error"]
    assert process.returncode == 7, err
    assert "(interrupted)" in error["message"]
    assert f"--request {path}" in error["hint"]
    assert int(error["hint"].rpartition(" ")[2]) > 1
    assert b"Traceback" not in err

"""``valkeyctl bench`` on a cache that wants TLS and a login: measured, and nothing told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.certificates import needs_tls_server
from tests.cli.conftest import Run


@contextmanager
def watched() -> Iterator[set[str]]:
    """Collect what any user sees of our children meanwhile, and what their variables hold."""
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            for child in psutil.Process().children(recursive=True):
                try:
                    seen.update(child.cmdline())
                    seen.update(child.environ().values())
                except psutil.Error:
                    continue  # it has just begun, or ended

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@pytest.mark.slow  # a deployment, a gateway and Locust: 4 s
@needs_tls_server
def test_a_cache_with_tls_and_users_is_measured_and_its_passwords_are_told_nobody(
    ctl: Run, profile: Path, home: Path
) -> None:
    """The gateway logs in by TLS; no file and no process of the run holds a password."""
    profile.write_text(profile.read_text() + "tls: true\nauth: true\n")
    assert ctl("tls", "init", "-p", str(profile)).status == 0
    assert ctl("deploy", "-p", str(profile)).status == 0
    kept = (home.parent / "state" / "secrets").glob("*/*")
    passwords = [file.read_text().strip() for file in kept if file.is_file()]
    assert len(passwords) >= 2

    with watched() as seen:
        done = ctl(
            *("bench", "-p", str(profile), "--requests", "40", "--rounds", "2", "--users", "4"),
            *("--warmup", "0.1s", "--speedup", "100", "--out", "run", "--csv", "samples.csv"),
            *("--junit", "run/junit.xml", "-o", "json"),
        )

    assert done.status == 0, done.err
    arms = done.data["arms"]
    assert isinstance(arms, list)
    assert [arm["errors"] for arm in arms] == [0, 0]
    assert arms[0]["hits"] > 0
    assert str(done.data["cache"]).startswith("rediss://")
    assert any("gateway" in word for word in seen)
    told = [done.out, done.err, *seen]
    told += [file.read_bytes().decode("latin-1") for file in home.rglob("*") if file.is_file()]
    assert not [password for password in passwords if any(password in text for text in told)]

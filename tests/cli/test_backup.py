"""``backup`` and ``restore`` as a person, and a script, types them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.conftest import command, free_port, start_server
from valkeyctl.endpoint import Endpoint


@pytest.fixture
def deployed(ctl: Run, profile: Path) -> Endpoint:
    """The profile, deployed, with one key."""
    assert ctl("deploy", "-p", str(profile)).status == 0
    port = re.search(r"publish: 127.0.0.1:(\d+)", profile.read_text())
    assert port
    endpoint = Endpoint(port=int(port[1]))
    command(endpoint, "SET", "k", "1")
    return endpoint


def test_there_and_back(ctl: Run, profile: Path, deployed: Endpoint) -> None:
    """Taken, listed, verified, looked at and restored by its name."""
    taken = ctl("backup", "-p", str(profile), "-o", "json")
    assert taken.status == 0
    assert taken.envelope["kind"] == "backup"
    folder = Path(str(taken.data["folder"]))
    assert taken.data["keys"] == {"0": 1}

    listing = ctl("backup", "ls", "-o", "name")
    assert listing.out == f"{folder}\n"
    assert ctl("backup", "verify", folder.name).status == 0

    command(deployed, "FLUSHALL")
    shown = ctl("restore", folder.name, "-p", str(profile), "--dry-run")
    assert "0 keys at present" in shown.out
    refused = ctl("restore", folder.name, "-p", str(profile), "-o", "json")
    assert (refused.status, refused.error["code"]) == (4, "refused")
    assert b"$-1" in command(deployed, "GET", "k")

    done = ctl("restore", folder.name, "-p", str(profile), "--yes", "-o", "json")

    assert (done.status, done.data["keys"], done.data["keys_replaced"]) == (0, 1, 0)
    assert b"$1\r\n1" in command(deployed, "GET", "k")


def test_production_wants_a_yes(ctl: Run, profile: Path, deployed: Endpoint) -> None:
    """Before anything else is asked."""
    taken = ctl("backup", "-p", str(profile), "-o", "name").out.strip()
    profile.write_text(profile.read_text() + "security: {production: true}\n")

    refused = ctl("restore", taken, "-p", str(profile))

    assert refused.status == 4
    assert "serves production" in refused.err


def test_a_server_that_is_merely_reached_has_backups_too(
    ctl: Run, tmp_path: Path, home: Path
) -> None:
    """With a URL, into a folder, encrypted; a damaged one is a finding."""
    folder = tmp_path / "server"
    folder.mkdir()
    process, server = start_server(folder, "--repl-diskless-sync-delay", "0")
    url = ("--url", server.url())
    try:
        first = ctl("backup", *url, "--out", "b", "--new-key", "k", "-o", "name")
        second = ctl("backup", *url, "--out", "b", "--encrypt", "--key-file", "k", "--keep", "1")
        assert ctl("backup", *url, "--encrypt").status == 2
        assert ctl("backup", *url, "--keep", "1", "--no-verify").status == 2
        assert ctl("restore", "x", *url).status == 2
    finally:
        process.kill()
        process.wait()

    assert (first.status, second.status) == (0, 0)
    assert "removed" in second.out
    assert not Path(first.out.strip()).exists()
    (left,) = (home / "b").iterdir()
    assert ctl("backup", "verify", str(left)).status == 2
    assert ctl("backup", "verify", str(left), "--key-file", "k").status == 0
    (left / "dump.rdb.age").write_bytes(b"x")
    found = ctl("backup", "verify", str(left), "--key-file", "k", "-o", "json")
    assert (found.status, found.envelope["status"], found.data["sound"]) == (1, "fail", False)


def test_what_is_not_there_is_said(ctl: Run, home: Path) -> None:
    """Each by its own status."""
    assert ctl("backup", "ls").out == "there are no backups\n"
    assert ctl("backup", "verify", "none").status == 1
    assert ctl("backup", "--url", f"redis://127.0.0.1:{free_port()}").status == 3

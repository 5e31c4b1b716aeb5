"""``keys export`` and ``keys import`` as a script and a person meet them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.endpoint import Endpoint


async def fill(endpoint: Endpoint) -> None:
    """Store one entry and one other key."""
    async with ValkeyClient(endpoint) as client:
        await CacheService(client, app="shop").set("metadata", "gpt-x", {"n": 1}, ttl=300)
        await client.execute("RPUSH", "shop:queue", "a")


async def test_an_export_to_a_file_is_told_and_imported(
    ctl: Run, home: Path, endpoint: Endpoint
) -> None:
    """The counts are those of the file, on both ways."""
    await fill(endpoint)
    url = endpoint.url()

    there = ctl("keys", "export", "--url", url, "--app", "shop", "--out", "s.jsonl", "-o", "json")
    left = ctl("keys", "import", "s.jsonl", "--url", url, "-o", "json")
    renamed = ctl("keys", "import", "s.jsonl", "--url", url, "--app", "desk")

    assert there.status == left.status == renamed.status == 0
    assert (there.envelope["kind"], there.data["entries"], there.data["keys"]) == (
        "keys.export",
        1,
        1,
    )
    assert (left.envelope["kind"], left.data["entries"], left.data["existing"]) == (
        "keys.import",
        0,
        2,
    )
    assert "imported 1 entry and 1 other key" in renamed.out
    assert len((home / "s.jsonl").read_text().splitlines()) == 4


def test_an_export_goes_through_a_pipe(home: Path, endpoint: Endpoint) -> None:
    """Lines on standard output, the count on standard error; standard input takes them."""
    asyncio.run(fill(endpoint))
    command = [sys.executable, "-m", "valkeyctl", "keys"]
    there = subprocess.run(
        [*command, "export", "--url", endpoint.url(), "--app", "shop"],
        capture_output=True,
        check=False,
    )
    back = subprocess.run(
        [*command, "import", "-", "--replace", "--url", endpoint.url()],
        input=there.stdout,
        capture_output=True,
        check=False,
    )

    assert (there.returncode, back.returncode) == (0, 0)
    assert json.loads(there.stdout.splitlines()[-1])["end"] is True
    assert b"exported 1 entry and 1 other key" in there.stderr
    assert b"imported 1 entry and 1 other key" in back.stdout


async def test_a_file_that_was_cut_ends_with_status_1(
    ctl: Run, home: Path, endpoint: Endpoint
) -> None:
    """A job that restores a backup must not take half of it for all."""
    await fill(endpoint)
    ctl("keys", "export", "--url", endpoint.url(), "--app", "shop", "--out", "s.jsonl")
    file = home / "s.jsonl"
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))

    done = ctl("keys", "import", "s.jsonl", "--url", endpoint.url())

    assert done.status == 1
    assert "s.jsonl is not whole: it was cut off" in done.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--all-apps", "metadata"), "--all-apps is every key"),
        (("-o", "json"), "the export goes to standard output"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    ctl: Run, endpoint: Endpoint, argv: tuple[str, ...], said: str
) -> None:
    """Before anything is written."""
    done = ctl("keys", "export", "--url", endpoint.url(), *argv)

    assert done.status == 2
    assert said in done.err + done.out


def test_a_server_that_is_not_there_leaves_no_file(ctl: Run, home: Path) -> None:
    """One sentence, status 3."""
    url = "redis://127.0.0.1:1"
    done = ctl("keys", "export", "--url", url, "--app", "shop", "--out", "s.jsonl")

    assert done.status == 3
    assert not any(path.name.endswith((".jsonl", ".part")) for path in home.iterdir())

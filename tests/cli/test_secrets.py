"""``valkeyctl secrets`` and ``url``: what they tell of passwords, and what they never do."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run, servers
from tests.conftest import free_port
from valkeyctl.cli.boundary import run


@pytest.fixture
def guarded(home: Path) -> Iterator[Path]:
    """A small profile with users, whose server is gone when the test ends."""
    path = home / "g.yaml"
    path.write_text(
        f"extends: ci\nname: g{free_port()}\napp: shop\nruntime: process\nauth: true\n"
        f"publish: 127.0.0.1:{free_port()}\n"
    )
    yield path
    run(["down", "--purge", "--yes", "--profile", str(path)])
    assert not servers(home.parent), "a server was left running"


def test_a_password_is_changed_in_two_steps(ctl: Run, guarded: Path) -> None:
    """Both are valid between them, and the second wants a yes."""
    ctl("deploy", "-p", str(guarded))
    old = ctl("url", "-p", str(guarded), "--show-secret").out.strip()

    rotated = ctl("secrets", "rotate", "app", "-p", str(guarded))
    new = ctl("url", "-p", str(guarded), "--show-secret").out.strip()

    assert rotated.status == 0
    assert f"secrets rotate app --finish -p {guarded}" in rotated.out
    assert old != new
    assert [ctl("keys", "ls", "--url", url).status for url in (old, new)] == [0, 0]
    assert ctl("secrets", "rotate", "--finish", "-p", str(guarded)).status == 4
    planned = ctl("secrets", "rotate", "--finish", "--dry-run", "-p", str(guarded), "-o", "json")
    assert planned.data["users"] == ["app"]
    assert ctl("secrets", "rotate", "--finish", "--yes", "-p", str(guarded)).status == 0
    assert [ctl("keys", "ls", "--url", url).status for url in (old, new)] == [3, 0]
    assert ctl("secrets", "rotate", "--finish", "-p", str(guarded)).out == "nothing to do\n"


def test_the_users_are_listed_without_their_passwords(ctl: Run, guarded: Path) -> None:
    """Before the first deploy too, which makes them."""
    found = ctl("secrets", "ls", "-p", str(guarded), "-o", "json").data["users"]

    assert isinstance(found, list)
    assert [(one["user"], one["made"], one["clients"]) for one in found] == [
        ("admin", False, None),
        ("app", False, None),
    ]
    assert ctl("secrets", "ls", "-p", str(guarded)).out.startswith("admin     not made yet")


def test_the_url_is_the_applications(ctl: Run, guarded: Path) -> None:
    """Masked unless asked for; there is nothing to ask for before the first deploy."""
    masked = ctl("url", "-p", str(guarded))
    asked = ctl("url", "-p", str(guarded), "--show-secret", "-o", "json")

    assert masked.out.startswith("redis://app:***@127.0.0.1:")
    assert (asked.status, asked.error["code"]) == (5, "missing")
    assert "valkeyctl deploy" in asked.error["hint"]


def test_the_secret_files_are_exported_for_a_container(ctl: Run, guarded: Path, home: Path) -> None:
    """Owned by the user of the image, with passwords made where there were none."""
    done = ctl("secrets", "export", "--out", "x.tar", "-p", str(guarded), "-o", "json")

    assert done.data["files"] == ["users.acl"]
    assert (home / "x.tar").stat().st_mode & 0o777 == 0o600
    with tarfile.open(home / "x.tar") as tar:
        assert [(one.name, one.uid, one.mode) for one in tar] == [("users.acl", 999, 0o400)]
    assert ctl("secrets", "ls", "-p", str(guarded)).out.startswith("admin     current")


def test_an_archive_is_no_json(ctl: Run, guarded: Path) -> None:
    """A program that asks for an envelope gets one, with what to do."""
    done = ctl("secrets", "export", "-p", str(guarded), "-o", "json")

    assert (done.status, done.error["code"]) == (2, "usage")


def test_without_users_there_are_no_secrets(ctl: Run, profile: Path) -> None:
    """It says which field makes some."""
    for words in (("ls",), ("rotate",), ("export", "--out", "x")):
        done = ctl("secrets", *words, "-p", str(profile), "-o", "json")
        assert (done.status, done.error["code"]) == (2, "usage")
        assert "auth.enabled" in done.error["hint"]

"""Our own files: where they are, that they are whole, and who may write."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.conftest import unique_profile
from valkeyctl.errors import FolderError, LockedError, UsageError
from valkeyctl.ops.statefolder import KEPT_RENDERS, Record, StateFolder
from valkeyctl.render import Artefacts, render

RECORD = Record(
    name="a",
    runtime="process",
    reason="process was asked for",
    url="redis://127.0.0.1:6379/0",
    digest="0123456789ab",
    image="docker.io/valkey/valkey:8.1",
    version="9.1.2",
    app="a",
    deployed_at=1.5,
    stop_grace=60.0,
    directives={"maxmemory": "5"},
)


def renders(count: int) -> list[Artefacts]:
    """Return that many renders of one profile, each with another text."""
    first = render(unique_profile(name="a"))
    return [
        dataclasses.replace(first, files={**first.files, "extra": str(number)})
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("environ", "root"),
    [
        ({"VALKEYCTL_STATE_DIR": "/v", "XDG_STATE_HOME": "/x"}, Path("/v")),
        ({"XDG_STATE_HOME": "/x"}, Path("/x/valkeyctl")),
        ({"XDG_STATE_HOME": "relative"}, Path.home() / ".local/state/valkeyctl"),
        ({}, Path.home() / ".local/state/valkeyctl"),
    ],
)
def test_the_folder_is_the_users(environ: dict[str, str], root: Path) -> None:
    """Our variable wins over the XDG one, and that over the home folder."""
    assert StateFolder.default(environ).root == root


def test_a_record_comes_back_as_it_was(state: StateFolder) -> None:
    """Nothing is lost on the way, and nobody else can read it."""
    state.write(RECORD)

    assert state.read("a").record == RECORD
    assert state.names() == ["a"]
    file = state.root / "deployments" / "a" / "record.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_no_record_is_no_warning(state: StateFolder) -> None:
    """A deployment that never was is not a damaged one, and reading makes no folder."""
    reading = state.read("a")

    assert (reading.record, reading.warning) == (None, "")
    assert not state.root.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"name": 1}', "\x00\xff"])
def test_a_damaged_record_is_unknown_and_said_so(state: StateFolder, text: str) -> None:
    """It neither fails nor passes in silence."""
    state.write(RECORD)
    (state.root / "deployments" / "a" / "record.json").write_text(text, encoding="latin-1")

    reading = state.read("a")

    assert reading.record is None
    assert "cannot be used and is ignored" in reading.warning


def test_a_record_of_another_deployment_is_not_believed(state: StateFolder) -> None:
    """A folder that was copied under another name does not move a server."""
    state.write(RECORD)
    (state.root / "deployments" / "a").rename(state.root / "deployments" / "b")

    assert "belongs to another deployment" in state.read("b").warning


@pytest.mark.parametrize("name", ["../a", "", "A", "a/b", "a" * 41, "a\n"])
def test_a_name_is_never_a_path(state: StateFolder, name: str) -> None:
    """Names from a command line become folders, so they are checked first."""
    with pytest.raises(UsageError, match="cannot be the name"):
        state.read(name)
    with pytest.raises(UsageError, match="cannot be the name"), state.lock(name):
        pass


def test_a_render_comes_back_as_it_was(state: StateFolder) -> None:
    """What is put back on failure is what was deployed, to the byte."""
    (artefacts,) = renders(1)
    state.remember(artefacts)

    assert state.last_good("a") == artefacts


def test_the_last_renders_are_kept_in_order(state: StateFolder) -> None:
    """Ten of them, the last one first; the same one twice counts once."""
    made = renders(KEPT_RENDERS + 3)
    for artefacts in [*made, made[-1]]:
        state.remember(artefacts)

    kept = [artefacts.digest for artefacts in state.history("a")]

    assert kept == [artefacts.digest for artefacts in reversed(made[3:])]


def test_a_render_that_was_put_back_is_the_last_one(state: StateFolder) -> None:
    """Going back to an older render moves it to the front."""
    first, second = renders(2)
    for artefacts in (first, second, first):
        state.remember(artefacts)

    assert [found.digest for found in state.history("a")] == [
        first.digest,
        second.digest,
        first.digest,
    ]


def test_a_damaged_render_is_passed_over(state: StateFolder) -> None:
    """The one before it is still good."""
    first, second = renders(2)
    state.remember(first)
    state.remember(second)
    newest = max((state.root / "deployments" / "a" / "history").iterdir())
    newest.write_text("{")

    assert state.last_good("a") == first


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    """With the option that names another; a file stands in the way here."""
    (tmp_path / "file").touch()
    folder = StateFolder(tmp_path / "file")

    with pytest.raises(FolderError, match="cannot make the folder") as caught:
        folder.write(RECORD)
    with pytest.raises(FolderError), folder.lock("a"):
        pass

    assert "--state-dir" in str(caught.value.hint)
    with pytest.raises(FolderError, match="is a file, not a folder"):
        folder.read("a")
    assert folder.names() == []


def test_a_full_disk_leaves_the_old_record(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record is replaced whole or not at all, and no temporary file stays."""
    state.write(RECORD)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FolderError, match="No space left on device"):
        state.write(dataclasses.replace(RECORD, digest="other"))

    assert state.read("a").record == RECORD
    assert [file.name for file in (state.root / "deployments" / "a").iterdir()] == ["record.json"]


def test_a_second_holder_of_the_lock_is_told_who_has_it(state: StateFolder) -> None:
    """Two commands on one deployment do not wait for each other, nor interleave."""
    with (
        state.lock("a"),
        pytest.raises(LockedError, match=rf"pid {os.getpid()}\) works on a"),
        state.lock("a"),
    ):
        pass

    with state.lock("a"), state.lock("b"):
        pass


def test_a_lock_ends_with_its_process(state: StateFolder) -> None:
    """A valkeyctl that was killed does not lock anybody out."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from valkeyctl.ops.statefolder import StateFolder\n"
        "with StateFolder(Path(sys.argv[1])).lock('a'):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, state.root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"

        with pytest.raises(LockedError, match=f"pid {holder.pid}"), state.lock("a"):
            pass
        holder.kill()
        holder.wait()

    with state.lock("a"):
        pass


def test_forgetting_leaves_nothing(state: StateFolder) -> None:
    """Record and history go together."""
    state.write(RECORD)
    state.remember(renders(1)[0])

    assert state.forget("a")
    assert not state.forget("a")
    assert state.names() == []
    assert state.history("a") == []

"""Putting a server into a file: whole or not at all, with the mode and link it had."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from valkeyctl.errors import FolderError, UsageError, ValkeyctlError
from valkeyctl.ops.into import insert
from valkeyctl.profile import Profile
from valkeyctl.render import Artefacts, render
from valkeyctl.render.into import Merged, merge

POD = "kind: Pod\nmetadata:\n  name: shop\nspec:\n  containers:\n  - name: web\n"
COMPOSE = "services:\n  web:\n    image: nginx\n"


@pytest.fixture(scope="module")
def server() -> Artefacts:
    """A rendered server."""
    return render(Profile(name="x"))


def test_a_file_is_merged_into_once(tmp_path: Path, server: Artefacts) -> None:
    """The second run writes nothing."""
    file = tmp_path / "app.yaml"
    file.write_text(POD)

    first = insert(file, server)
    before = file.stat()
    second = insert(file, server)

    assert [change.status for change in first.changes] == ["changed"]
    assert (first.kind, first.target) == ("pod", "shop")
    assert second.changes == ()
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert file.read_text().startswith(POD.split("spec", maxsplit=1)[0].rstrip("\n"))


def test_mode_and_link_are_kept(tmp_path: Path, server: Artefacts) -> None:
    """A link still leads to the file, which still belongs to whom it did."""
    real = tmp_path / "real/app.yaml"
    real.parent.mkdir()
    real.write_text(POD)
    real.chmod(0o640)
    link = tmp_path / "app.yaml"
    link.symlink_to(real)

    insert(link, server)

    assert link.is_symlink()
    assert "x-valkey" in real.read_text()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert sorted(path.name for path in real.parent.iterdir()) == ["app.yaml"]


def test_to_look_is_not_to_write(tmp_path: Path, server: Artefacts) -> None:
    """The difference names the file as the user did."""
    file = tmp_path / "app.yaml"
    file.write_text(POD)

    done = insert(file, server, write=False)

    assert file.read_text() == POD
    assert "+  - args:" in done.changes[0].diff
    assert done.changes[0].file == str(file)


def test_windows_line_ends_reach_the_disk(tmp_path: Path, server: Artefacts) -> None:
    """Python would translate them."""
    file = tmp_path / "app.yaml"
    file.write_bytes(POD.replace("\n", "\r\n").encode())

    insert(file, server)

    written = file.read_bytes()
    assert written.count(b"\n") == written.count(b"\r\n") > 20


def test_a_compose_file_gets_the_configuration_beside_it(tmp_path: Path, server: Artefacts) -> None:
    """Readable by the server's user, and brought up to date like the file itself."""
    file = tmp_path / "compose.yaml"
    file.write_text(COMPOSE)

    first = insert(file, server)
    (tmp_path / "x-valkey.conf").write_text("# rendered by valkeyctl long ago\n")
    second = insert(file, server)

    assert [(change.file, change.status) for change in first.changes] == [
        (str(file), "changed"),
        (str(tmp_path / "x-valkey.conf"), "missing"),
    ]
    assert [change.file for change in second.changes] == [str(tmp_path / "x-valkey.conf")]
    assert (tmp_path / "x-valkey.conf").read_text() == server.files["valkey.conf"]
    assert insert(file, server).changes == ()


def test_a_file_beside_that_somebody_else_wrote_is_kept(tmp_path: Path, server: Artefacts) -> None:
    """Neither it nor the compose file is changed."""
    file, beside = tmp_path / "compose.yaml", tmp_path / "x-valkey.conf"
    file.write_text(COMPOSE)
    beside.write_text("maxmemory 1gb\n")

    with pytest.raises(UsageError, match=r"x-valkey\.conf is in the way"):
        insert(file, server)

    assert (file.read_text(), beside.read_text()) == (COMPOSE, "maxmemory 1gb\n")


def test_what_is_no_file_of_this_kind_is_refused(tmp_path: Path, server: Artefacts) -> None:
    """By its name and its fault; it stays as it was."""
    bad: dict[str, tuple[bytes | None, str, type[ValkeyctlError]]] = {
        "binary": (b"\xff\xfe\x00kind", "is not text in UTF-8", UsageError),
        "nul.yaml": (b"kind: Pod\x00\n", "not YAML", UsageError),
        "large": (b"#" * (2**20 + 1), "more than any pod file", UsageError),
        "missing": (None, "No such file", FolderError),
        "folder": (None, "is no file", FolderError),
        "loop": (None, "cannot be read", FolderError),
        "no pod": (b"kind: Service\n", "no Pod", UsageError),
    }
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, (contents, says, kind) in bad.items():
        file = tmp_path / name
        if contents is not None:
            file.write_bytes(contents)

        with pytest.raises(kind, match=says) as caught:
            insert(file, server)

        assert str(file) in str(caught.value)
        assert contents is None or file.read_bytes() == contents


def test_a_write_protected_file_is_left_alone_also_by_root(
    tmp_path: Path, server: Artefacts
) -> None:
    """Its owner meant it."""
    file = tmp_path / "app.yaml"
    file.write_text(POD)
    file.chmod(0o444)

    with pytest.raises(FolderError, match="is read-only"):
        insert(file, server)

    assert file.read_text() == POD


def test_a_change_in_the_meantime_is_not_overwritten(
    tmp_path: Path, server: Artefacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor that saves at the same moment wins."""
    file = tmp_path / "app.yaml"
    file.write_text(POD)

    def slow(text: str, artefacts: Artefacts, *, pod: str | None = None) -> Merged:
        merged = merge(text, artefacts, pod=pod)
        file.write_text(f"{POD}# saved by an editor\n")
        return merged

    monkeypatch.setattr("valkeyctl.ops.into.merge", slow)

    with pytest.raises(FolderError, match="was changed while"):
        insert(file, server)

    assert file.read_text() == f"{POD}# saved by an editor\n"


def test_a_failed_write_leaves_the_file_and_nothing_else(
    tmp_path: Path, server: Artefacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: the old file is whole, and no temporary one is left."""
    file = tmp_path / "app.yaml"
    file.write_text(POD)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(FolderError, match="cannot be written: No space left"):
        insert(file, server)

    assert file.read_text() == POD
    assert [path.name for path in tmp_path.iterdir()] == ["app.yaml"]

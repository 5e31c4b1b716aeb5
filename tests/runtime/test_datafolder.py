"""Other data in the place of a unit's data: by one rename, with a way back."""

from __future__ import annotations

import resource
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runtime.conftest import unique_profile
from valkeyctl.errors import ToolError
from valkeyctl.render import render
from valkeyctl.runtime.binary import find_binary
from valkeyctl.runtime.datafolder import SCRIPT, ProcessData, kept, replaced
from valkeyctl.runtime.datalock import await_data, data_lock
from valkeyctl.runtime.loadtrial import Sink

BASE = "appendonlydir/appendonly.aof.{}.base.rdb"
MANIFEST = "appendonlydir/appendonly.aof.manifest"
Data = Callable[..., ProcessData]


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Give the data folder of a unit with a kind of persistence."""

    def of(mode: str) -> ProcessData:
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        return ProcessData(folder, render(unique_profile(persistence=mode)), find_binary())

    return of


def text(content: bytes) -> Callable[[Sink], None]:
    """Return what pours *content*."""

    def pour(sink: Sink) -> None:
        sink.write(content)

    return pour


def stage(data: ProcessData, content: bytes) -> None:
    """Stage *content* as if it were an RDB."""
    data.stage(text(content), len(content))


def files(folder: Path) -> dict[str, bytes]:
    """Return the files in *folder* by their path in it."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def with_aof(folder: Path) -> dict[str, bytes]:
    """Make an AOF of two parts in *folder*, and return what there is then."""
    parts = {
        "appendonlydir/appendonly.aof.4.base.rdb": b"old base",
        "appendonlydir/appendonly.aof.9.incr.aof": b"old writes",
        MANIFEST: b"file appendonly.aof.4.base.rdb seq 4 type b\n"
        b"file appendonly.aof.9.incr.aof seq 9 type i\n",
        "dump.rdb": b"old dump",
    }
    (folder / "appendonlydir").mkdir()
    for name, content in parts.items():
        (folder / name).write_bytes(content)
    return parts


def test_a_snapshot_is_replaced_and_comes_back(data: Data, tmp_path: Path) -> None:
    """What was there is kept until it is settled."""
    unit, folder = data("rdb"), tmp_path / "data"
    (folder / "dump.rdb").write_bytes(b"old")
    stage(unit, b"new")
    assert files(folder)["dump.rdb"] == b"old"

    unit.switch(replaced("1"))
    assert files(folder) == {"dump.rdb": b"new", "replaced-1/dump.rdb": b"old"}

    unit.undo(replaced("1"))
    assert files(folder) == {"dump.rdb": b"old"}


def test_an_aof_is_replaced_by_its_manifest(data: Data, tmp_path: Path) -> None:
    """Under numbers that no old part has: the server would write over it."""
    unit, folder = data("aof"), tmp_path / "data"
    before = with_aof(folder)
    stage(unit, b"new")

    unit.switch(replaced("1"))

    found = files(folder)
    assert found[MANIFEST] == (
        b"file appendonly.aof.10.base.rdb seq 10 type b\n"
        b"file appendonly.aof.10.incr.aof seq 10 type i\n"
    )
    assert found[BASE.format(10)] == found["dump.rdb"] == b"new"
    assert found["appendonlydir/appendonly.aof.9.incr.aof"] == b"old writes"

    unit.undo(replaced("1"))

    assert files(folder) == before


def test_what_was_settled_is_gone(data: Data, tmp_path: Path) -> None:
    """The old parts of the AOF too, and what an earlier restore has left."""
    unit, folder = data("aof"), tmp_path / "data"
    with_aof(folder)
    (folder / "replaced-0").mkdir()
    stage(unit, b"new")
    unit.switch(replaced("1"))

    assert unit.settle(replaced("1")) == ""

    parts = {name.rpartition("/")[2] for name in files(folder)}
    assert parts == {
        *("dump.rdb", "appendonly.aof.manifest"),
        *("appendonly.aof.10.base.rdb", "appendonly.aof.10.incr.aof"),
    }
    assert not (folder / "replaced-0").exists()


def test_what_is_to_be_kept_is_kept_whole(data: Data, tmp_path: Path) -> None:
    """With all parts of its AOF, in a folder that is named."""
    unit, folder = data("aof"), tmp_path / "data"
    before = with_aof(folder)
    stage(unit, b"new")
    unit.switch(kept("1"))

    assert unit.settle(kept("1")) == str(folder / "kept-1")

    assert files(folder / "kept-1") == before
    assert "appendonlydir/appendonly.aof.4.base.rdb" not in files(folder)


def test_of_nothing_nothing_is_kept(data: Data, tmp_path: Path) -> None:
    """A first start has no old data."""
    unit = data("rdb")
    stage(unit, b"new")
    unit.switch(kept("1"))

    assert unit.settle(kept("1")) == ""
    assert files(tmp_path / "data") == {"dump.rdb": b"new"}


@pytest.mark.parametrize("mode", ["rdb", "aof"])
def test_undo_of_a_first_start_leaves_nothing(data: Data, tmp_path: Path, mode: str) -> None:
    """Neither a snapshot nor a manifest that names one."""
    unit = data(mode)
    stage(unit, b"new")
    unit.switch(kept("1"))

    unit.undo(kept("1"))

    assert files(tmp_path / "data") == {}


def test_a_server_that_keeps_nothing_does_not_find_it_again(data: Data, tmp_path: Path) -> None:
    """At its next start."""
    unit = data("none")
    stage(unit, b"new")
    unit.switch(replaced("1"))

    unit.settle(replaced("1"), clear=True)

    assert files(tmp_path / "data") == {}


def test_undo_without_a_switch_only_removes_what_was_staged(data: Data, tmp_path: Path) -> None:
    """Called twice it does no harm."""
    unit, folder = data("rdb"), tmp_path / "data"
    (folder / "dump.rdb").write_bytes(b"old")
    stage(unit, b"new")

    unit.undo(replaced("1"))
    unit.undo(replaced("1"))

    assert files(folder) == {"dump.rdb": b"old"}
    with pytest.raises(ToolError, match="nothing is staged"):
        unit.switch(replaced("1"))


def test_what_did_not_arrive_whole_is_not_staged(data: Data, tmp_path: Path) -> None:
    """A writer that was killed ends its stream like one that is done."""
    with pytest.raises(ToolError, match="only 3 of 4 bytes arrived"):
        data("rdb").stage(text(b"new"), 4)

    assert files(tmp_path / "data") == {}


def test_a_full_disk_stages_nothing(data: Data, tmp_path: Path) -> None:
    """And says so; what is there is untouched."""
    unit, folder = data("rdb"), tmp_path / "data"
    (folder / "dump.rdb").write_bytes(b"old")
    content = b"x" * 300_000
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(ToolError, match=r"the work on .* failed: "):
            unit.stage(text(content), len(content))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)

    assert files(folder) == {"dump.rdb": b"old"}


def test_data_that_would_fill_the_disk_is_not_staged(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server that still runs needs the rest of it."""
    unit = data("rdb")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "df").write_text("#!/bin/sh\necho head\necho /dev/x 9000 8000 1500 84% /\n")
    (tools / "df").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")

    stage(unit, b"x" * 400_000)
    with pytest.raises(ToolError, match="it needs 1512 KiB on the disk, and 1500 KiB are free"):
        stage(unit, b"x" * 500_000)


def test_nobody_starts_from_data_that_a_killed_restore_still_replaces(
    data: Data, tmp_path: Path
) -> None:
    """The script has the lock, whatever became of who started it."""
    unit = data("rdb")
    with (
        data_lock(tmp_path),
        pytest.raises(ToolError, match="still works on the data"),
        data_lock(tmp_path, patience=0.02),
    ):
        pass
    stage(unit, b"new")
    await_data(tmp_path)
    await_data(tmp_path / "none")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["rdb", "aof"])
def test_a_switch_that_is_stopped_anywhere_leaves_one_whole_data_set(
    data: Data, tmp_path: Path, mode: str
) -> None:
    """Each command of the script fails in turn; what the server would load is old or new."""
    folder = tmp_path / "data"
    names = ("mkdir", "ln", "mv", "sync", "rm")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for name in names:
        (bin_folder / name).write_text(
            '#!/bin/sh\nn=$(cat "$COUNT"); n=$((n-1)); echo $n > "$COUNT"\n'
            f'[ $n -ne 0 ] || kill -9 $PPID\nexec env PATH="$REAL" {name} "$@"\n'
        )
        (bin_folder / name).chmod(0o755)
    count = tmp_path / "count"
    seen = set()
    for step in range(1, 30):
        unit = data(mode)
        if mode == "aof":
            with_aof(folder)
        (folder / "dump.rdb").write_bytes(b"old dump")
        stage(unit, b"new")
        count.write_text(str(step))

        ended = subprocess.run(
            ["sh", "-c", SCRIPT, "sh", str(folder), "switch", mode, "appendonly.aof", "replaced-1"],
            env={
                "PATH": f"{bin_folder}:/usr/bin:/bin",
                "REAL": "/usr/bin:/bin",
                "COUNT": str(count),
            },
            capture_output=True,
            check=False,
        )

        seen.add(loaded(folder, mode))
        unit.settle(replaced("1"))
        assert loaded(folder, mode) in ("old", "new"), step
        subprocess.run(["rm", "-rf", str(folder)], check=True)
        if ended.returncode == 0:
            break
    assert seen == {"old", "new"}
    assert step > 5


def loaded(folder: Path, mode: str) -> str:
    """Return which data set a server would load; fails on half of one."""
    found = files(folder)
    if mode == "rdb":
        return found["dump.rdb"].decode().partition(" ")[0]
    parts = [line.split()[1] for line in found[MANIFEST].decode().splitlines()]
    contents = [found[f"appendonlydir/{part}"] for part in parts]
    assert contents in ([b"old base", b"old writes"], [b"new", b""])
    return "old" if contents[0] == b"old base" else "new"


def test_another_name_of_the_aof_is_honoured(data: Data, tmp_path: Path) -> None:
    """Where a profile's directives say so."""
    artefacts = render(unique_profile(persistence="aof"))
    named = {**artefacts.directives, "appendfilename": "log.aof"}
    unit = ProcessData(tmp_path / "data", replace(artefacts, directives=named), find_binary())
    stage(unit, b"new")

    unit.switch(kept("1"))

    assert "appendonlydir/log.aof.1.base.rdb" in files(tmp_path / "data")

"""The data of one unit: how another data set takes its place, whole or not at all.

New data is put beside what is there, and takes its place by one rename: of ``dump.rdb``,
or, for a server with an AOF, of the AOF's manifest, which then names the new data alone.
Whoever is killed before that rename leaves the old data set, and after it the new one.
What was replaced stays beside, by hard links, until it is dropped.

::

    /data/dump.rdb                     what a server without an AOF loads
    /data/appendonlydir/*.manifest     names what a server with an AOF loads
    /data/restore-new/dump.rdb         staged, not yet in use
    /data/replaced-STAMP/              what was in use before STAMP, and is in a backup
    /data/kept-STAMP/                  what was in use before STAMP, and is nowhere else
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from valkeyctl.errors import MissingError, StartError, ToolError
from valkeyctl.render.artefacts import Artefacts
from valkeyctl.runtime.binary import ServerBinary
from valkeyctl.runtime.datalock import data_lock
from valkeyctl.runtime.files import private_folder
from valkeyctl.runtime.loadtrial import Loaded, Pour, Sink, load_in_process

AOF_FOLDER = "appendonlydir"
AOF_FILE = "appendonly.aof"
STAGED = "restore-new"
_PATIENCE = 120.0

# One script for a folder of this machine and for a volume that only a container sees.
# $1 is the folder, $2 what is to be done; sh, and tools that Debian and Alpine both have.
SCRIPT = r"""
set -eu
umask 077
cd "$1"
stop() { echo "$*" >&2; exit 1; }
flush() { sync "$@" 2>/dev/null || sync; }
free() { set -- $(df -Pk . | tail -n 1); echo "$4"; }
link() { [ ! -e "$1" ] || ln -f "$1" "$2"; }
new=restore-new
aof=appendonlydir
case $2 in
stage)
  rm -rf $new
  # A server whose disk is full stops taking writes: it must not come to that.
  free=$(free) need=$(($3 / 1024 + 1024))
  case $free in
  '' | *[!0-9]*) ;;
  *) [ "$free" -ge $need ] || stop "it needs $need KiB on the disk, and $free KiB are free" ;;
  esac
  mkdir $new
  trap 'rm -rf $new' EXIT
  cat > $new/dump.rdb || stop "the disk took only part of it"
  size=$(($(wc -c < $new/dump.rdb)))
  [ $size -eq $3 ] || stop "only $size of $3 bytes arrived"
  flush $new/dump.rdb
  trap - EXIT
  ;;
switch) # $3: aof or rdb, $4: name of the AOF, $5: where the old data is kept
  [ -e $new/dump.rdb ] || stop "nothing is staged"
  old=$5
  rm -rf $old.part
  mkdir $old.part
  link dump.rdb $old.part/dump.rdb
  if [ -d $aof ]; then
    mkdir $old.part/$aof
    for file in $aof/*; do link "$file" $old.part/$aof/; done
  fi
  flush $old.part
  mv $old.part $old
  if [ $3 = aof ]; then
    mkdir -p $aof
    number=1
    for file in $aof/"$4".*.base.* $aof/"$4".*.incr.*; do
      [ -e "$file" ] || continue
      rest=${file#"$aof/$4."}
      [ "${rest%%.*}" -lt $number ] || number=$((${rest%%.*} + 1))
    done
    ln -f $new/dump.rdb $aof/"$4".$number.base.rdb
    : > $aof/"$4".$number.incr.aof
    {
      echo "file $4.$number.base.rdb seq $number type b"
      echo "file $4.$number.incr.aof seq $number type i"
    } > $aof/"temp-$4.manifest"
    flush $aof/"temp-$4.manifest" $aof/"$4".$number.base.rdb
    mv -f $aof/"temp-$4.manifest" $aof/"$4".manifest
    flush $aof
    # Another look at the same data, for the day that the AOF is turned off.
  fi
  mv -f $new/dump.rdb dump.rdb
  flush .
  rm -rf $new
  ;;
undo) # $3: aof or rdb, $4: name of the AOF, $5: as for switch
  old=$5
  rm -rf $old.part $new
  [ -d $old ] || exit 0
  if [ $3 = aof ]; then
    for file in $old/$aof/*; do
      [ "$file" = $old/$aof/"$4".manifest ] || link "$file" $aof/
    done
    if [ -e $old/$aof/"$4".manifest ]; then
      cp $old/$aof/"$4".manifest $aof/"temp-$4.manifest"
      flush $aof/"temp-$4.manifest"
      mv -f $aof/"temp-$4.manifest" $aof/"$4".manifest
    else
      rm -f $aof/"$4".manifest
    fi
  fi
  if [ -e $old/dump.rdb ]; then
    ln -f $old/dump.rdb dump.rdb.part
    mv -f dump.rdb.part dump.rdb
  else
    rm -f dump.rdb
  fi
  for file in $aof/"$4".*; do
    [ ! -e "$file" ] || [ -e $old/"$file" ] || rm -f "$file"
  done
  flush .
  rm -rf $old
  ;;
settle) # $3: clear or leave dump.rdb, $4: name of the AOF, $5: as for switch
  for old in replaced-* "$5"; do
    [ -d "$old" ] || continue
    for file in "$old"/$aof/*; do
      name=${file##*/}
      [ "$name" = "$4.manifest" ] && continue
      grep -q "^file $name " $aof/"$4".manifest 2>/dev/null || rm -f "$aof/$name"
    done
    case $old in
    replaced-*) rm -rf "$old" ;;
    *) rmdir "$old" 2>/dev/null || echo kept ;;
    esac
  done
  [ $3 = leave ] || rm -f dump.rdb
  ;;
esac
"""


class DataFolder(Protocol):
    """The data of one unit.

    Only `stage` and `try_staged` may be called while its server runs.
    """

    place: str
    """Where it is, for a person."""

    def stage(self, pour: Pour, size: int) -> None:
        """Put the RDB that *pour* writes beside the data, whole or not at all.

        Raises:
            ToolError: It cannot be written; says why. Also whatever *pour* raises.
        """

    def try_staged(self) -> Loaded:
        """Return what this unit's own server finds in what is staged; nothing is touched.

        Raises:
            StartError: It cannot load it; carries its own words.
        """

    def switch(self, old: str) -> None:
        """Put what is staged in the place of the data, which is kept in the folder *old* in it.

        Raises:
            ToolError: It failed; the data is what it was.
        """

    def undo(self, old: str) -> None:
        """Put back what was there before the `switch` with *old*; nothing when none was made.

        Raises:
            ToolError: It failed.
        """

    def settle(self, old: str, *, clear: bool = False) -> str:
        """Remove what is not needed any more after a `switch` whose data was loaded.

        Folders that `replaced` named are removed. With *clear* the ``dump.rdb`` is, too.

        Returns:
            Where *old* is for good; empty when it is gone, or holds nothing.
        """


def replaced(stamp: str) -> str:
    """Return the name of the folder for old data that is also in a backup."""
    return f"replaced-{stamp}"


def kept(stamp: str) -> str:
    """Return the name of the folder for old data that is nowhere else."""
    return f"kept-{stamp}"


@dataclass(frozen=True)
class Layout:
    """What the script has to know of a unit.

    Attributes:
        mode: ``aof`` when its server loads an AOF, else ``rdb``.
        aof: Name of the AOF.
        databases: That its server has.
    """

    mode: str
    aof: str
    databases: int

    @classmethod
    def of(cls, artefacts: Artefacts) -> Layout:
        """Return the layout of *artefacts*."""
        said = artefacts.directives
        return cls(
            mode="aof" if said.get("appendonly") == "yes" else "rdb",
            aof=said.get("appendfilename", AOF_FILE),
            databases=int(said.get("databases", "16")),
        )

    def switch(self, old: str) -> tuple[str, ...]:
        """Return the words of `DataFolder.switch`."""
        return ("switch", self.mode, self.aof, old)

    def undo(self, old: str) -> tuple[str, ...]:
        """Return the words of `DataFolder.undo`."""
        return ("undo", self.mode, self.aof, old)

    def settle(self, old: str, *, clear: bool) -> tuple[str, ...]:
        """Return the words of `DataFolder.settle`."""
        return ("settle", "clear" if clear else "leave", self.aof, old)


class ProcessData:
    """The data of a unit of the process runtime: a folder of this machine.

    Args:
        folder: Absolute.
        artefacts: The unit.
        binary: The server that it is run with.
    """

    def __init__(self, folder: Path, artefacts: Artefacts, binary: ServerBinary) -> None:
        self.place = str(folder)
        self._folder = folder
        self._layout = Layout.of(artefacts)
        self._binary = binary

    def stage(self, pour: Pour, size: int) -> None:
        """Put an RDB beside the data; see `DataFolder.stage`."""
        private_folder(self._folder)
        self._run("stage", str(size), pour=pour)

    def try_staged(self) -> Loaded:
        """Return what the binary finds in it; see `DataFolder.try_staged`."""
        staged = self._folder / STAGED / "dump.rdb"

        def pour(sink: Sink) -> None:
            with staged.open("rb") as file:
                while part := file.read(2**18):
                    sink.write(part)

        return load_in_process(self._binary, pour, databases=self._layout.databases)

    def switch(self, old: str) -> None:
        """Put what is staged in place; see `DataFolder.switch`."""
        self._run(*self._layout.switch(old))

    def undo(self, old: str) -> None:
        """Put back what was there; see `DataFolder.undo`."""
        self._run(*self._layout.undo(old))

    def settle(self, old: str, *, clear: bool = False) -> str:
        """Remove what is not needed; see `DataFolder.settle`."""
        left = self._run(*self._layout.settle(old, clear=clear))
        return str(self._folder / old) if left else ""

    def _run(self, *words: str, pour: Pour | None = None) -> str:
        command = ["sh", "-c", SCRIPT, "sh", str(self._folder), *words]
        with data_lock(self._folder.parent) as lock:
            return run_fed(command, pour, self.place, lock=lock)


def run_fed(
    command: Sequence[str],
    pour: Pour | None,
    what: str,
    *,
    patience: float = _PATIENCE,
    lock: int | None = None,
) -> str:
    """Return what *command* prints, *pour* written to its standard input.

    Args:
        command: With its arguments.
        pour: Nothing is written without it.
        what: What it works on, for a person.
        patience: Seconds in which it must end after its input has ended.
        lock: A handle that it keeps open as long as it runs, whatever becomes of us.

    Raises:
        MissingError: There is no such command.
        ToolError: It failed; carries its own words. Also whatever *pour* raises.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A Ctrl-C at our terminal is ours to handle, in order.
            start_new_session=True,
            pass_fds=() if lock is None else (lock,),
        )
    except OSError as error:
        raise MissingError(f"cannot run {command[0]}: {error.strerror or error}") from error
    assert process.stdin is not None  # noqa: S101 - asked for
    try:
        handle = process.stdin.fileno()
        os.set_blocking(handle, False)
        if pour is not None:
            pour(Sink(handle, lambda: None))
    except StartError:
        pass  # it hung up, and says why by its status and its words
    except BaseException:
        _kill(process)
        raise
    try:
        out, problem = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired as error:
        _kill(process)
        raise ToolError(f"the work on {what} did not end within {patience:g} s") from error
    except BaseException:
        _kill(process)
        raise
    if process.returncode:
        why = problem.decode(errors="replace").strip().splitlines()
        raise ToolError(f"the work on {what} failed: {why[-1] if why else 'it said nothing'}")
    return out.decode(errors="replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End *process* and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    process.wait()

"""Whole processes: ours and the peers', started, timed and ended one at a time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.keyspace.priority import prefer
from benchmarks.micro.cores import settle
from valkeyctl.errors import MissingError, StartError

_LIMIT = 180.0
_GRACE = 10.0
_STOPWATCH = Path(__file__).with_name("stopwatch.py")
_KEPT_WORDS = 300
KILLED = -9
_STATE = "state"


@dataclass(frozen=True)
class Outcome:
    """What one process did.

    Attributes:
        began: When it was started, by the monotonic clock that all processes share.
        seconds: From its start to its end.
        status: It ended with; negative is the number of a signal.
        rss_bytes: The most memory it had at a time.
        cpu_s: Seconds that processors worked for it.
        out: File with its standard output.
        words: The end of its standard error.
    """

    began: float
    seconds: float
    status: int
    rss_bytes: int
    cpu_s: float
    out: Path
    words: str

    def data(self) -> Mapping[str, object]:
        """Return ``data`` of the envelope that it printed, or nothing."""
        try:
            envelope = json.loads(self.out.read_bytes())
        except ValueError:
            return {}
        data = envelope.get("data") if isinstance(envelope, dict) else None
        return data if isinstance(data, dict) else {}


@dataclass
class Processes:
    """Starts the commands of a run, ours and others, on the core that is for them.

    Attributes:
        url: Of the server.
        port: Of the server, on the loopback interface.
        cores: On which they run; empty leaves that to the system.
        folder: Of their files.
        peaks: The most memory of each command of ours, in bytes, by its name.
    """

    url: str
    port: int
    cores: frozenset[int]
    folder: Path
    peaks: dict[str, int] = field(default_factory=dict)
    _help: dict[str, str] = field(default_factory=dict)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: Path | None = None,
        stdout: Path | None = None,
        env: Mapping[str, str] | None = None,
        ends_after: float = _LIMIT,
    ) -> Outcome:
        """Run *argv* to its end, or kill it after *ends_after* seconds."""
        out = stdout or self.folder / "stdout"
        words = self.folder / "stderr"
        spec = {
            "argv": list(argv),
            "env": self._environment() | dict(env or {}),
            "stdin": str(stdin or os.devnull),
            "stdout": str(out),
            "stderr": str(words),
            "ends_after": ends_after,
        }
        watch = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_STOPWATCH)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end it in order
        )
        try:
            settle(watch.pid, self.cores)
            prefer(watch.pid)
            seen, _ = watch.communicate(json.dumps(spec), timeout=ends_after + _GRACE)
        finally:
            if watch.poll() is None:
                watch.terminate()
                watch.wait(_GRACE)
        if not seen:
            raise StartError(f"{argv[0]} could not be started")
        found = json.loads(seen)
        return Outcome(
            began=found["began"],
            seconds=found["ended"] - found["began"],
            status=found["status"],
            rss_bytes=found["rss_bytes"],
            cpu_s=found["cpu_s"],
            out=out,
            words=words.read_text(errors="replace")[-_KEPT_WORDS:].strip(),
        )

    def ours(
        self,
        *words: str,
        app: str | None = None,
        form: str | None = "json",
        stdin: Path | None = None,
        stdout: Path | None = None,
        ends_after: float = _LIMIT,
        statuses: Sequence[int] = (0,),
    ) -> Outcome:
        """Run ``valkeyctl keys`` with *words*.

        Raises:
            StartError: It ended with a status that is none of *statuses*.
        """
        argv = [valkeyctl(), "--url", self.url]
        argv += ["--app", app] if app else []
        argv += ["--output", form] if form else []
        argv += ["keys", *words]
        outcome = self.run(argv, stdin=stdin, stdout=stdout, ends_after=ends_after)
        flags = [word for word in words[1:] if word.startswith("--") or word in _IMPACTS]
        name = " ".join((words[0], *flags))
        self.peaks[name] = max(self.peaks.get(name, 0), outcome.rss_bytes)
        if outcome.status not in statuses:
            raise StartError(
                f"{' '.join(argv[1:])} ended with {outcome.status}: {outcome.words or 'no words'}"
            )
        return outcome

    def theirs(self, *words: str, stdin: Path | None = None) -> Outcome:
        """Run valkey-cli with *words* on the server.

        Raises:
            StartError: It did not end well.
        """
        return self._checked(["valkey-cli", "-p", str(self.port), *words], stdin)

    def shell(self, line: str) -> Outcome:
        """Run *line* by the shell.

        Raises:
            StartError: It did not end well.
        """
        return self._checked(["sh", "-c", line], None)

    def forget(self) -> None:
        """Delete what commands of ours have kept for later ones, such as unfinished flushes."""
        shutil.rmtree(self.folder / _STATE, ignore_errors=True)

    def lacks(self, verb: str, *flags: str) -> str:
        """Return what ``valkeyctl keys`` does not have yet of *verb* and *flags*, or nothing."""
        if verb not in self._help:
            outcome = self.run([valkeyctl(), "keys", verb, "--help"], env={"COLUMNS": "200"})
            self._help[verb] = "" if outcome.status else outcome.out.read_text()
        text = self._help[verb]
        if not text:
            return f"no command `keys {verb}` yet"
        missing = [flag for flag in flags if flag not in text]
        return f"no {' and '.join(missing)} at `keys {verb}` yet" if missing else ""

    def _checked(self, argv: list[str], stdin: Path | None) -> Outcome:
        outcome = self.run(argv, stdin=stdin)
        if outcome.status:
            raise StartError(f"{' '.join(argv)} ended with {outcome.status}: {outcome.words}")
        return outcome

    def _environment(self) -> dict[str, str]:
        """Return an environment in which no setting of the user's changes what is measured."""
        home = str(self.folder)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": home,
            "XDG_STATE_HOME": f"{home}/{_STATE}",
            "XDG_CONFIG_HOME": f"{home}/config",
            "XDG_CACHE_HOME": f"{home}/cache",
            "LANG": "C.UTF-8",
            "TERM": "dumb",
        }


_IMPACTS = ("low", "normal", "max")


def valkeyctl() -> str:
    """Return the command of this environment.

    Raises:
        MissingError: It is not installed.
    """
    path = Path(sys.executable).with_name("valkeyctl")
    if not path.exists():
        raise MissingError(f"there is no {path}", hint="Install it: pip install -e '.[dev]'")
    return str(path)

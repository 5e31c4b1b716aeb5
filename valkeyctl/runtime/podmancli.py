"""The podman command: bounded in time, deaf to our Ctrl-C, its noise taken out."""

from __future__ import annotations

import atexit
import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from valkeyctl.errors import MissingError, ToolError

_TIMEOUT = 60.0
# How long a podman that Ctrl-C came upon may take to end what it is doing.
_FINISH = 15.0
# Said on machines without systemd or syslog, on success as on failure.
_NOISE = re.compile(
    r"unable to get systemd connection|failed to connect to syslog|Removing timer for container"
    r"|healthchecks: dial unix|cgroup(?:s-)?v1|cgroup manager|lingering"
)
# Not "no such file" or "no such host": what podman itself misses says nothing of what it
# was asked for.
_ABSENT = re.compile(r"no such (?:pod|container|volume|network|object)\b", re.IGNORECASE)
_LOGGED = re.compile(r'^time="[^"]*" level=\w+ msg="(?P<text>.*)"$')


@dataclass(frozen=True)
class Outcome:
    """How a podman command ended.

    Attributes:
        code: Its exit status.
        out: Its standard output.
        problem: What it complained about, without the noise; empty when nothing.
    """

    code: int
    out: str
    problem: str

    @property
    def ok(self) -> bool:
        """Whether it ended with status 0, which for `kube play` does not prove much."""
        return self.code == 0


class PodmanCommand:
    """Calls podman.

    Args:
        command: The program, with options of its own where needed: ``podman``,
            ``sudo podman``.

    Raises:
        ValueError: It has a quote that is not closed.
    """

    def __init__(self, command: str = "podman") -> None:
        self._command = shlex.split(command) or ["podman"]

    def __str__(self) -> str:
        return shlex.join(self._command)

    def run(
        self,
        *words: str | Path,
        timeout: float = _TIMEOUT,
        finish: float = _FINISH,
        stdin: str | bytes = "",
        folder: Path | None = None,
    ) -> Outcome:
        """Return how ``podman *words`` ended, whatever its status.

        Args:
            words: The command and its arguments.
            timeout: Seconds that it may take.
            finish: Seconds that it may go on after a Ctrl-C, which it does not see.
            stdin: What it reads.
            folder: Where it is run; ours by default.

        Raises:
            MissingError: There is no such command.
            ToolError: It did not end within *timeout* seconds.
        """
        given = stdin.encode() if isinstance(stdin, str) else stdin
        code, out, problem = self._finished(
            *words, timeout=timeout, finish=finish, stdin=given, folder=folder
        )
        return Outcome(code, _text(out), problem)

    def fetch(self, *words: str | Path, timeout: float = _TIMEOUT) -> bytes:
        """Return the bytes that ``podman *words`` prints, which may be secret.

        Raises:
            MissingError: There is no such command.
            ToolError: It failed, or did not end in time.
        """
        code, out, problem = self._finished(
            *words, timeout=timeout, finish=_FINISH, stdin=b"", folder=None
        )
        if code:
            raise self._failed(words, problem, code)
        return out

    def _finished(
        self,
        *words: str | Path,
        timeout: float,
        finish: float,
        stdin: bytes,
        folder: Path | None,
    ) -> tuple[int, bytes, str]:
        """Return the status of ``podman *words``, what it printed and what it complained of."""
        process = self._start(*words, folder=folder)
        try:
            out, problem = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            _kill(process)
            raise ToolError(
                f"{self} {words[0]} did not end within {timeout:g} s",
                hint=self._hint,
            ) from error
        except BaseException:
            # Killed in the middle of its work, podman leaves half a pod behind.
            try:
                process.communicate(timeout=finish)
            except subprocess.TimeoutExpired:
                _kill(process)
            raise
        return process.returncode, out, without_noise(_text(problem))

    def require(
        self,
        *words: str | Path,
        timeout: float = _TIMEOUT,
        finish: float = _FINISH,
        stdin: str | bytes = "",
        folder: Path | None = None,
    ) -> str:
        """Return what ``podman *words`` prints; see `run`.

        Raises:
            MissingError: There is no such command.
            ToolError: It failed, or did not end in time.
        """
        outcome = self.run(*words, timeout=timeout, finish=finish, stdin=stdin, folder=folder)
        if not outcome.ok:
            raise self._failed(words, outcome.problem, outcome.code)
        return outcome.out

    def inspect(self, kind: str, name: str) -> dict[str, object] | None:
        """Return what podman knows of the pod, container or volume *name*; None without one.

        Raises:
            MissingError: There is no podman.
            ToolError: It cannot tell, which is no proof that there is none.
        """
        return next(iter(self.inspect_all(kind, [name])), None)

    def inspect_all(self, kind: str, names: Sequence[str]) -> list[dict[str, object]]:
        """Return what podman knows of those of *names* that there are; raises as `inspect`."""
        if not names:
            return []
        outcome = self.run(kind, "inspect", *names)
        if kind == "volume" and "more than one result" in outcome.problem:
            # One of them is not there, and several begin like it: podman tells of none.
            alone = names if len(names) > 1 else ()
            return [one for name in alone for one in self.inspect_all(kind, [name])]
        # Each of them that there is not is one complaint; whatever else is said is a failure.
        gone = all(_ABSENT.search(said) for said in outcome.problem.split("; "))
        try:
            found: object = json.loads(outcome.out or ("[]" if gone else ""))
        except ValueError:
            found = None
        if found is None or not (outcome.ok or gone):
            answer = "its answer is no JSON" if outcome.ok else f"status {outcome.code}"
            raise ToolError(
                f"{self} {kind} inspect failed: {outcome.problem or answer}", hint=self._hint
            )
        # Of a single pod Podman 4 answers an object, else a list.
        listed = found if isinstance(found, list) else [found]
        known = [one for one in listed if isinstance(one, dict)]
        if kind != "volume":
            return known
        # Where no volume is called so, podman takes one whose name only begins like that.
        return [one for one in known if one.get("Name") in names]

    def stream(self, *words: str | Path) -> Iterator[str]:
        """Yield the lines that ``podman *words`` prints, to its end or to ours."""
        process = self._start(*words, stderr=subprocess.STDOUT)
        # For one that a thread waits for, which nobody can interrupt.
        end = atexit.register(partial(_kill, process))
        try:
            assert process.stdout is not None  # noqa: S101 - asked for in _start
            for raw in process.stdout:
                line = _text(raw)
                if not _NOISE.search(line):
                    yield line.rstrip("\n")
        finally:
            _kill(process)
            atexit.unregister(end)

    def _failed(self, words: Sequence[str | Path], problem: str, code: int) -> ToolError:
        what = " ".join(str(word) for word in words[:2])
        return ToolError(f"{self} {what} failed: {problem or f'status {code}'}", hint=self._hint)

    @property
    def _hint(self) -> str:
        return f"See whether podman works at all: {self} info"

    def _start(
        self, *words: str | Path, stderr: int = subprocess.PIPE, folder: Path | None = None
    ) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [*self._command, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=folder,
                # A Ctrl-C at our terminal is ours to handle, in order.
                start_new_session=True,
            )
        except OSError as error:
            absent = isinstance(error, FileNotFoundError)
            why = "is not installed" if absent else f"cannot be run: {error.strerror or error}"
            raise MissingError(
                f"{self._command[0]} {why}",
                hint="Install podman, or use the embedded server: --runtime process",
            ) from error


def without_noise(text: str) -> str:
    """Return what is worth reading of podman's standard error, on one line."""
    lines = []
    for raw in text.splitlines():
        logged = _LOGGED.match(raw)
        line = (logged["text"] if logged else raw).strip().removeprefix("Error: ")
        if line and not _NOISE.search(line):
            lines.append(line)
    return "; ".join(lines)


def _text(printed: bytes) -> str:
    return printed.decode(errors="replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End *process* and what it started in its own session."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    process.wait()

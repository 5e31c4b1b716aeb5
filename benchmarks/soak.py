"""SIGKILL of ``valkeyctl deploy`` at random moments: the next deploy must mend everything.

``make soak`` kills it 50 times on each runtime. Before each kill the profile changes in
a way that is applied live, by a restart or by a new container, in turn; the moment is
drawn uniformly over the time that such a deploy takes. Then the same command runs again,
undisturbed, and what it leaves is looked at from outside.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import psutil

from benchmarks.placing import free_row
from valkeyctl.caching.wire import Wire
from valkeyctl.endpoint import Endpoint
from valkeyctl.errors import ValkeyctlError
from valkeyctl.profile import Profile, load
from valkeyctl.render import render

Kind: TypeAlias = Literal["live", "restart", "recreate"]
KINDS: tuple[Kind, ...] = ("live", "restart", "recreate")
# Throwaway containers and servers end by themselves within this time after their parent.
_FADE = 45.0
_LIMIT = 120.0
_LISTINGS = 10
_TRIES = 4  # for each kill


@dataclass(frozen=True)
class Fault:
    """Something that a deploy after a kill has left wrong.

    Attributes:
        kill: Number of the kill, from 1; 0 for what was found at the end.
        kind: What was being changed.
        after: Seconds after which deploy was killed.
        text: What is wrong.
    """

    kill: int
    kind: str
    after: float
    text: str

    def __str__(self) -> str:
        return f"kill {self.kill} ({self.kind}, after {self.after:.2f} s): {self.text}"


@dataclass
class Outcome:
    """What a soak has found.

    Attributes:
        where: ``process``, or the podman that was used.
        durations: Seconds that an undisturbed deploy took last, by the kind of change.
        kills: How many deploys were killed before they ended, by the kind of change.
        late: How many had ended before their kill came.
        actions: What the next deploy had to do, and how often.
        faults: All that was wrong.
    """

    where: str
    durations: dict[Kind, float]
    kills: Counter[str] = field(default_factory=Counter)
    late: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)


class Soak:
    """One deployment that is killed at again and again.

    Args:
        runtime: ``process`` or ``podman``.
        folder: For its profile and state; nobody else uses it.
        seed: Of the moments.
        podman: The command.
    """

    def __init__(self, runtime: str, folder: Path, seed: int, podman: str = "podman") -> None:
        self.runtime, self.folder, self.podman = runtime, folder, podman
        self.name = f"vks-{secrets.token_hex(4)}"
        self._rng = random.Random(f"{runtime} {seed}")
        self._file = folder / f"{self.name}.yaml"
        self._steps: Counter[Kind] = Counter()
        self._port = free_row(1)
        self._keys = 0
        self._trials: set[str] = set()
        self._killed: list[int] = []

    @property
    def where(self) -> str:
        """Return ``process``, or the podman that is used."""
        return self.podman if self.runtime == "podman" else self.runtime

    @property
    def endpoint(self) -> Endpoint:
        """Where the server is published."""
        return Endpoint(port=self._port)

    def run(self, kills: int, say: Callable[[str], None]) -> Outcome:
        """Return what *kills* kills have left behind.

        A deploy that has ended before its kill came does not count. How long one takes is
        learnt anew all the time, for that changes with what else the machine does.
        """
        try:
            self._write()
            self._must_deploy()
            outcome = Outcome(self.where, {kind: self._timed(kind) for kind in KINDS})
            for number in range(1, _TRIES * kills + 1):
                self._one(outcome, number, KINDS[number % len(KINDS)])
                done = outcome.kills.total()
                say(f"{self.where} {done}/{kills}, {len(outcome.faults)} faults")
                if done == kills:
                    break
            outcome.faults += [Fault(0, "end", 0, text) for text in self._left_for_good()]
            return outcome
        finally:
            self._ctl("down", "--purge", "--yes").communicate(timeout=_LIMIT)

    def _one(self, outcome: Outcome, number: int, kind: Kind) -> None:
        """Change, kill, deploy again, look."""
        self._change(kind)
        self._remember(number)
        after = self._rng.uniform(0, outcome.durations[kind])
        began = time.monotonic()
        deploy = self._ctl("deploy", "--runtime", self.runtime, "-o", "json")
        try:
            deploy.communicate(timeout=after)
            outcome.late += 1
            outcome.durations[kind] = time.monotonic() - began
        except subprocess.TimeoutExpired:
            # Only the command itself: a podman that it started goes on, as it would.
            os.kill(deploy.pid, signal.SIGKILL)
            deploy.communicate()
            self._killed.append(deploy.pid)
            outcome.kills[kind] += 1
        self._trials |= self._throwaways()
        found = [*self._again(outcome, kind), *self._wrong()]
        outcome.faults += [Fault(number, kind, after, text) for text in found]

    def _again(self, outcome: Outcome, kind: Kind) -> Iterator[str]:
        """Deploy undisturbed; yield what it failed with."""
        began = time.monotonic()
        deploy = self._ctl("deploy", "--runtime", self.runtime, "-o", "json")
        out, _ = deploy.communicate(timeout=_LIMIT)
        answer = _tree(out)
        if deploy.returncode:
            yield f"the next deploy ended with {deploy.returncode}: {answer.get('error')}"
        data = answer.get("data")
        if isinstance(data, dict):
            outcome.actions[str(data.get("action"))] += 1
            if data.get("changed"):
                outcome.durations[kind] = time.monotonic() - began

    def _wrong(self) -> Iterator[str]:
        """Yield what is not as the profile says."""
        status = self._ctl("status", "-o", "json")
        out, _ = status.communicate(timeout=_LIMIT)
        data = _tree(out).get("data")
        found = data if isinstance(data, dict) else {}
        wanted = render(self._profile()).digest
        if found.get("running") is not True:
            yield f"it does not run: {found.get('detail')}"
        if found.get("digest") != wanted:
            yield f"digest {found.get('digest')} in place of {wanted}"
        if found.get("drift"):
            yield f"drift: {found['drift']}"
        if found.get("warnings"):
            yield f"warnings: {found['warnings']}"
        yield from self._lost()
        servers = self._servers()
        if len(servers) != 1:
            yield f"{len(servers)} servers: {servers}"
        extra = self._extra_volumes()
        if extra:
            yield f"volumes left: {extra}"

    def _remember(self, number: int) -> None:
        with Wire(self.endpoint, timeout=5) as wire:
            wire.call("SET", f"soak:{number}", number)
        self._keys = number

    def _lost(self) -> Iterator[str]:
        try:
            with Wire(self.endpoint, timeout=5) as wire:
                kept = wire.call("EXISTS", *(f"soak:{n}" for n in range(1, self._keys + 1)))
        except ValkeyctlError as error:
            yield f"its keys cannot be counted: {error}"
            return
        if kept != self._keys:
            yield f"{kept!r} of {self._keys} keys are there"

    def _timed(self, kind: Kind) -> float:
        self._change(kind)
        began = time.monotonic()
        self._must_deploy()
        return time.monotonic() - began

    def _must_deploy(self) -> None:
        deploy = self._ctl("deploy", "--runtime", self.runtime, "-o", "json")
        out, err = deploy.communicate(timeout=_LIMIT)
        if deploy.returncode:
            raise RuntimeError(f"deploy does not work at all: {out}{err}")

    def _change(self, kind: Kind) -> None:
        self._steps[kind] += 1
        self._write()

    def _write(self) -> None:
        """Write the profile; JSON is YAML too."""
        steps = self._steps
        profile = {
            "name": self.name,
            "publish": self.endpoint.address,
            "pull": "never",
            "persistence": "aof",
            "memory": {"limit": f"{128 + steps['recreate']}Mi", "maxmemory": "16Mi"},
            "tuning": {"slowlog_length": 100 + steps["live"], "databases": 8 + steps["restart"]},
            "stop": {"grace": "10s"},
        }
        self._file.write_text(json.dumps(profile))

    def _profile(self) -> Profile:
        return load(str(self._file))

    def _ctl(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "valkeyctl", *words, "-p", str(self._file)],
            env={
                **os.environ,
                "VALKEYCTL_STATE_DIR": str(self.folder / "state"),
                "VALKEYCTL_PODMAN": self.podman,
            },
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _podman(self, *words: str) -> Sequence[str]:
        for _ in range(_LISTINGS):
            # It fails when somebody else removes what it is about to list.
            done = subprocess.run(
                [self.podman, *words], check=False, capture_output=True, text=True, cwd=self.folder
            )
            if done.returncode == 0:
                return done.stdout.split()
        raise RuntimeError(f"{self.podman} {' '.join(words)}: {done.stderr}")

    def _servers(self) -> Sequence[str]:
        """Return the servers of the deployment, wherever they run."""
        if self.runtime == "podman":
            listed = self._podman(
                *("ps", "--all", "--format", "{{.Names}}"),
                *("--filter", f"label=valkeyctl.profile={self.name}"),
            )
            return [name for name in listed if not name.endswith("-infra")]
        return [str(process.pid) for process in _processes(str(self.folder))]

    def _extra_volumes(self) -> Sequence[str]:
        if self.runtime != "podman":
            return []
        mine = [name for name in self._podman("volume", "ls", "--quiet") if self.name in name]
        configs = [name for name in mine if name.startswith(f"{self.name}-conf-")]
        others = [name for name in mine if name not in configs and name != f"{self.name}-data"]
        return others + (configs if len(configs) > 4 else [])

    def _throwaways(self) -> set[str]:
        """Return the proofs and checks that are there now: our killed ones, or all in Podman."""
        if self.runtime == "podman":
            names = ("valkeyctl-trial-", "valkeyctl-check-")
            listed = {
                *self._podman("ps", "--all", "--format", "{{.Names}}"),
                *self._podman("pod", "ps", "--format", "{{.Name}}"),
            }
            return {name for name in listed if name.startswith(names)}
        # Named after who has made them: somebody else's may last as long as a benchmark does.
        temporary = Path(tempfile.gettempdir())
        return {
            str(folder)
            for pid in self._killed
            for folder in temporary.glob(f"valkeyctl-trial-{pid}-*")
        }

    def _left_for_good(self) -> Iterator[str]:
        """Yield the throwaways of all kills that nobody has removed."""
        until = time.monotonic() + _FADE
        while (left := self._trials & self._throwaways()) and time.monotonic() < until:
            time.sleep(0.5)
        if left:
            yield f"never removed: {sorted(left)}"
        if self.runtime == "process":
            for trial in self._trials:
                for process in _processes(trial):
                    yield f"a throwaway server still runs: pid {process.pid} in {trial}"


def _processes(word: str) -> list[psutil.Process]:
    """Return the servers that have *word* in their command line."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if any(word in part for part in process.info["cmdline"] or ())
        and "valkey-server" in (process.info["cmdline"] or [""])[0]
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def _tree(text: str) -> Mapping[str, object]:
    try:
        found: object = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def print_outcome(outcome: Outcome) -> None:
    """Print what was killed, what mended it, and what was left wrong."""
    times = ", ".join(f"{kind} {took:.2f} s" for kind, took in outcome.durations.items())
    killed = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.kills.items()))
    actions = ", ".join(f"{count} {what}" for what, count in outcome.actions.most_common())
    print(f"{outcome.where}: a deploy takes {times}")
    print(f"  killed {killed or 'none'}; {outcome.late} had ended before")
    print(f"  the next deploy: {actions}")
    print(f"  {len(outcome.faults)} faults")
    for fault in outcome.faults:
        print(f"  {fault}")


def main(words: Sequence[str] | None = None) -> int:
    """Soak the runtimes that the command line names; 1 when a fault was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--podman",
        nargs="+",
        default=[os.environ.get("VALKEYCTL_PODMAN") or "podman"],
        help="what to call, one after the other",
    )
    parser.add_argument(
        "--runtime", nargs="+", choices=("process", "podman"), default=["process", "podman"]
    )
    options = parser.parse_args(words)
    faults = 0
    for runtime in options.runtime:
        for podman in options.podman if runtime == "podman" else options.podman[:1]:
            with tempfile.TemporaryDirectory(prefix="soak-") as folder:
                soak = Soak(runtime, Path(folder), options.seed, podman)
                outcome = soak.run(
                    options.kills,
                    lambda line: print(f"\r{line}", end="", file=sys.stderr, flush=True),
                )
            print(file=sys.stderr)
            print_outcome(outcome)
            faults += len(outcome.faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

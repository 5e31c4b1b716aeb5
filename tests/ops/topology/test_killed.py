"""SIGKILL of valkeyctl at moments drawn with a seed: the next deploy mends everything.

More kills: ``VALKEYCTL_TEST_KILLS=20 pytest tests/ops/topology/test_killed.py``.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ops.conftest import changed, servers_of
from tests.ops.topology.judged import failing
from tests.ops.topology.profiles import KINDS, topology
from valkeyctl.caching.wire import Wire
from valkeyctl.ops.access import access
from valkeyctl.ops.deploy import deploy, take_down
from valkeyctl.ops.drill.load import KeyNames
from valkeyctl.ops.drill.shards import Finder
from valkeyctl.ops.health import probe
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.ops.status import status
from valkeyctl.ops.topology.rolling import TopologyRollout

pytestmark = pytest.mark.slow

_KILLS = int(os.environ.get("VALKEYCTL_TEST_KILLS", "1"))
# Seconds in which a command is killed: from its first look to past its end.
_WINDOWS = {"first": (0.6, 4.0), "roll": (0.8, 12.0), "down": (0.6, 1.6)}


class Victim:
    """A deployment whose commands are killed, and the keys that it must not lose."""

    def __init__(self, kind: str, folder: Path, state: StateFolder, seed: str) -> None:
        self.profile, self.state = topology(kind), state
        self._file = folder / "victim.yaml"
        self._rng = random.Random(f"{kind} {seed}")
        self._window = _WINDOWS[seed]
        self._names = KeyNames(self.profile.app, "killed")
        self._written: list[bytes] = []

    def kill(self, *words: str) -> float:
        """Run a command, kill it, and return after how many seconds."""
        self._file.write_text(json.dumps(self.profile.model_dump(mode="json", exclude_unset=True)))
        after = self._rng.uniform(*self._window)
        process = subprocess.Popen(
            [sys.executable, "-m", "valkeyctl", *words, "-p", str(self._file)],
            env={**os.environ, "VALKEYCTL_STATE_DIR": str(self.state.root)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return after

    def write(self) -> None:
        """Write some more keys, over all shards."""
        finder = Finder(access(self.profile, self.state), timeout=1)
        for shard in finder.shards():
            with Wire(finder.primary(shard), timeout=2) as wire:
                keys = (self._names.key(f"{len(self._written)}-{n}") for n in range(60))
                for key in [key for key in keys if shard.owns(key)]:
                    wire.call("SET", key, "v")
                    self._written.append(key)

    def mended(self) -> None:
        """Assert that one more deploy brings everything to the profile."""
        deploy(self.profile, self.state, runtime="process")
        found = status(self.profile, self.state)
        assert (found.running, found.drift, found.warnings) == (True, (), ())
        assert len(servers_of(self.state)) == len(found.nodes)
        report = probe(access(self.profile, self.state), app=self.profile.app, deadline=5)
        assert failing(report) == []
        self._nothing_lost()
        self.write()

    def _nothing_lost(self) -> None:
        finder = Finder(access(self.profile, self.state), timeout=1)
        kept = 0
        for shard in finder.shards():
            with Wire(finder.primary(shard), timeout=2) as wire:
                kept += sum(
                    bool(wire.call("EXISTS", key)) for key in self._written if shard.owns(key)
                )
        assert kept == len(self._written)


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_first_deploy(kind: str, tmp_path: Path, state: StateFolder) -> None:
    """Whatever was started and formed, or not, is completed."""
    victim = Victim(kind, tmp_path, state, "first")

    after = victim.kill("deploy", "--runtime", "process")

    print(f"killed after {after:.2f} s")
    victim.mended()


def test_what_a_killed_first_deploy_has_started_is_taken_down(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was written down of it; its profile says what it may have started."""
    profile = topology("sentinel")

    def killed(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr("valkeyctl.ops.topology.forming.Forming.form", killed)
    monkeypatch.setattr(TopologyRollout, "_take_back", lambda *_: None)
    with pytest.raises(SystemExit):
        deploy(profile, state, runtime="process")
    assert len(servers_of(state)) == 6

    removal = take_down(profile.name, state, profile=profile)

    assert (removal.found, removal.stopped, removal.runtime) == (True, True, "process")
    assert not servers_of(state)


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_rolling_change_and_a_killed_down(
    kind: str, tmp_path: Path, state: StateFolder
) -> None:
    """Whoever was handed over to stays primary, nothing is paused for long, no key is lost."""
    victim = Victim(kind, tmp_path, state, "roll")
    victim.mended()
    for number in range(_KILLS):
        # Read at the start only; a Cluster has no such field of its own.
        victim.profile = changed(victim.profile, tuning={"databases": 3 + number})
        after = victim.kill("restart" if kind == "cluster" else "deploy")
        print(f"killed after {after:.2f} s")
        victim.mended()

    victim._window = _WINDOWS["down"]
    after = victim.kill("down")
    print(f"down killed after {after:.2f} s")
    victim.mended()

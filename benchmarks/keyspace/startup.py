"""How long `valkeyctl` takes to answer what needs no server, beside ``python -c pass``."""

from __future__ import annotations

import sys

from benchmarks.keyspace.figures import Bound, Section
from benchmarks.keyspace.processes import valkeyctl
from benchmarks.keyspace.scene import Scene
from benchmarks.micro.lock import measuring_alone
from valkeyctl.errors import StartError

_ROUNDS = 20
_COMPLETION = {
    "_VALKEYCTL_COMPLETE": "complete_bash",
    "COMP_WORDS": "valkeyctl keys ",
    "COMP_CWORD": "2",
}
_PYTHON = "python -c pass"


def measure(scene: Scene) -> list[Section]:
    """Time each in turn, twenty rounds."""
    program = valkeyctl()
    arms = {
        _PYTHON: ([sys.executable, "-c", "pass"], {}, None),
        "keys --help": ([program, "keys", "--help"], {}, 9.0),
        "--version": ([program, "--version"], {}, 3.0),
        "completion of `keys`": ([program], _COMPLETION, 5.0),
    }
    section = Section("start-up")
    seconds, ratios = {}, {}
    for name, (_, _, most) in arms.items():
        seconds[name] = section.figure(name, "ms")
        if most is not None:
            ratios[name] = section.figure(f"  / {_PYTHON}", "x", Bound(most))
    for number in range(-1, _ROUNDS):
        order = list(arms)
        scene.rng.shuffle(order)
        spent = {}
        with measuring_alone():
            for name in order:
                argv, env, _ = arms[name]
                outcome = scene.processes.run(argv, env=env)
                if outcome.status:
                    raise StartError(f"{name} ended with {outcome.status}: {outcome.words}")
                spent[name] = outcome.seconds * 1000
        if number < 0:
            continue  # the first fills the caches of compiled files
        for name, took in spent.items():
            seconds[name].add(took)
            if name in ratios:
                ratios[name].add(took / spent[_PYTHON])
    return [section]

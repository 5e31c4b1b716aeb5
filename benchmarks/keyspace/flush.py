"""`keys flush --impact max` beside the recipes that people paste into a shell."""

from __future__ import annotations

from functools import partial

from benchmarks.keyspace.contents import APP, EMPTIED
from benchmarks.keyspace.figures import Bound, Figure, Section
from benchmarks.keyspace.processes import Outcome
from benchmarks.keyspace.scene import Scene
from benchmarks.micro.lock import measuring_alone
from valkeyctl.errors import StartError

PATTERN = f"{APP}:{EMPTIED}:*"
RECIPE = (
    "local c='0' repeat local r=redis.call('SCAN',c,'MATCH',ARGV[1],'COUNT',1000) c=r[1] "
    "if #r[2]>0 then redis.call('UNLINK',unpack(r[2])) end until c=='0' return 1"
)
_OURS, _RECIPE, _PIPE, _SLOW_PIPE = "ours", "recipe", "pipe", "slow pipe"


def emptied_by(scene: Scene, *words: str) -> Outcome:
    """Flush the namespace by ours with *words*, and make sure that it did."""
    before = scene.stage.keys()
    outcome = scene.processes.ours("flush", EMPTIED, "--yes", *words, app=APP)
    expect_emptied(scene, before, "keys flush")
    if outcome.data().get("deleted") != scene.size.emptied:
        raise StartError(f"keys flush reports {outcome.data().get('deleted')} keys deleted")
    return outcome


def expect_emptied(scene: Scene, before: int, who: str) -> None:
    """Fail unless as many keys are gone as the namespace had."""
    gone = before - scene.stage.keys()
    if gone != scene.size.emptied:
        raise StartError(f"{who} deleted {gone:,} keys and not {scene.size.emptied:,}")


def measure(scene: Scene) -> list[Section]:
    """Time all ways in turn, each on the whole keyspace."""
    section = Section(f"flush of {scene.size.emptied:,} of {scene.size.keys:,} keys")
    seconds: dict[str, Figure] = {}
    longest: dict[str, Figure] = {}
    seconds[_RECIPE] = section.figure("one EVAL: SCAN COUNT 1000 + UNLINK", "s")
    longest[_RECIPE] = section.figure("  longest command: the freeze", "ms")
    seconds[_OURS] = section.figure("keys flush --impact max", "s")
    ratio = section.figure("  / one EVAL", "x", Bound(1.5))
    longest[_OURS] = section.figure("  longest command", "ms", Bound(2, always=True))
    seconds[_PIPE] = section.figure("--scan --count 1000 | xargs -n 1000 unlink", "s")
    longest[_PIPE] = section.figure("  longest command", "ms")
    seconds[_SLOW_PIPE] = section.figure("--scan | xargs -n 1000 unlink (COUNT 10)", "s")
    longest[_SLOW_PIPE] = section.figure("  longest command", "ms")
    arms = [_OURS, _RECIPE, _PIPE]
    if lacking := scene.processes.lacks("flush", "--impact", "--yes"):
        section.absent(lacking)
        arms.remove(_OURS)
    if reason := scene.without_peer():
        section.absent(reason)
        arms = [arm for arm in arms if arm == _OURS]
    for number in range(scene.rounds):
        # Twelve seconds a time, and nobody compares with it closely.
        order = [*arms, _SLOW_PIPE] if number == 0 and _PIPE in arms else list(arms)
        scene.rng.shuffle(order)
        spent = {}
        with measuring_alone():
            for arm in order:
                work = partial(_empty, scene, arm)
                spent[arm], worst = scene.timed(scene.put_back_reference, work)
                seconds[arm].add(spent[arm])
                longest[arm].add(worst)
        if _OURS in spent and _RECIPE in spent:
            ratio.add(spent[_OURS] / spent[_RECIPE])
    return [section]


def _empty(scene: Scene, arm: str) -> tuple[float, float]:
    """Return the seconds that it took, and the milliseconds of its longest command."""
    if arm == _OURS:
        outcome = emptied_by(scene, "--impact", "max")
        return outcome.seconds, scene.stage.longest_ms()[0]
    before = scene.stage.keys()
    cli = f"valkey-cli -p {scene.processes.port}"
    if arm == _RECIPE:
        outcome = scene.processes.theirs("EVAL", RECIPE, "0", PATTERN)
    else:
        count = "--count 1000" if arm == _PIPE else ""
        outcome = scene.processes.shell(
            f"{cli} --scan {count} --pattern '{PATTERN}' | xargs -n 1000 {cli} unlink"
        )
    expect_emptied(scene, before, arm)
    return outcome.seconds, scene.stage.longest_ms()[0]

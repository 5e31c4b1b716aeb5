"""`keys invalidate`: a namespace and a tag of 200,000 entries among a million keys."""

from __future__ import annotations

import asyncio

from benchmarks.keyspace.contents import BY_TAG, ENTRIES, ENTRIES_APP, TAG, invalidated
from benchmarks.keyspace.figures import Bound, Section
from benchmarks.keyspace.scene import Scene
from benchmarks.micro.lock import measuring_alone
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.errors import StartError

_CONTENTS = "invalidated"
_LOOKED_AT = 20


def measure(scene: Scene) -> list[Section]:
    """Invalidate each, round by round."""
    stage = scene.stage
    if not stage.kept(_CONTENTS):
        scene.say(f"storing {scene.size.keys:,} keys")
        stage.keep(_CONTENTS, invalidated(scene.size))
    fifth = scene.size.keys // 5
    sections = []
    for what, words, namespace in (
        ("a namespace", (ENTRIES,), ENTRIES),
        ("a tag", ("--tag", TAG), BY_TAG),
    ):
        section = Section(f"invalidate {what} of {fifth:,} of {scene.size.keys:,} keys")
        sections.append(section)
        spent = section.figure("server's time for all its commands", "ms", Bound(5, always=True))
        inside = section.figure("time that it reports", "ms", Bound(5))
        whole = section.figure("whole process", "s")
        served = section.figure("entries still served, of 20", "", Bound(0, always=True))
        flags = ("--yes", *(word for word in words if word.startswith("--")))
        if lacking := scene.processes.lacks("invalidate", *flags[1:]):
            section.absent(lacking)
            continue
        confirmed = () if scene.processes.lacks("invalidate", "--yes") else ("--yes",)
        for number in range(scene.rounds):
            stage.put_back(_CONTENTS)
            if number == 0 and asyncio.run(_served(scene, namespace)) != _LOOKED_AT:
                raise StartError("the entries to invalidate are not served to begin with")
            with measuring_alone():
                stage.forget()
                outcome = scene.processes.ours("invalidate", *words, *confirmed, app=ENTRIES_APP)
                spent.add(stage.spent_ms())
            whole.add(outcome.seconds)
            if (told := _told_ms(outcome.data())) is not None:
                inside.add(told)
            served.add(asyncio.run(_served(scene, namespace)))
    return sections


def _told_ms(data: object) -> float | None:
    """Return the milliseconds that the command says it took."""
    if isinstance(data, dict):
        for name, factor in (("ms", 1.0), ("seconds", 1000.0)):
            if isinstance(value := data.get(name), (int, float)):
                return value * factor
    return None


async def _served(scene: Scene, namespace: str) -> int:
    """Return how many of some entries a reader still gets."""
    async with ValkeyClient(scene.stage.endpoint) as client:
        cache = CacheService(client, app=ENTRIES_APP)
        found = await cache.get_many(namespace, [str(number) for number in range(_LOOKED_AT)])
    return len(found)

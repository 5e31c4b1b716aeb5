"""`keys warm` and `keys export` beside ``valkey-cli --pipe`` and redis-py."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path

from benchmarks.keyspace import contents
from benchmarks.keyspace.contents import ENTRIES, ENTRIES_APP
from benchmarks.keyspace.figures import Bound, Section
from benchmarks.keyspace.processes import Outcome
from benchmarks.keyspace.scene import Scene
from benchmarks.micro.lock import measuring_alone
from benchmarks.micro.remote import REPOSITORY
from valkeyctl.caching import CacheService, ValkeyClient
from valkeyctl.errors import StartError

_LOOKED_AT = 50


def measure(scene: Scene) -> list[Section]:
    """Load the same entries in each way, round by round, and export them once each."""
    entries = scene.size.entries
    section = Section(f"{entries:,} entries of {contents.VALUE_BYTES} B with a TTL")
    rates = {}
    rates["pipe"] = section.figure("valkey-cli --pipe, prebuilt RESP", "keys/s")
    rates["redis-py"] = section.figure("redis-py, pipeline(1000)", "keys/s")
    rates["lines"] = section.figure("keys warm, JSON lines", "keys/s")
    of_lines = section.figure("  / valkey-cli --pipe", "x", Bound(0.4, least=True))
    rates["file"] = section.figure("keys warm, an export file", "keys/s")
    of_file = section.figure("  / valkey-cli --pipe", "x", Bound(0.9, least=True))
    rates["export"] = section.figure("keys export", "keys/s")
    of_export = section.figure("  / keys warm, an export file", "x", Bound(0.5, least=True))
    lacking = scene.processes.lacks("export")
    if lacking:
        section.absent(lacking)
    if reason := scene.without_peer():
        section.absent(reason)
    folder = scene.processes.folder
    lines, resp = folder / "entries.jsonl", folder / "entries.resp"
    scene.say(f"writing {entries:,} entries")
    contents.write_records(lines, entries)
    contents.write_commands(resp, entries)
    exported = folder / "exported.jsonl"
    if not lacking:
        scene.stage.empty()
        scene.processes.ours("warm", str(lines), app=ENTRIES_APP)
        _export(scene, exported)
    for _ in range(scene.rounds):
        arms = ["redis-py", "lines"]
        arms += [] if lacking else ["file"]
        arms += [] if scene.without_peer() else ["pipe"]
        scene.rng.shuffle(arms)
        of = {}
        with measuring_alone():
            for arm in arms:
                work = partial(_load, scene, arm, lines, resp, exported)
                of[arm] = entries / scene.timed(scene.stage.empty, work).seconds
                if arm == "file":
                    # In a file of its own: the one that is warmed stays as it is.
                    work = partial(_export, scene, folder / "again.jsonl")
                    of["export"] = entries / scene.timed(scene.stage.forget, work).seconds
        for name, rate in of.items():
            rates[name].add(rate)
        if "pipe" in of:
            of_lines.add(of["lines"] / of["pipe"])
        if "pipe" in of and "file" in of:
            of_file.add(of["file"] / of["pipe"])
        if "export" in of:
            of_export.add(of["export"] / of["file"])
    for path in (lines, resp, exported, folder / "again.jsonl"):
        path.unlink(missing_ok=True)
    return [section]


def _load(scene: Scene, arm: str, lines: Path, resp: Path, exported: Path) -> Outcome:
    if arm == "pipe":
        outcome = scene.processes.theirs("--pipe", stdin=resp)
    elif arm == "redis-py":
        outcome = scene.processes.run(
            [
                *(sys.executable, "-m", "benchmarks.keyspace.loader"),
                *(str(scene.processes.port), str(scene.size.entries)),
            ],
            env={"PYTHONPATH": str(REPOSITORY)},
        )
    else:
        source = lines if arm == "lines" else exported
        outcome = scene.processes.ours("warm", str(source), app=ENTRIES_APP)
    if outcome.status:
        raise StartError(f"{arm} ended with {outcome.status}: {outcome.words}")
    if scene.stage.keys() < scene.size.entries:
        raise StartError(f"{arm} stored {scene.stage.keys():,} of {scene.size.entries:,} entries")
    if arm != "redis-py":
        asyncio.run(_expect_served(scene, arm))
    return outcome


def _export(scene: Scene, target: Path) -> Outcome:
    outcome = scene.processes.ours("export", ENTRIES, app=ENTRIES_APP, form=None, stdout=target)
    with target.open("rb") as file:
        found = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    if found < scene.size.entries:
        raise StartError(f"keys export wrote {found:,} lines for {scene.size.entries:,} entries")
    return outcome


async def _expect_served(scene: Scene, arm: str) -> None:
    """Fail unless some entries are read back as they were meant."""
    numbers = [scene.rng.randrange(scene.size.entries) for _ in range(_LOOKED_AT)]
    wanted = {contents.id_of(number): contents.value_of(number) for number in numbers}
    async with ValkeyClient(scene.stage.endpoint) as client:
        found = await CacheService(client, app=ENTRIES_APP).get_many(ENTRIES, list(wanted))
    if dict(found) != wanted:
        raise StartError(f"{arm} stored other entries than were to be loaded")

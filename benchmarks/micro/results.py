"""What a run leaves: one JSON with every sample, and one page of tables."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from benchmarks.micro.invalidation import Clearances, clearance_table
from benchmarks.micro.remote import REPOSITORY, Remote
from benchmarks.micro.rounds import Timed
from benchmarks.micro.stampede import Stampedes, stampede_tables
from benchmarks.micro.standings import standings
from benchmarks.micro.tables import Table
from benchmarks.micro.timing import Slice
from valkeyctl.bench.environment import capture

Json: TypeAlias = Mapping[str, object]

_LIBRARIES = (
    *("aiocache", "cashews", "dogpile.cache", "fastapi-cache2", "fastapi-redis-sdk", "hiredis"),
    *("langchain-community", "litellm", "orjson", "pydantic", "redis", "valkey-glide", "valkeyctl"),
    *("zstandard",),
)


@dataclass
class Results:
    """All that was measured so far.

    Attributes:
        circumstances: The machine, the versions, and how it was run.
        timed: The rows with rounds.
        cleared: The invalidations; None as long as there are none.
        stampedes: Likewise.
    """

    circumstances: Json
    timed: list[Timed] = field(default_factory=list)
    cleared: Clearances | None = None
    stampedes: Stampedes | None = None

    def tables(self) -> list[Table]:
        """Return everything as tables."""
        tables = [table for timed in self.timed for table in standings(timed)]
        if self.cleared is not None:
            tables.append(clearance_table(self.cleared))
        if self.stampedes is not None:
            tables += stampede_tables(self.stampedes)
        return tables

    def write(self, folder: Path) -> None:
        """Write ``micro.json`` and ``micro.md`` into *folder*, which is made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(
            f"{json.dumps(name)}: {json.dumps(part, separators=(',', ':'))}"
            for name, part in self._parts().items()
        )
        (folder / "micro.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
        page = ["# valkeyctl.caching against its peers", "", *self._preamble()]
        for table in self.tables():
            page += ["", table.markdown()]
        (folder / "micro.md").write_text("\n".join(page) + "\n", encoding="utf-8")

    def _parts(self) -> Json:
        parts: dict[str, object] = {"circumstances": self.circumstances}
        parts |= {f"row {timed.row.name}": _row(timed) for timed in self.timed}
        if self.cleared is not None:
            parts["invalidate"] = asdict(self.cleared)
        if self.stampedes is not None:
            parts["stampede"] = asdict(self.stampedes)
        return parts

    def _preamble(self) -> list[str]:
        told = self.circumstances
        machine = told["machine"]
        assert isinstance(machine, Mapping)  # noqa: S101 # see `circumstances`
        return [
            f"Measured {told['at']} with `{told['command']}` at {told['revision']}: "
            f"{told['server']}, Python {machine['python']}, {machine['cpu_count']} cores "
            f"({machine['cpu']}), {told['cores']}; {told['rounds']} rounds of slices of "
            f"{told['slice_s']} s, seed {told['seed']}. Ratios are medians over the rounds of "
            "each round's ratio; how to read them: benchmarks/README.md.",
        ]


def circumstances(
    remotes: Sequence[Remote], *, server: str, cores: str, rounds: int, slice_s: float, seed: int
) -> Json:
    """Return where and how the run is made, and what with."""
    machine = capture()
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision(),
        "command": str(machine.pop("command")).replace("__main__.py", "python -m benchmarks.micro"),
        "machine": machine,
        "server": server,
        "cores": cores,
        "rounds": rounds,
        "slice_s": slice_s,
        "seed": seed,
        "versions": {
            remote.peer.name + remote.peer.label: {
                name: version
                for name, version in sorted(remote.introduction["versions"].items())
                if name in _LIBRARIES
            }
            for remote in remotes
        },
    }


def _row(timed: Timed) -> Json:
    return {
        "yardstick": timed.row.yardstick,
        "callers": timed.row.callers,
        "first": _columns(timed.first),
        "last": _columns(timed.last),
        "arms": {title: _columns(slices) for title, slices in timed.arms.items()},
        "dropped": timed.dropped,
    }


def _columns(slices: Sequence[Slice]) -> dict[str, list[float]]:
    """Return the figures of *slices*, a slice a round, by their names."""
    return {
        figure.name: [round(number, 3) for number in column]
        for figure in fields(Slice)
        if None not in (column := [getattr(each, figure.name) for each in slices])
    }


def revision() -> str:
    """Return the commit that was measured, with a plus when files differ from it."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty=+"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "an unknown revision"

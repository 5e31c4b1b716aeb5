"""What Podman does otherwise than one expects, by version, in one table.

Each row was seen on the versions that it names, and tests/runtime/test_podmantraps.py
shows it on each Podman that the tests run on: a row that a newer Podman proves wrong
fails there. Where the safe way is right on every version it is taken on every version;
only what cannot be had otherwise asks this table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

Version: TypeAlias = tuple[int, ...]
TrapName: TypeAlias = Literal[
    "arp_not_announced",
    "config_key_stays",
    "exec_probe_joined",
    "exit_code_proves_nothing",
    "grace_field_ignored",
    "oom_flag_sticks",
    "oom_flag_unreliable",
    "pod_inspect_is_object",
    "port_held_open",
    "probe_restarts",
    "pvc_document_breaks_replace",
    "replace_loses_rdb",
    "replace_takes_down_first",
    "secret_volume_is_base64",
    "secret_volume_is_roots",
]


@dataclass(frozen=True)
class Trap:
    """One thing that Podman does, and what valkeyctl does about it.

    Attributes:
        name: By which code asks for it.
        what: What these versions do, as one sentence.
        instead: What valkeyctl does so that nobody is hurt.
        gone: First version that was seen without it; None when the newest one that was
            tried still has it. A version between the last with and the first without
            it counts as having it: the way around is right there too.
        source: Where it is written down; "measured" is docs/explanation/podman.md.
    """

    name: TrapName
    what: str
    instead: str
    gone: Version | None
    source: str


TABLE: tuple[Trap, ...] = (
    Trap(
        "replace_loses_rdb",
        "kube play --replace and kube down end a server before it has saved its last snapshot",
        "stops the server by itself, with stop.grace, before its pod is replaced",
        (5, 4),
        "measured; containers/podman issue 22397",
    ),
    Trap(
        "pvc_document_breaks_replace",
        "kube play --replace fails at a PersistentVolumeClaim document, after the pod is gone",
        "renders the claim's name alone; the volume is made, kept and labelled by valkeyctl",
        (5, 4),
        "measured; containers/podman pull 16420",
    ),
    Trap(
        "secret_volume_is_base64",
        "the files of a Secret volume hold base64 text, and everybody can read them",
        "fills a volume of secret files by podman volume import",
        (5, 4),
        "measured",
    ),
    Trap(
        "secret_volume_is_roots",
        "the files of a Secret volume belong to root: the server's user cannot read mode 0400",
        "fills a volume of secret files by podman volume import, owned by the server's user",
        None,
        "measured",
    ),
    Trap(
        "exec_probe_joined",
        "the words of an exec probe are joined by blanks, so that quoted words fall apart",
        "renders a probe that needs no quotes",
        (5, 4),
        "measured",
    ),
    Trap(
        "probe_restarts",
        "the failed probe that reaches failureThreshold restarts the container (or, on 4.3, "
        "may leave it dead)",
        "asks the server by podman exec, which restarts nothing",
        None,
        "measured; containers/podman issue 22864",
    ),
    Trap(
        "grace_field_ignored",
        "terminationGracePeriodSeconds is ignored: whoever stops the pod gives it 10 s",
        "passes stop.grace to podman stop each time",
        (5, 4),
        "measured; containers/podman pull 19914",
    ),
    Trap(
        "oom_flag_unreliable",
        "a server that the kernel kills for its memory is shown with OOMKilled false",
        "judges by exit code 137 and the note that conmon leaves in the unit's folder",
        (5, 4),
        "measured, control groups version 1",
    ),
    Trap(
        "oom_flag_sticks",
        "OOMKilled stays true when the container is killed by somebody later",
        "looks for the kill in podman's events first",
        None,
        "measured, control groups version 1",
    ),
    Trap(
        "arp_not_announced",
        "a new MAC behind a fixed address is not announced: peers lose the unit for 30 s",
        "gives each unit of a topology a fixed MAC with its fixed address",
        (5, 4),
        "measured, netavark 1.4",
    ),
    Trap(
        "config_key_stays",
        "a key that left a ConfigMap stays as a file in the container",
        "names the ConfigMap after its content",
        None,
        "measured",
    ),
    Trap(
        "exit_code_proves_nothing",
        "kube play ends with 0 although the server refuses its configuration and crash-loops",
        "waits until the server answers through the published address",
        None,
        "measured",
    ),
    Trap(
        "replace_takes_down_first",
        "kube play --replace takes the old pod down before it finds that the image is missing",
        "proves image, port and configuration first, and puts the last good render back",
        None,
        "measured",
    ),
    Trap(
        "port_held_open",
        "the published port of a cut-off or paused container accepts and never answers",
        "sends a PING; a connection that opens counts for nothing",
        None,
        "measured",
    ),
    Trap(
        "pod_inspect_is_object",
        "pod inspect answers one object, and a list of one from 5 on",
        "reads both",
        (5, 0),
        "measured",
    ),
)


@dataclass(frozen=True)
class Traps:
    """The traps of one Podman.

    Attributes:
        version: Of that Podman, such as ``4.3.1``.
        known: Its rows of the table.
    """

    version: str
    known: tuple[Trap, ...]

    @classmethod
    def of(cls, version: str) -> Self:
        """Return the traps of *version*; of one that cannot be read, all of them."""
        numbers = parse_version(version)
        return cls(
            version,
            tuple(
                trap for trap in TABLE if not numbers or trap.gone is None or numbers < trap.gone
            ),
        )

    def __contains__(self, name: TrapName) -> bool:
        """Say whether this Podman has the trap called *name*."""
        return any(trap.name == name for trap in self.known)

    @property
    def own(self) -> tuple[Trap, ...]:
        """Those that a newer Podman does not have: a reason to upgrade."""
        return tuple(trap for trap in self.known if trap.gone is not None)


def parse_version(version: str) -> Version:
    """Return the numbers that *version* begins with, such as (4, 3, 1); empty without any."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()

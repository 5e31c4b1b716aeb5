"""What a deploy would change, without proving or doing anything."""

from __future__ import annotations

from dataclasses import dataclass

from valkeyctl.ops.deployed import find_units
from valkeyctl.ops.deployment import Access
from valkeyctl.ops.drift import Drift, Kind, worst
from valkeyctl.ops.fallback import render_of
from valkeyctl.ops.standing import stand
from valkeyctl.ops.statefolder import StateFolder
from valkeyctl.render import COMPOSE, POD, Artefacts
from valkeyctl.render.difference import Difference, differences


@dataclass(frozen=True)
class Changes:
    """What lies between a profile and what runs.

    Attributes:
        name: Of the deployment.
        running: Whether all of its units run.
        drift: What differs, unit by unit.
        takes: The most that any of it takes; None when nothing differs.
        files: How the rendered files differ from those deployed last; none where
            nothing was.
        warnings: Why something here is unknown.
    """

    name: str
    running: bool
    drift: tuple[Drift, ...]
    takes: Kind | None
    files: tuple[Difference, ...]
    warnings: tuple[str, ...]

    @property
    def any(self) -> bool:
        """Whether a deploy would do anything."""
        return bool(self.drift or self.files)


def changes_of(wanted: Artefacts, state: StateFolder, access: Access) -> Changes:
    """Return how what runs differs from *wanted*.

    Raises:
        MissingError: The runtime that has it is not there any more.
    """
    deployed = find_units(wanted, state)
    if deployed.missing is not None:
        raise deployed.missing
    standings = stand(wanted, deployed, state, access)
    drift = tuple(
        # Of a topology each field is told with the unit that it is of.
        Drift(f"{one.unit}: {drift.field}", drift.wanted, drift.actual, drift.kind)
        if wanted.nodes
        else drift
        for one in standings
        for drift in (*one.missing, *one.comparison.drift)
    )
    kept = render_of(state, wanted.name, deployed.record.digest if deployed.record else "")
    return Changes(
        name=wanted.name,
        running=all(one.running for one in standings),
        drift=drift,
        takes=worst(drift),
        files=tuple(_files(wanted, kept)) if kept else (),
        warnings=tuple(one.warning for one in standings if one.warning),
    )


def _files(wanted: Artefacts, kept: Artefacts) -> list[Difference]:
    """Return how the files differ; pod.yaml not for the valkey.conf in it, which is told once."""
    same_pod = wanted.pod_shape == kept.pod_shape
    told = {
        name: text
        for name, text in wanted.files.items()
        if not same_pod or name not in {POD, COMPOSE}
    }
    return differences(told, kept.files)

"""How pods are stopped and their data removed, as many as a deployment has at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from valkeyctl.errors import RefusedError
from valkeyctl.render.topology import deployment_of
from valkeyctl.runtime.datalock import await_data
from valkeyctl.runtime.datavolume import remove_data
from valkeyctl.runtime.files import remove_folder
from valkeyctl.runtime.pod import Pod, find_pods
from valkeyctl.runtime.podmancli import PodmanCommand
from valkeyctl.runtime.podmannetwork import PodmanNetwork
from valkeyctl.runtime.podstop import drop_configs, end_pods, remove_pods
from valkeyctl.runtime.secretsvolume import remove_secrets
from valkeyctl.runtime.stopping import Begun, Stopped, killed, unsaid


class PodmanEnds:
    """The part of `PodmanRuntime` that takes pods away."""

    podman: PodmanCommand
    _root: Path
    _network: PodmanNetwork

    def stop(self, name: str, grace: float) -> bool:
        """Stop and remove the pod of *name*; see `Runtime.stop`."""
        done = self.stop_all([[name]], grace)
        if done.killed:
            raise killed(name, grace)
        return bool(done.units)

    def stop_all(
        self, groups: Iterable[Sequence[str]], grace: float, begun: Begun = unsaid
    ) -> Stopped:
        """Stop the servers group by group, and remove their pods; see `Runtime.stop_all`."""
        listed = [list(group) for group in groups]
        found = find_pods(self.podman, [name for group in listed for name in group])
        ours = {name: pod for name, pod in found.items() if pod.ours}
        late: list[Pod] = []
        for group in listed:
            if here := [name for name in group if name in ours]:
                begun(here)
                late += end_pods(self.podman, [ours[name] for name in here], grace)
        if ours:
            remove_pods(self.podman, [pod.name for pod in ours.values()])
            # Of those too whose pods an interrupted call has removed already.
            self._clear([name for group in listed for name in group])
        return Stopped(
            tuple(name for name, pod in ours.items() if pod.running),
            tuple(name for name, pod in ours.items() if pod in late),
        )

    def purge(self, name: str) -> bool:
        """Remove the data volume and our files of a stopped *name*; see `Runtime.purge`."""
        return self.purge_all([name])

    def purge_all(self, names: Sequence[str]) -> bool:
        """Remove the data volumes and our files of stopped units; see `Runtime.purge_all`."""
        there = find_pods(self.podman, names)
        for name in (name for name, pod in there.items() if pod.ours):
            raise RefusedError(
                f"{name} still has a pod, and its data is in use",
                hint="Stop it first: valkeyctl down",
            )
        for name in names:
            await_data(self._root / name)
        removed = remove_data(self.podman, names)
        self._clear(names)  # of a start that failed
        for name in names:
            remove_folder(self._root / name)
        return removed

    def _clear(self, names: Sequence[str]) -> None:
        """Remove what only belonged to the pods of *names*, all of one deployment."""
        drop_configs(self.podman, names, keep=0)
        remove_secrets(self.podman, names)
        # One bridge for all units of a topology; one server has none.
        if unit := next((name for name in names if deployment_of(name) != name), None):
            self._network.remove(unit)

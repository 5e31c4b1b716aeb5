"""How pods end: their servers first, then the pods, and at last what only belonged to them.

One call to podman does a thing to many pods at once. Each is told to ignore what is not
there any more: to both versions one missing name is a reason to do nothing at all.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence

from valkeyctl.runtime.ending import KILLED
from valkeyctl.runtime.pod import Pod, PodNames
from valkeyctl.runtime.podmancli import PodmanCommand

_MARGIN = 30.0
_REMOVALS = 5


def end_pods(
    podman: PodmanCommand, pods: Sequence[Pod], grace: float, *, replaced: bool = False
) -> list[Pod]:
    """Stop *pods*, all at once, and return those whose server had to be killed.

    Args:
        podman: The command.
        pods: That exist.
        grace: Seconds that a server may take to save and end.
        replaced: Whether `kube play --replace` comes next, which ends what is left of a pod
            whose server has ended: one call to podman less while clients wait.

    Raises:
        ToolError: podman failed.
    """
    if not pods:
        return []
    if paused := [pod.container for pod in pods if pod.state == "paused"]:
        podman.run("unpause", *paused)
    # A stop of its own: `kube play --replace` and `kube down` of Podman 4 end the
    # server before it has saved.
    seconds, longest = str(math.ceil(grace)), grace + _MARGIN
    # The server before its pod: `pod stop` takes the network away at the same moment. Then
    # replicas and clients hear nothing of the end, the server waits for replicas in vain,
    # and a node of a Cluster cannot hand over.
    began = time.monotonic()
    words = ("--ignore", "--time", seconds)
    containers = [pod.container for pod in pods]
    ended = podman.run("stop", *words, *containers, timeout=longest, finish=longest)
    late = time.monotonic() - began >= grace
    if not (replaced and ended.ok):
        names = [pod.name for pod in pods]
        podman.require("pod", "stop", *words, *names, timeout=longest, finish=longest)
    if not late:
        return []  # not asked for their exit codes: clients are waiting
    after = {one.get("Name"): one for one in podman.inspect_all("container", containers)}
    return [pod for pod in pods if pod.running and _code(after.get(pod.container)) == KILLED]


def _code(container: Mapping[str, object] | None) -> object:
    state = (container or {}).get("State")
    return state.get("ExitCode") if isinstance(state, dict) else 0


def remove_pods(podman: PodmanCommand, pods: Sequence[str]) -> None:
    """Remove *pods*, as often as it takes.

    A server that ends at its start is restarted by Podman, and one that starts just
    while the pod is removed makes `pod rm` fail half way: containers gone, pod left.

    Raises:
        ToolError: One cannot be removed.
    """
    left = list(pods)
    for attempt in range(_REMOVALS):
        podman.run("pod", "rm", "--ignore", "--force", *left)
        left = [str(one.get("Name")) for one in podman.inspect_all("pod", left)]
        if not left:
            return
        time.sleep(0.1 * (attempt + 1))
    podman.require("pod", "rm", "--ignore", "--force", *left)


def drop_configs(podman: PodmanCommand, units: Iterable[str], *, keep: int) -> None:
    """Remove the ConfigMap volumes of earlier renders of *units*, but for the last *keep*."""
    # It fails when somebody else removes any volume while it lists them (seen on 4.3.1).
    for _ in range(_REMOVALS):
        listed = podman.run("volume", "ls", "--format", "{{.CreatedAt}}\t{{.Name}}")
        if listed.ok:
            break
    found = [line.rpartition("\t") for line in listed.out.splitlines()]
    old: list[str] = []
    for unit in units:
        mine = re.compile(re.escape(PodNames(unit).config_prefix) + "[0-9a-f]{12}")
        ages = sorted((made, volume) for made, _, volume in found if mine.fullmatch(volume))
        old += [volume for _, volume in ages[: max(len(ages) - keep, 0)]]
    if old:
        # A volume that is in use, the current one among them, is not removed by `volume rm`.
        podman.run("volume", "rm", *old)

"""A server that ends in its container and is started again there, by Podman itself.

The server is told to end from inside. Its container then has ended by itself, and the
pod's restartPolicy starts it again, network and published port untouched: on both
Podmans in about 0.2 s. `podman restart` will not do: to Podman 4.3 the last container
of its pod has ended, so it stops the pod beneath the one that it is about to start.
"""

from __future__ import annotations

import time

from valkeyctl.runtime.pod import Pod
from valkeyctl.runtime.podmancli import PodmanCommand

_PAUSE = 0.05
_STARTS_WITHIN = 5.0  # seconds that podman may take after the server has ended


def restart_in_place(podman: PodmanCommand, pod: Pod, grace: float) -> bool:
    """Return once podman has started the server of *pod* again; False when it has not.

    Args:
        podman: The command.
        pod: Whose container runs.
        grace: Seconds that the server may take to save and end.
    """
    if pod.state == "paused":
        podman.run("unpause", pod.container)
    # A builtin of the shell, for images without a program of that name.
    if not podman.run("exec", pod.container, "sh", "-c", "kill -TERM 1").ok:
        return False
    until = time.monotonic() + grace + _STARTS_WITHIN
    while time.monotonic() < until:
        out = podman.run("container", "inspect", "--format", "{{.RestartCount}}", pod.container).out
        if out.strip().isdigit() and int(out) > pod.restarts:
            return True
        time.sleep(_PAUSE)
    return False
